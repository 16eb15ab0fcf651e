"""Boxes around what a photo shows, and cutting it out."""

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from perisphere.catalog.scenes.parts import PART_ID, SURROUNDINGS
from perisphere.catalog.scenes.photo import Photo

LEAST = 4  # pixels across; what is smaller is not worth a box


class Box(NamedTuple):
    """A rectangle of whole pixels: left and top inside, right and bottom just outside."""

    left: int
    top: int
    right: int
    bottom: int


def landmark_box(photo: Photo) -> Box:
    """The smallest box around the landmark's visible pixels; the whole picture if none is seen."""
    height, width = photo.parts.shape
    shown = ~np.isin(photo.parts, [PART_ID[name] for name in SURROUNDINGS])
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    if len(rows) < LEAST or len(columns) < LEAST:
        return Box(0, 0, width, height)
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def loosened(box: Box, rng: np.random.Generator, by: float, size: tuple[int, int]) -> Box:
    """Move each side as a detector might, mostly outwards.

    Args:
        box: the true one.
        rng: dice.
        by: largest step outwards, as a share of the box; inwards it is a quarter of that.
        size: width and height of the picture, which the box does not leave.
    """
    wide, high = (box.right - box.left) * by, (box.bottom - box.top) * by
    left, top, right, bottom = rng.uniform(-0.25, 1, 4) * (wide, high, wide, high)
    return _whole(box.left - left, box.top - top, box.right + right, box.bottom + bottom, size)


def misplaced(box: Box, rng: np.random.Generator, size: tuple[int, int]) -> Box:
    """A detector's mistake: half as large as the true one, its middle anywhere in that.

    Args:
        box: the true one.
        rng: dice.
        size: width and height of the picture, which the box does not leave.
    """
    wide, high = (box.right - box.left) / 4, (box.bottom - box.top) / 4
    x, y = rng.uniform(box.left, box.right), rng.uniform(box.top, box.bottom)
    return _whole(x - wide, y - high, x + wide, y + high, size)


def cut(photo: Photo, box: Box, size: tuple[int, int]) -> Photo:
    """Cut a box out and bring it to a size, with its mask and keypoints.

    Args:
        photo: as taken.
        box: inside the photo.
        size: width and height of the result; the box is stretched to it.
    """
    width, height = size
    inside = np.s_[box.top : box.bottom, box.left : box.right]
    scale = np.array([width / (box.right - box.left), height / (box.bottom - box.top)], np.float32)
    places = (photo.places - np.array([box.left, box.top], np.float32)) * scale
    kept = ((places >= 0) & (places <= (width, height))).all(1)
    smooth = cv2.INTER_AREA if scale.max() < 1 else cv2.INTER_LINEAR
    return replace(
        photo,
        pixels=cv2.resize(photo.pixels[inside], size, interpolation=smooth),
        parts=cv2.resize(photo.parts[inside], size, interpolation=cv2.INTER_NEAREST),
        keypoints=photo.keypoints[kept],
        places=places[kept],
    )


def _whole(left: float, top: float, right: float, bottom: float, size: tuple[int, int]) -> Box:
    """Whole pixels inside the picture, at least :data:`LEAST` of them each way."""
    x = int(np.clip(round(left), 0, size[0] - LEAST))
    y = int(np.clip(round(top), 0, size[1] - LEAST))
    return Box(
        x,
        y,
        int(np.clip(round(right), x + LEAST, size[0])),
        int(np.clip(round(bottom), y + LEAST, size[1])),
    )

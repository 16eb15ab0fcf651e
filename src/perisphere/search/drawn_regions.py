"""Regions drawn onto a picture: an outline in the concept's colour, and its name."""

import zlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from perisphere.catalog.contact_sheet import font
from perisphere.catalog.label_images import colours
from perisphere.index.regions import Region
from perisphere.tags.architecture import CONCEPTS

FRACTION = 4  # bits of a pixel's fraction that OpenCV draws with
WHITE = (255, 255, 255)
NAME = 14  # pixels of a name's letters
_PAD = 4


def colour_of(concept: str) -> tuple[int, int, int]:
    """Return the colour of a concept, the same in every picture and, for the ten, in every mask."""
    place = CONCEPTS.index(concept) if concept in CONCEPTS else zlib.crc32(concept.encode()) % len(CONCEPTS)
    red, green, blue = (int(value) for value in colours(len(CONCEPTS))[1 + place])
    return red, green, blue


def draw_regions(
    picture: Image.Image, regions: Sequence[Region], scale: tuple[float, float] = (1, 1)
) -> Image.Image:
    """Return a picture with the outlines of regions, or their boxes where they have no outline.

    Args:
        picture: RGB.
        regions: in pixels of the photo; the first is drawn on top.
        scale: pixels of the picture for one of the photo, across and down.
    """
    canvas = np.array(picture)
    for region in reversed(regions):
        for polygon in _polygons(region):
            points = _placed(np.array(polygon, np.float64), scale)
            for width, colour in ((4, WHITE), (2, colour_of(region.concept))):
                cv2.polylines(canvas, [points], True, colour, width, cv2.LINE_AA, FRACTION)
    drawn = Image.fromarray(canvas)
    taken: list[tuple[float, float, float, float]] = []
    for region in regions:
        _name(ImageDraw.Draw(drawn), region, scale, drawn.size, taken)
    return drawn


def draw_box(
    picture: Image.Image, box: Sequence[float], scale: tuple[float, float], colour: tuple[int, int, int]
) -> Image.Image:
    """Return a picture with the box ``x0, y0, x1, y1`` of a query in it, all around it paler."""
    x0, x1 = (round(value * scale[0]) for value in box[::2])
    y0, y1 = (round(value * scale[1]) for value in box[1::2])
    pixels = np.array(picture)
    pale = (0.45 * pixels + 0.55 * 255).astype(np.uint8)
    pale[y0:y1, x0:x1] = pixels[y0:y1, x0:x1]
    cv2.rectangle(pale, (x0, y0), (max(x0, x1 - 1), max(y0, y1 - 1)), colour, 2, cv2.LINE_AA)
    return Image.fromarray(pale)


def _polygons(region: Region) -> Sequence[Sequence[Sequence[float]]]:
    x0, y0, x1, y1 = region.box
    right, bottom = x1 - 1, y1 - 1
    return region.outline or [[(x0, y0), (right, y0), (right, bottom), (x0, bottom)]]


def _placed(points: NDArray[np.float64], scale: tuple[float, float]) -> NDArray[np.int32]:
    """Return points of the photo, whose pixel centres are whole numbers, as OpenCV takes them."""
    return np.round(((points + 0.5) * scale - 0.5) * (1 << FRACTION)).astype(np.int32)[:, None]


def _name(
    draw: ImageDraw.ImageDraw,
    region: Region,
    scale: tuple[float, float],
    size: tuple[int, int],
    taken: list[tuple[float, float, float, float]],
) -> None:
    """Write the name of a region at its upper left corner, below names that stand there already."""
    face: Any = font(NAME, bold=True)
    width, height = draw.textlength(region.concept, face) + 2 * _PAD, NAME + 2 * _PAD
    left = min(max(0.0, region.box[0] * scale[0]), max(0.0, size[0] - width))
    top = min(max(0.0, region.box[1] * scale[1]), max(0.0, size[1] - height))
    while any(_meet((left, top, left + width, top + height), other) for other in taken):
        top += height + 1
        if top + height > size[1]:
            return
    taken.append((left, top, left + width, top + height))
    colour = colour_of(region.concept)
    draw.rounded_rectangle(taken[-1], 3, colour)
    ink = (20, 20, 20) if np.dot(colour, (0.299, 0.587, 0.114)) > 140 else WHITE
    draw.text((left + _PAD, top + height / 2), region.concept, ink, face, anchor="lm")


def _meet(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

"""The regions of a photo as a picture to be laid over it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from perisphere.index.regions import Region
from perisphere.serve.decode_worker import size_within
from perisphere.serve.refused import RefusedError
from perisphere.serve.service import Service

SIDE = 640
"""Pixels of the longer side, as of the largest thumbnail."""
OPACITY = 115
COLOURS = (
    (230, 90, 70),
    (70, 130, 230),
    (60, 170, 90),
    (240, 180, 40),
    (150, 90, 210),
    (30, 175, 190),
    (225, 105, 170),
    (150, 130, 60),
    (110, 120, 140),
    (250, 130, 40),
)
"""Red, green and blue; concepts take them in the order of the index, again from the first where they end."""


def regions_of(service: Service, id_: int) -> list[dict[str, Any]]:
    """Return the regions of an image, plain values.

    Raises:
        RefusedError: 404 where there is no such image.
    """
    service.row(id_)
    about = service.index.regions.about()
    concepts = [] if about is None else about["concepts"]
    found = service.index.regions.read([id_])
    return [{**region.to_dict(), "colour": list(colour_of(region.concept, concepts))} for region in found]


async def mask_of(service: Service, id_: int) -> bytes:
    """Return a PNG of the regions of an image, of the size of its largest thumbnail.

    Raises:
        RefusedError: 404 where it has none, or its size is not known and its photo cannot be read.
    """
    row, found, concepts = await asyncio.to_thread(_outlined, service, id_)
    width, height = row["width"], row["height"]
    if width is None or height is None:
        photo = await service.picture(id_)
        width, height = photo.width, photo.height
    shown = size_within(width, height, SIDE)
    return await asyncio.to_thread(drawn, found, concepts, (width, height), shown)


def _outlined(service: Service, id_: int) -> tuple[dict[str, Any], Sequence[Region], Sequence[str]]:
    """Return the row of an image, its regions, and the concepts of the index."""
    row = service.row(id_)
    about = service.index.regions.about()
    found = service.index.regions.read([id_])
    if about is None or not found:
        raise RefusedError(404, f"the index knows no regions of image {id_}.")
    return row, found, about["concepts"]


def drawn(
    regions: Sequence[Region], concepts: Sequence[str], photo: tuple[int, int], shown: tuple[int, int]
) -> bytes:
    """Return a PNG of regions, each filled and outlined in the colour of its concept, transparent elsewhere.

    Args:
        regions: of one photo; the largest are drawn first.
        concepts: all of the index, in its order.
        photo: width and height of the photo in pixels.
        shown: width and height of the picture.
    """
    width, height = shown
    canvas = np.zeros((height, width, 4), np.uint8)
    scale = np.array([width / photo[0], height / photo[1]])
    for region in sorted(regions, key=lambda region: -region.share):
        blue_first = colour_of(region.concept, concepts)[::-1]
        polygons = [np.round(np.array(polygon) * scale).astype(np.int32) for polygon in region.outline]
        cv2.fillPoly(canvas, polygons, (*blue_first, OPACITY))
        cv2.polylines(canvas, polygons, True, (*blue_first, 255), 2, cv2.LINE_AA)
    done, encoded = cv2.imencode(".png", canvas)
    assert done
    return encoded.tobytes()


def colour_of(concept: str, concepts: Sequence[str]) -> tuple[int, int, int]:
    """Return red, green and blue of a concept, by its place among those of the index."""
    place = concepts.index(concept) if concept in concepts else len(concepts)
    return COLOURS[place % len(COLOURS)]

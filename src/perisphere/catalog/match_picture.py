"""Two photos side by side, with lines between the points that were matched."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from perisphere.catalog.contact_sheet import FAINT, PAPER, font

RIGHT, WRONG = (0, 158, 115), (213, 94, 0)
"""Bluish green and vermilion, which people who see few colours can tell apart."""

_HEIGHT = 420
_GAP = 12
_CAPTION = 30


def match_picture(
    photos: tuple[np.ndarray, np.ndarray],
    points: tuple[NDArray, NDArray],
    right: Sequence[bool] | NDArray | None = None,
    caption: str = "",
) -> Image.Image:
    """Draw two photos at one height, and a line for each pair of points.

    Args:
        photos: uint8 RGB ``[h, w, 3]`` each.
        points: ``[n, 2]`` in the first and in the second, x and y in pixels.
        right: which matches are right, drawn green, the others red; ``None``: nothing is known, all green.
        caption: a line beneath.
    """
    scales = [_HEIGHT / photo.shape[0] for photo in photos]
    widths = [max(1, round(photo.shape[1] * scale)) for photo, scale in zip(photos, scales, strict=True)]
    shown = [_resized(photo, width) for photo, width in zip(photos, widths, strict=True)]
    below = _CAPTION if caption else 0
    sheet = Image.new("RGB", (sum(widths) + _GAP, _HEIGHT + below), PAPER)
    starts = (0, widths[0] + _GAP)
    for photo, start in zip(shown, starts, strict=True):
        sheet.paste(Image.fromarray(photo), (start, 0))
    ends = [
        np.asarray(side) * scale + (start, 0)
        for side, scale, start in zip(points, scales, starts, strict=True)
    ]
    sheet = _with_lines(sheet, ends[0], ends[1], right)
    if caption:
        draw = ImageDraw.Draw(sheet)
        draw.text((8, _HEIGHT + _CAPTION / 2), caption, FAINT, font(14), anchor="lm")
    return sheet


def _resized(photo: np.ndarray, width: int) -> np.ndarray:
    way = cv2.INTER_AREA if photo.shape[0] > _HEIGHT else cv2.INTER_CUBIC
    return cv2.resize(photo, (width, _HEIGHT), interpolation=way)


def _with_lines(
    sheet: Image.Image, first: NDArray, second: NDArray, right: Sequence[bool] | NDArray | None
) -> Image.Image:
    good = np.ones(len(first), bool) if right is None else np.asarray(right, bool)
    # drawn twice as large and made small again, so that lines are smooth
    layer = Image.new("RGBA", (2 * sheet.width, 2 * sheet.height))
    draw = ImageDraw.Draw(layer)
    for place in np.argsort(good, kind="stable"):  # right ones on top
        colour = RIGHT if good[place] else WRONG
        ends = [tuple(2 * float(value) for value in side[place]) for side in (first, second)]
        draw.line([*ends[0], *ends[1]], (*colour, 190), 3)
        for x, y in ends:
            draw.ellipse((x - 6, y - 6, x + 6, y + 6), (*colour, 255), (255, 255, 255, 255), 2)
    small = layer.resize(sheet.size, Image.Resampling.BOX)
    return Image.alpha_composite(sheet.convert("RGBA"), small).convert("RGB")

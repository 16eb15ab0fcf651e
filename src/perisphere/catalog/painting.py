"""A photo with its masks laid over it, outlined and named."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from perisphere.catalog.contact_sheet import FAINT, INK, PAPER, font
from perisphere.catalog.label_images import colours
from perisphere.tags.architecture import AMBIGUOUS

STRENGTH = 0.45
"""Share of a mask's colour where it covers the photo."""

_ROW = 26
_SWATCH = 14
_GAP = 8


def overlay(picture: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Lay masks over a photo and draw their outlines.

    Args:
        picture: uint8 RGB ``[h, w, 3]``.
        labels: uint8 ``[h, w]``: 0 background, ``k + 1`` the ``k``-th class, 255 ambiguous (left as it is).
        classes: number of them.

    Returns:
        uint8 RGB ``[h, w, 3]``.
    """
    shown = (labels > 0) & (labels != AMBIGUOUS)
    colour = colours(classes)[np.where(shown, np.minimum(labels, classes), 0)]
    mixed = np.rint(picture * (1 - STRENGTH) + colour * STRENGTH).astype(np.uint8)
    painted = np.where(shown[..., None], mixed, picture)
    for place in np.unique(labels[shown]):
        mask = (labels == place).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        tint = colours(classes)[min(int(place), classes)]
        width = max(1, round(max(labels.shape) / 400))
        cv2.drawContours(painted, outlines, -1, [int(value) for value in tint], width)
    return np.asarray(painted)


def paint(
    picture: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    scores: Mapping[str, float] | None = None,
    smallest: int = 320,
) -> Image.Image:
    """Paint a photo with its masks, and under it a legend of what they are.

    Args:
        picture: uint8 RGB ``[h, w, 3]``.
        labels: uint8 ``[h, w]``, as :func:`overlay`.
        classes: names in their order.
        scores: of the classes (0..1), written beside their names.
        smallest: pixels of the longer side that a smaller photo is enlarged to.
    """
    factor = max(1, -(-smallest // max(picture.shape[:2])))
    if factor > 1:
        size = (picture.shape[1] * factor, picture.shape[0] * factor)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    painted = Image.fromarray(overlay(picture, labels, len(classes)))
    entries = _entries(labels, classes, scores or {})
    return _above(painted, _legend(entries, painted.width, len(classes)))


def _entries(
    labels: np.ndarray, classes: Sequence[str], scores: Mapping[str, float]
) -> list[tuple[int, str, str]]:
    """Return class number, name and remark of each class in the labels, the largest first."""
    counts = np.bincount(labels.reshape(-1), minlength=256)
    found = [place for place in np.argsort(-counts, kind="stable") if 0 < place <= len(classes)]
    entries = []
    for place in (int(place) for place in found if counts[place]):
        name = classes[place - 1]
        share = f"{100 * counts[place] / labels.size:.0f} %"
        remark = f"{share}, score {scores[name]:.2f}" if name in scores else share
        entries.append((place, name, remark))
    return entries


def _legend(entries: Sequence[tuple[int, str, str]], width: int, classes: int) -> Image.Image:
    entries = entries or [(0, "nothing found", "")]
    sheet = Image.new("RGB", (width, len(entries) * _ROW + 2 * _GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (place, name, remark) in enumerate(entries):
        middle = _GAP + row * _ROW + _ROW // 2
        tint = tuple(int(value) for value in colours(classes)[place])
        box = (_GAP, middle - _SWATCH // 2, _GAP + _SWATCH, middle + _SWATCH // 2)
        if place:
            draw.rounded_rectangle(box, 3, tint)
        start = 2 * _GAP + _SWATCH
        draw.text((start, middle), name, INK, font(13, bold=True), anchor="lm")
        after = start + draw.textlength(name, font(13, bold=True)) + _GAP
        draw.text((after, middle), remark, FAINT, font(13), anchor="lm")
    return sheet


def _above(top: Image.Image, bottom: Image.Image) -> Image.Image:
    both = Image.new("RGB", (top.width, top.height + bottom.height), PAPER)
    both.paste(top, (0, 0))
    both.paste(bottom, (0, top.height))
    return both

"""A picture of a catalog: a row of photos for each class."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, ImageDraw, ImageFont

from perisphere.catalog.catalog import Catalog
from perisphere.catalog.images import ImageError, decode
from perisphere.errors import PerisphereError, UsageError
from perisphere.storage import whole_file

PAPER = (250, 249, 246)
INK = (34, 36, 42)
FAINT = (134, 138, 148)
MISSING = (228, 226, 220)

_CELL = 132
_GAP = 10
_MARGIN = 36
_TITLE = 76
_CAPTION = 34
_ROUND = 10


def contact_sheet(
    catalog: Catalog, *, title: str = "", classes: int = 12, per_class: int = 8, seed: int = 0
) -> Image.Image:
    """Draw up to ``classes`` rows of up to ``per_class`` photos, sampled by ``seed``.

    Each row is one class with its name and size above it, in the order of the names; a catalog without labels
    fills the rows with photos of no class. Where there are more classes than rows, the rows are drawn by lot.

    Raises:
        UsageError: ``classes`` or ``per_class`` is below 1.
    """
    if classes < 1 or per_class < 1:
        raise UsageError(f"contact sheet: {classes} classes of {per_class} photos; both must be 1 or more.")
    groups = _groups(catalog, classes, per_class, np.random.default_rng(seed))
    caption = _CAPTION if groups[0][0] is not None else 0
    row = caption + _CELL + _GAP
    width = 2 * _MARGIN + per_class * (_CELL + _GAP) - _GAP
    sheet = Image.new("RGB", (width, _MARGIN + _TITLE + len(groups) * row + _MARGIN - _GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    _heading(draw, catalog, title or catalog.root.name, width, len(groups))
    for number, (label, count, paths) in enumerate(groups):
        top = _MARGIN + _TITLE + number * row
        _caption(draw, label, count, top, width)
        for column, path in enumerate(paths):
            thumb, mask = _thumbnail(catalog.root / path)
            sheet.paste(thumb, (_MARGIN + column * (_CELL + _GAP), top + caption), mask)
    return sheet


def save_contact_sheet(
    catalog: Catalog, file: Path, *, title: str = "", classes: int = 12, seed: int = 0
) -> None:
    """Write :func:`contact_sheet` as the kind of picture that the file's suffix names.

    Raises:
        UsageError: the suffix is not ``.jpg``, ``.png`` or ``.webp``.
        PerisphereError: the disk refuses.
    """
    kinds = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
    kind = kinds.get(file.suffix.lower())
    if kind is None:
        raise UsageError(f"{file}: a sheet is .jpg, .png or .webp, not {file.suffix or 'without suffix'!r}.")
    sheet = contact_sheet(catalog, title=title, classes=classes, seed=seed)
    with whole_file(file) as part:
        sheet.save(part, kind, quality=92)


def _groups(
    catalog: Catalog, classes: int, per_class: int, rng: np.random.Generator
) -> list[tuple[str | None, int, list[str]]]:
    """Return (label, size, sampled paths) for each row of the sheet."""
    table = catalog.table.unique("path", keep="first", maintain_order=True)
    labels = table["label"].drop_nulls().unique().sort().to_list()
    if not labels:
        return _unlabelled(table["path"].to_list(), classes, per_class, rng)
    if len(labels) > classes:
        labels = [labels[at] for at in sorted(rng.choice(len(labels), classes, replace=False))]
    groups: list[tuple[str | None, int, list[str]]] = []
    for label in labels:
        paths = table.filter(pl.col("label") == label)["path"].to_list()
        groups.append((label, len(paths), _sample(paths, per_class, rng)))
    return groups


def _unlabelled(
    paths: list[str], rows: int, per_row: int, rng: np.random.Generator
) -> list[tuple[str | None, int, list[str]]]:
    chosen = _sample(paths, rows * per_row, rng)
    return [(None, 0, chosen[start : start + per_row]) for start in range(0, len(chosen), per_row)]


def _sample(paths: list[str], most: int, rng: np.random.Generator) -> list[str]:
    chosen = rng.choice(len(paths), min(most, len(paths)), replace=False)
    return [paths[at] for at in sorted(chosen)]


def _heading(draw: ImageDraw.ImageDraw, catalog: Catalog, title: str, width: int, rows: int) -> None:
    classes = catalog.table["label"].drop_nulls().n_unique()
    splits = catalog.splits()
    facts = [f"{len(catalog):,} photos"]
    if classes:
        facts.append(f"{classes:,} classes" + (f", {rows} shown" if rows < classes else ""))
    if splits:
        facts.append(" / ".join(splits))
    room = width - 2 * _MARGIN
    draw.text((_MARGIN, _MARGIN - 6), _fit(draw, title, font(26, bold=True), room), INK, font(26, bold=True))
    draw.text((_MARGIN, _MARGIN + 30), _fit(draw, "  ·  ".join(facts), font(14), room), FAINT, font(14))


def _caption(draw: ImageDraw.ImageDraw, label: str | None, count: int, top: int, width: int) -> None:
    if label is None:
        return
    size = f"{count:,}"
    room = width - 2 * _MARGIN - draw.textlength(size, font(13)) - 12
    name = _fit(draw, label, font(15, bold=True), room)
    draw.text((_MARGIN, top + 26), name, INK, font(15, bold=True), anchor="ls")
    after = _MARGIN + draw.textlength(name, font(15, bold=True)) + 10
    draw.text((after, top + 26), size, FAINT, font(13), anchor="ls")


def _fit(draw: ImageDraw.ImageDraw, text: str, face: ImageFont.FreeTypeFont, room: float) -> str:
    """Return the text on one line, cut with an ellipsis where it is too long."""
    text = " ".join(text.split()) or "(no name)"
    if draw.textlength(text, face) <= room:
        return text
    while text and draw.textlength(text + "…", face) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def _thumbnail(path: Path) -> tuple[Image.Image, Image.Image]:
    """Return the middle square of a photo and its rounded outline; grey where the photo is gone."""
    try:
        photo = Image.fromarray(decode(path, at_least=_CELL))
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        thumb = photo.resize(
            (_CELL, _CELL), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side)
        )
    except ImageError:
        thumb = Image.new("RGB", (_CELL, _CELL), MISSING)
        ImageDraw.Draw(thumb).text((_CELL / 2, _CELL / 2), "gone", FAINT, font(14), anchor="mm")
    return thumb, _outline()


@cache
def _outline() -> Image.Image:
    large = Image.new("L", (4 * _CELL, 4 * _CELL))
    ImageDraw.Draw(large).rounded_rectangle((0, 0, 4 * _CELL - 1, 4 * _CELL - 1), 4 * _ROUND, 255)
    return large.resize((_CELL, _CELL), Image.Resampling.LANCZOS)


@cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with matplotlib and covers most alphabets."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        raise PerisphereError("matplotlib is not installed, and its fonts are needed. Install it.")
    fonts = Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(fonts / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), size)

"""The result sheet: each query and its results in one picture."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from perisphere.catalog.images import ImageError, decode, display
from perisphere.errors import UsageError
from perisphere.index.regions import Region
from perisphere.search.drawn_regions import draw_box, draw_regions
from perisphere.search.ingredients import (
    Centroid,
    ClassQuery,
    Ingredient,
    Photos,
    Point,
    Row,
    Source,
    TextQuery,
    name_of,
    pictures_of,
)
from perisphere.search.part import Part
from perisphere.search.query import Query
from perisphere.search.results import Answer, Mark, Result
from perisphere.storage import whole_file

Colour: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[int, int, int, int]

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
COLUMNS = 5
MAX_HEIGHT = 60_000

PAPER: Colour = (255, 255, 255)
MAT: Colour = (241, 243, 245)
LINE: Colour = (222, 226, 230)
INK: Colour = (33, 37, 41)
FADED: Colour = (120, 128, 136)
RIGHT: Colour = (43, 158, 92)
WRONG: Colour = (217, 68, 68)
IGNORED: Colour = (226, 165, 46)
QUERY: Colour = (52, 58, 64)
FRAMES: dict[Mark | None, Colour] = {"right": RIGHT, "wrong": WRONG, "ignored": IGNORED, None: LINE}

TILE = 236
FRAME = 6
ROUND = 12
GAP = 20
MARGIN = 44
GUTTER = 2 * GAP
CAPTION = 66
HEADER = 92
FOOTER = 56
MOSAIC = 9
SEAM = 4
ROW_GAP = 26

Font: TypeAlias = ImageFont.FreeTypeFont


def draw_sheet(
    answers: Sequence[Answer], *, title: str = "perisphere", columns: int = COLUMNS
) -> Image.Image:
    """Draw the queries on the left and their results beside them, with label, score and precision.

    Where the query's label or a ground truth tells, right results are framed in green, wrong ones in red, and
    those that a ground truth ignores (junk) in amber.

    Args:
        answers: one row each; at least one.
        title: stands above.
        columns: results beside one another; more go on below.

    Raises:
        UsageError: no answer, or more than a picture can hold.
    """
    if not answers or columns < 1:
        raise UsageError("a result sheet needs at least one query and one column. Name a query.")
    columns = max(1, min(columns, max(len(answer.results) for answer in answers)))
    heights = [_lines(answer, columns) * (TILE + CAPTION) for answer in answers]
    width = 2 * MARGIN + TILE + GUTTER + columns * TILE + (columns - 1) * GAP
    height = HEADER + sum(heights) + (len(answers) - 1) * ROW_GAP + FOOTER
    if height > MAX_HEIGHT:
        raise UsageError(
            f"{len(answers)} queries make a sheet {height} pixels high. Ask for fewer at a time."
        )
    sheet = Image.new("RGB", (width, height), PAPER)
    _header(sheet, answers, title)
    top = HEADER
    for place, (answer, row) in enumerate(zip(answers, heights, strict=True)):
        if place:
            _rule(sheet, top - ROW_GAP // 2 - 4)
        _row(sheet, answer, top, columns)
        top += row + ROW_GAP
    _legend(sheet, answers)
    return sheet


def write_sheet(
    path: Path, answers: Sequence[Answer], *, title: str = "perisphere", columns: int = COLUMNS
) -> Path:
    """Draw a sheet (see :func:`draw_sheet`) and write it as ``.jpg`` or ``.png``, whole or not at all."""
    path = Path(path)
    format = sheet_format(path)
    sheet = draw_sheet(answers, title=title, columns=columns)
    with whole_file(path) as part:
        sheet.save(part, format=format, quality=92, optimize=True)
    return path


def sheet_format(path: Path) -> str:
    """Return the format that the name of a sheet asks for.

    Raises:
        UsageError: neither JPEG nor PNG.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{display(path)}: a sheet is a .jpg or .png file. Name it so.")
    return FORMATS[path.suffix.lower()]


def _lines(answer: Answer, columns: int) -> int:
    return max(1, -(-len(answer.results) // columns))


def _header(sheet: Image.Image, answers: Sequence[Answer], title: str) -> None:
    left = MARGIN + TILE + GUTTER
    _write(sheet, (MARGIN, 34), title, 30, INK, sheet.width - 2 * MARGIN)
    room = sheet.width - left - MARGIN
    if MARGIN + _width(title, 30) + GAP < left:
        found = [result for answer in answers for result in answer.results]
        kind = "centroids" if any(result.count is not None for result in found) else "images"
        _write(sheet, (left, 44), f"nearest {kind}, best first", 19, FADED, room)


def _rule(sheet: Image.Image, y: int) -> None:
    ImageDraw.Draw(sheet).line((MARGIN, y, sheet.width - MARGIN, y), fill=LINE, width=1)


def _row(sheet: Image.Image, answer: Answer, top: int, columns: int) -> None:
    _tile(sheet, _shown(answer), (MARGIN, top), QUERY)
    name, kind = answer.name, "query"
    if isinstance(answer.image, Query):
        name, kind = name.replace("/", " "), "query: all of these together"
    if isinstance(answer.image, Photos):
        name, kind = display(answer.image.photos[0]), f"query: {len(answer.image.photos)} photos"
    if isinstance(answer.image, Part):
        name, kind = display(answer.image.photo), f"query: {answer.image.name}"
    _write(sheet, (MARGIN + 2, top + TILE + 9), answer.label or Path(name).name, 21, INK, TILE - 4)
    _write(sheet, (MARGIN + 2, top + TILE + 36), answer.note or kind, 17, FADED, TILE - 4)
    left = MARGIN + TILE + GUTTER
    if not answer.results:
        _write(sheet, (left, top + TILE // 2 - 12), "no result above the cut-off", 21, FADED, TILE * columns)
    for place, result in enumerate(answer.results):
        corner = (
            left + place % columns * (TILE + GAP),
            top + place // columns * (TILE + CAPTION),
        )
        _result(sheet, result, corner, answer.mark(result))


def _shown(answer: Answer) -> Ingredient:
    """Return what stands for a query: all that is liked and has a picture, or else its name."""
    if not isinstance(answer.image, Query):
        return answer.image
    pictures = [picture for one in answer.like for picture in pictures_of(one.what)]
    return Photos(tuple(pictures)) if pictures else TextQuery(answer.name)


def _result(sheet: Image.Image, result: Result, corner: tuple[int, int], mark: Mark | None) -> None:
    x, y = corner
    shown = Photos(result.examples) if result.examples else result.file
    _tile(sheet, shown, corner, FRAMES[mark], result.regions)
    name = result.label or (Path(result.path).name if result.path else f"image {result.id}")
    score = f"{result.score:.3f}"
    if result.count is not None:
        score += f"   {result.count:,} photo{'s' if result.count != 1 else ''}"
    _write(sheet, (x + 2, y + TILE + 9), name, 21, INK, TILE - 4)
    _write(sheet, (x + 2, y + TILE + 36), score, 17, FADED, TILE - 4)
    if result.precision is not None:
        _meter(sheet, (x + TILE - 2, y + TILE + 36), result.precision)


def _meter(sheet: Image.Image, corner: tuple[int, int], share: float) -> None:
    """A short bar and its percentage, ending at ``corner``."""
    right, y = corner
    text, length = f"{share:.0%}", 56
    x = right - _width("100%", 17) - 8 - length
    _write(sheet, (right - _width(text, 17), y), text, 17, FADED, TILE)
    _pill(sheet, (x, y + 7, x + length, y + 13), LINE)
    filled = round(length * share)
    if filled >= 6:
        _pill(sheet, (x, y + 7, x + filled, y + 13), FADED)


def _legend(sheet: Image.Image, answers: Sequence[Answer]) -> None:
    results = [(answer, result) for answer in answers for result in answer.results]
    calibrated = any(result.precision is not None for _, result in results)
    x, y = MARGIN, sheet.height - FOOTER + 16
    for mark, text in _meanings(results).items():
        _pill(sheet, (x, y + 4, x + 14, y + 18), FRAMES[mark])
        x += 22
        _write(sheet, (x, y), text, 17, FADED, TILE)
        x += _width(text, 17) + GAP + 6
    text = (
        "score and, in percent, the share of right results from this score upwards" if calibrated else "score"
    )
    if results:
        _write(sheet, (max(x, MARGIN + TILE + GUTTER), y), text, 17, FADED, sheet.width - MARGIN - x)


def _meanings(results: Sequence[tuple[Answer, Result]]) -> dict[Mark, str]:
    """Return what the frames mean that are in the sheet."""
    marks = {answer.mark(result) for answer, result in results}
    if not marks.difference({None}):
        return {}
    if any(result.mark is not None for _, result in results):
        meanings: dict[Mark, str] = {"right": "right", "wrong": "wrong", "ignored": "ignored"}
        return {mark: text for mark, text in meanings.items() if mark in marks}
    return {"right": "the query's label", "wrong": "another label"}


def _tile(
    sheet: Image.Image,
    source: Ingredient | None,
    corner: tuple[int, int],
    colour: Colour,
    regions: Sequence[Region] = (),
) -> None:
    """A framed thumbnail with round corners, the whole photo on a mat."""
    x, y = corner
    inner = TILE - 2 * FRAME
    sheet.paste(colour, (x, y), _rounded(TILE, TILE, ROUND))
    sheet.paste(
        _picture(source, inner, regions), (x + FRAME, y + FRAME), _rounded(inner, inner, ROUND - FRAME // 2)
    )


def _picture(source: Ingredient | None, side: int, regions: Sequence[Region] = ()) -> Image.Image:
    if isinstance(source, ClassQuery | TextQuery | Point | Centroid):
        return _named(Image.new("RGB", (side, side), MAT), name_of(source))
    if isinstance(source, Photos):
        return _mosaic(source.photos, side)
    if isinstance(source, Part):
        return _thumbnail(source.whole, side, side, part=source)
    return _thumbnail(source.file if isinstance(source, Row) else source, side, side, regions)


def _mosaic(photos: Sequence[Source], side: int) -> Image.Image:
    """Several photos in a grid of at most nine places; the last counts those left out."""
    mat = Image.new("RGB", (side, side), MAT)
    shown = photos if len(photos) <= MOSAIC else photos[: MOSAIC - 1]
    cells = min(len(photos), MOSAIC)
    columns = math.ceil(math.sqrt(cells))
    lines = -(-cells // columns)
    width, height = (side - SEAM * (columns - 1)) // columns, (side - SEAM * (lines - 1)) // lines
    for cell in range(cells):
        corner = (cell % columns * (width + SEAM), cell // columns * (height + SEAM))
        if cell < len(shown):
            mat.paste(_thumbnail(shown[cell], width, height), corner)
        else:
            text = f"+{len(photos) - len(shown)}"
            middle = (corner[0] + (width - _width(text, 21)) // 2, corner[1] + height // 2 - 12)
            _write(mat, middle, text, 21, FADED, width)
    return mat


def _thumbnail(
    source: Source | None, width: int, height: int, regions: Sequence[Region] = (), part: Part | None = None
) -> Image.Image:
    mat = Image.new("RGB", (width, height), MAT)
    try:
        if source is None:
            raise ImageError("image", "no file is known")
        # Regions count in pixels of the whole photo.
        photo = Image.fromarray(decode(source, at_least=None if regions else min(width, height)))
    except ImageError:
        text = "no picture"
        _write(mat, (max(0, width - _width(text, 17)) // 2, height // 2 - 10), text, 17, FADED, width)
        return mat
    scale = min(width / photo.width, height / photo.height)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    # Small pictures are enlarged by whole pixels, so that they look small rather than blurred.
    way = Image.Resampling.NEAREST if scale >= 3 else Image.Resampling.LANCZOS
    small = photo.resize(size, way)
    factors = (size[0] / photo.width, size[1] / photo.height)
    if regions:
        small = draw_regions(small, regions, factors)
    if part is not None:
        small = draw_box(small, part.pixels, factors, QUERY)
    mat.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2))
    return mat


def _named(mat: Image.Image, name: str) -> Image.Image:
    """Write the name of a class, or a text, a word a line, as large as fits."""
    words, room = name.replace("_", " ").split()[:6], mat.width - 24
    size = next(
        size for size in range(44, 13, -2) if size == 14 or all(_width(w, size) <= room for w in words)
    )
    top = (mat.height - len(words) * (size + 6)) // 2
    for line, word in enumerate(words):
        left = max(12, (mat.width - _width(word, size)) // 2)
        _write(mat, (left, top + line * (size + 6)), word, size, INK, room)
    return mat


def _pill(sheet: Image.Image, box: Box, colour: Colour) -> None:
    width, height = box[2] - box[0], box[3] - box[1]
    sheet.paste(colour, box[:2], _rounded(width, height, min(width, height) // 2))


@lru_cache(maxsize=256)
def _rounded(width: int, height: int, radius: int) -> Image.Image:
    """A mask with smooth round corners: drawn four times as large, then reduced."""
    large = Image.new("L", (4 * width, 4 * height))
    ImageDraw.Draw(large).rounded_rectangle((0, 0, 4 * width - 1, 4 * height - 1), 4 * radius, fill=255)
    return large.resize((width, height), Image.Resampling.LANCZOS)


def _write(
    sheet: Image.Image, corner: tuple[int, int], text: str, size: int, colour: Colour, room: int
) -> None:
    """Write one line, cut to ``room`` pixels with an ellipsis."""
    ImageDraw.Draw(sheet).text(corner, _cut(_one_line(text), size, room), font=_font(text, size), fill=colour)


def _width(text: str, size: int) -> int:
    return round(_font(text, size).getlength(text))


def _cut(text: str, size: int, room: int) -> str:
    font = _font(text, size)
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _font(text: str, size: int) -> Font:
    """Pillow's own font for plain letters, matplotlib's for the accents and alphabets that it lacks."""
    return _load_font(all(character.isascii() or character == "…" for character in text), size)


@lru_cache(maxsize=32)
def _load_font(plain: bool, size: int) -> Font:
    if plain:
        font = ImageFont.load_default(size)
        if isinstance(font, ImageFont.FreeTypeFont):
            return font
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size * 0.9)

"""A CSV file with one row an image, its columns named by options."""

import csv
import io
import math
import os
from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing, split_name
from perisphere.errors import PerisphereError, UsageError, nearest

# Header words that are taken for a column where no option names it, beside the column's own name.
_USUAL = {"path": ("image_path", "image"), "label": ("class_image",)}
_TEXT = ("path", "split", "label", "camera", "domain", "caption", "url")
_LISTS = ("tags", "categories", "concepts")
_CORNERS = "x0,y0,x1,y1"


def list_images(
    root: Path,
    *,
    images: Path | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    camera_column: str | None = None,
    domain_column: str | None = None,
    tags_column: str | None = None,
    caption_column: str | None = None,
    categories_column: str | None = None,
    concepts_column: str | None = None,
    url_column: str | None = None,
    box_columns: str | None = None,
    separator: str = "|",
    delimiter: str | None = None,
) -> Listing:
    """List the images of a CSV file.

    A column that is not named by an option is taken where the file has one of the usual name (``path``,
    ``image_path`` or ``image``, ``label`` or ``class_image``, ``split``, ...); ``path`` must be there. Values
    are text, also where they look like numbers; an empty one is none.

    Args:
        root: the CSV file, or a folder that holds exactly one.
        images: the folder that relative paths start from; the CSV file's own where it is not given.
        path_column: column of the image's path, and likewise for the other columns.
        label_column: column of the label.
        split_column: column of the split; ``validation`` becomes ``val``.
        camera_column: column of the camera.
        domain_column: column of the domain.
        tags_column: column of the tags, parted by ``separator``.
        caption_column: column of the caption.
        categories_column: column of the category path from the root downwards, parted by ``separator``.
        concepts_column: column of what the photo truly shows, parted by ``separator``.
        url_column: column of the address.
        box_columns: four columns, joined by commas: left, top, right and bottom in pixels.
        separator: what parts tags, categories and concepts.
        delimiter: what parts the columns; the most frequent of ``, ; tab |`` in the first line if not given.

    Raises:
        UsageError: a named column is not there.
        PerisphereError: the file is missing, has no header, is not UTF-8 or not CSV.
    """
    if not separator:
        raise UsageError("separator: must not be empty; give what parts tags, for example '|'.")
    file = _find(root)
    header, lines = _parse(file, delimiter)
    wanted = {
        "path": path_column, "label": label_column, "split": split_column, "camera": camera_column,
        "domain": domain_column, "tags": tags_column, "caption": caption_column,
        "categories": categories_column, "concepts": concepts_column, "url": url_column,
    }  # fmt: skip
    columns = {name: _column(file, header, name, given) for name, given in wanted.items()}
    corners = _box_columns(file, header, box_columns)
    folder = Path(images) if images is not None else file.parent
    if not folder.is_dir():
        raise PerisphereError(f"{folder}: no such folder of images. Name one that is there.")
    listing = Listing(folder.absolute())
    for number, line in lines:
        _add(listing, file, number, line, columns, corners, separator)
    return listing


def _find(root: Path) -> Path:
    if root.is_file():
        return root
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such CSV file.")
    found = sorted(path for path in root.iterdir() if path.suffix.lower() in (".csv", ".tsv"))
    if not found:
        raise PerisphereError(f"{root}: holds no CSV file. Name the file itself.")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UsageError(f"{root}: holds {len(found)} CSV files ({names}). Name one of them.")
    return found[0]


def _parse(file: Path, delimiter: str | None) -> tuple[list[str], list[tuple[int, list[str]]]]:
    if delimiter is not None and len(delimiter) != 1:
        raise UsageError(f"delimiter: {delimiter!r} is not one character.")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror}). Check its permissions.") from error
    except UnicodeDecodeError as error:
        raise PerisphereError(f"{file}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from error
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or max(",;\t|", key=first.count))
    try:
        lines = [(reader.line_num, line) for line in reader if line]
    except csv.Error as error:
        raise PerisphereError(f"{file}: line {reader.line_num} is not CSV ({error}).") from error
    if not lines:
        raise PerisphereError(f"{file}: empty. Its first line must name the columns.")
    header = lines[0][1]
    doubled = next((name for name in header if header.count(name) > 1), None)
    if doubled is not None:
        raise PerisphereError(f"{file}: two columns are named {doubled!r}. Rename one.")
    return header, lines[1:]


def _column(file: Path, header: list[str], name: str, given: str | None) -> int | None:
    """Return the place of a column: the one named by the option, else one of the usual name, else none."""
    usual = next((word for word in _USUAL.get(name, ()) if word in header), None)
    if given is None and name not in header and usual is not None:
        return header.index(usual)
    if given is None and name not in header and name != "path":
        return None
    wanted = name if given is None else given
    if wanted not in header:
        option = f"--{name}-column"
        mend = nearest(wanted, header) or f" Name one of {', '.join(header)} with {option}."
        raise UsageError(f"{file}: no column {wanted!r} for {option}.{mend}")
    return header.index(wanted)


def _box_columns(file: Path, header: list[str], given: str | None) -> list[int] | None:
    if given is None and not set(_CORNERS.split(",")) <= set(header):
        return None
    names = (given or _CORNERS).split(",")
    if len(names) != 4:
        raise UsageError(f"--box-columns: {given!r} names {len(names)} columns; give left,top,right,bottom.")
    for name in names:
        if name not in header:
            mend = nearest(name, header) or f" The columns are {', '.join(header)}."
            raise UsageError(f"{file}: no column {name!r} for --box-columns.{mend}")
    return [header.index(name) for name in names]


def _add(
    listing: Listing,
    file: Path,
    number: int,
    line: list[str],
    columns: dict[str, int | None],
    corners: list[int] | None,
    separator: str,
) -> None:
    def cell(at: int | None) -> str:
        return "" if at is None or at >= len(line) else line[at]

    path = cell(columns["path"])
    if not path:
        listing.bad.append(Skipped(f"{file.name}:{number}", "row without a path"))
        return
    row: dict[str, Any] = {name: cell(columns[name]) or None for name in _TEXT}
    row["path"] = path = _relative(path, listing.root)
    row["split"] = row["split"] and split_name(row["split"])
    for name in _LISTS:
        row[name] = [part.strip() for part in cell(columns[name]).split(separator) if part.strip()]
    if corners is not None and any(cell(at) for at in corners):
        row["box"] = _box([cell(at) for at in corners])
        if row["box"] is None:
            reason = "is not four numbers with an area"
            box = [cell(at) for at in corners]
            listing.bad.append(Skipped(path, f"box {box} {reason}", f"box {reason}"))
            return
    listing.rows.append(row)


def _relative(path: str, root: Path) -> str:
    """Return the path relative to the root with slashes, also for a table made on Windows."""
    if "\\" in path and not os.path.exists(root / path):  # noqa: PTH110
        path = path.replace("\\", "/")
    if os.path.isabs(path):  # noqa: PTH117
        return os.path.relpath(path, root)
    return os.path.normpath(path)


def _box(cells: list[str]) -> list[int] | None:
    """Return whole pixels around the corners, or none where they span no area."""
    try:
        x0, y0, x1, y1 = (float(cell) for cell in cells)
        box = [math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)]
    except (ValueError, OverflowError):
        return None
    return box if box[0] < box[2] and box[1] < box[3] else None

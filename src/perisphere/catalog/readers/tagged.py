"""Photos with the tags that users gave them: ``images/`` beside ``tags.jsonl`` or ``tags.csv``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers import csv_table
from perisphere.catalog.readers.listing import Listing, is_utf8, split_name
from perisphere.catalog.readers.lists import is_inside, read_lines
from perisphere.errors import PerisphereError, UsageError

_NAMES = ("tags.jsonl", "tags.csv", "tags.tsv")
_PHOTOS = "images"
_TEXTS = ("split", "label", "caption", "camera", "domain", "url")
_LISTS = ("tags", "concepts", "categories")


def list_images(
    root: Path,
    *,
    images: Path | None = None,
    separator: str | None = None,
    delimiter: str | None = None,
) -> Listing:
    """List the photos of a table with a row a photo: JSON lines or CSV.

    ``image`` is the photo's path, from the table's folder or from ``images`` in it; ``tags`` are what users
    typed, ``concepts`` what the photo truly shows; ``split``, ``label`` and ``caption`` are taken too. All
    but ``image`` may be missing, but some photo must have a tag. In JSON lines ``tags`` and ``concepts`` are
    lists of texts; other fields are passed over.

    Args:
        root: the table, or the folder that holds ``tags.jsonl``, ``tags.csv`` or ``tags.tsv``.
        images: the folder that paths start from, where it is another one.
        separator: CSV: what parts tags and concepts; ``|`` if not given.
        delimiter: CSV: what parts the columns; found by itself if not given.

    Raises:
        UsageError: the folder holds several tables, or an option of CSV is given with JSON lines.
        PerisphereError: the table is missing or broken, or no photo in it has a tag.
    """
    file = _find(root)
    if images is not None and not Path(images).is_dir():
        raise PerisphereError(f"{images}: no such folder of images. Name one that is there.")
    folder = file.parent if images is None else Path(images).absolute()
    prefix = f"{_PHOTOS}/" if images is None and (folder / _PHOTOS).is_dir() else ""
    if file.suffix.lower() in (".csv", ".tsv"):
        return _from_csv(file, folder, prefix, separator or "|", delimiter)
    for option, value in (("separator", separator), ("delimiter", delimiter)):
        if value is not None:
            raise UsageError(f"--{option} {value!r}: belongs to CSV, and {file} holds JSON lines. Drop it.")
    listing = Listing(folder)
    listing.later = _tagged(file, _from_json(file, listing, prefix))
    return listing


def _find(root: Path) -> Path:
    if root.is_file():
        return root
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder or table of tags.")
    found = [name for name in _NAMES if (root / name).is_file()]
    if not found:
        raise PerisphereError(f"{root}: holds no {', '.join(_NAMES)}. Name the table itself.")
    if len(found) > 1:
        raise UsageError(f"{root}: holds {' and '.join(found)}. Name one of them.")
    return root / found[0]


def _from_csv(file: Path, folder: Path, prefix: str, separator: str, delimiter: str | None) -> Listing:
    listing = csv_table.list_images(file, images=folder, separator=separator, delimiter=delimiter)
    for row in listing.rows:
        row["path"] = _placed(row["path"], prefix)
    listing.rows = list(_tagged(file, iter(listing.rows)))
    return listing


def _tagged(file: Path, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows, and refuse a table of them without any tag: its field must have another name."""
    count = tagged = 0
    for row in rows:
        count += 1
        tagged += bool(row["tags"])
        yield row
    if count and not tagged:
        raise PerisphereError(f"{file}: no photo has a tag. Name their field or column `tags`.")


def _placed(path: str, prefix: str) -> str:
    return path if path.startswith((prefix, "../")) else prefix + path


def _from_json(file: Path, listing: Listing, prefix: str) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for number, line in read_lines(file):
        where = f"{file.name}:{number}"
        try:
            row = _row(line)
        except ValueError as error:
            listing.bad.append(Skipped(where, str(error)))
            continue
        row["path"] = _placed(row["path"], prefix)
        if row["path"] in seen:
            listing.bad.append(Skipped(where, f"names {row['path']} again", "names a photo again"))
            continue
        seen.add(row["path"])
        yield row


def _row(line: str) -> dict[str, Any]:
    """Return the columns of one line.

    Raises:
        ValueError: with the reason why the line is no photo with tags.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("line is not JSON") from None
    if not isinstance(record, dict):
        raise ValueError("line is no JSON object")
    path = record.get("image")
    if not isinstance(path, str) or not path:
        raise ValueError("line without the text `image`")
    if not is_inside(path) or "\0" in path or not is_utf8(path):
        raise ValueError("`image` leads out of the folder of photos")
    row: dict[str, Any] = {"path": path}
    row |= {name: _text(record, name) for name in _TEXTS}
    row["split"] = row["split"] and split_name(row["split"])
    return row | {name: _texts(record, name) for name in _LISTS}


def _text(record: dict[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is not None and not (isinstance(value, str) and is_utf8(value)):
        raise ValueError(f"`{name}` is no text")
    return value or None


def _texts(record: dict[str, Any], name: str) -> list[str]:
    values = record.get(name)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(word, str) and is_utf8(word) for word in values):
        raise ValueError(f"`{name}` is no list of texts")
    return [word.strip() for word in values if word.strip()]

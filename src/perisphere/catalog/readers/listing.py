"""What a reader hands over before the images are checked, and the walk that folder readers share."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import polars as pl

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.images import SUFFIXES, display
from perisphere.errors import PerisphereError

_SPLITS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
SPLIT_FOLDERS = frozenset(("train", "val", "validation", "test", "query", "gallery", "index"))


@dataclass
class Listing:
    """The images that a layout names.

    Attributes:
        root: the folder that the paths start from.
        rows: one dict an image with some columns of the catalog's table; ``path`` is always there, and
            a box of pixels as they are stored, before the photo is turned upright, is its ``stored_box``.
        later: more such rows, taken one by one after the others, where they may be too many to hold at once.
        packed: instead of both, rows whose photo is no file yet: ``pixels`` is its uint8 RGB ``[h, w, 3]``,
            ``path`` is where it is to be written.
        classes: label by class id, in the order of the data set, where classes have ids.
        bad: images that the layout names and that cannot be used; an error when reading is strict.
        ignored: files that never were candidates, such as text beside the images.
        remarks: what is worth knowing of rows that are kept: names by remark.
        unseen: rows are kept without looking at their photos, which need not be there; they have no sizes.
        check: what rows must fulfil together, asked once their images are known to decode; it returns those
            that are kept, and counts the others here.
        side_tables: makes the catalog's side tables by name, from its table and an empty folder for batches.
        facts: more of the catalog's ``source``.
    """

    root: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    later: Iterable[dict[str, Any]] = ()
    packed: Iterable[dict[str, Any]] | None = None
    classes: dict[str, str] = field(default_factory=dict)
    bad: list[Skipped] = field(default_factory=list)
    ignored: list[Skipped] = field(default_factory=list)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    unseen: bool = False
    check: Callable[[Self, pl.DataFrame], pl.DataFrame] | None = None
    side_tables: Callable[[pl.DataFrame, Path], dict[str, pl.LazyFrame]] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def split_name(name: str) -> str:
    """Return the catalog's word for a split: ``validation`` is ``val``."""
    return _SPLITS.get(name.lower(), name)


def walk(root: Path) -> Listing:
    """List the image files below ``root`` by suffix, sorted, each folder's files before its folders.

    Names that begin with a dot are passed over. Links to folders are followed, but never back into a folder
    that is being listed.

    Raises:
        PerisphereError: ``root`` is not a folder that can be listed.
    """
    if not root.is_dir():
        raise PerisphereError(f"{display(root)}: no such folder of images. Name one that is there.")
    listing = Listing(root)
    _walk(root, "", (), listing)
    return listing


def _walk(folder: Path, relative: str, above: tuple[tuple[int, int], ...], listing: Listing) -> None:
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        if not relative:
            raise PerisphereError(
                f"{display(folder)}: cannot be read ({error.strerror}). Check its permissions."
            ) from error
        listing.bad.append(Skipped(display(relative), f"folder cannot be read ({error.strerror})"))
        return
    this = (status.st_dev, status.st_ino)
    if this in above:
        listing.ignored.append(Skipped(display(relative), "link back into a folder above it"))
        return
    entries = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in entries:
        if not entry.is_dir():
            _file(relative + entry.name, listing)
    for entry in entries:
        if entry.is_dir():
            _walk(folder / entry.name, f"{relative}{entry.name}/", (*above, this), listing)


def _file(path: str, listing: Listing) -> None:
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 (a path may hold bytes that are not UTF-8)
    if suffix not in SUFFIXES:
        kind = display(suffix) or "no suffix"
        listing.ignored.append(Skipped(display(path), f"not an image file ({kind})"))
    elif not is_utf8(path):
        listing.bad.append(Skipped(display(path), "name is not UTF-8; rename the file or its folder"))
    else:
        listing.rows.append({"path": path})


def is_utf8(text: str) -> bool:
    """Tell whether a file name is UTF-8, as tables and JSON need it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

"""Flickr25K and NUS-WIDE as published with weakly supervised hyperspherical quantization.

Source: Wang et al., "Weakly Supervised Deep Hyperspherical Quantization for Image Retrieval", AAAI 2021; the
photos by Huiskes and Lew, "The MIR Flickr Retrieval Evaluation", MIR 2008, and Chua et al., "NUS-WIDE: A
Real-World Web Image Database from National University of Singapore", CIVR 2009.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import is_inside, read_lines
from perisphere.errors import PerisphereError
from perisphere.foreign.column_names import concept_names, read_names
from perisphere.foreign.flags import count_columns, count_rows, flag_rows

_LABELLED = {"database": "gallery", "test": "query"}
_CONCEPTS = "concepts.txt"


@dataclass(frozen=True)
class _Part:
    """A list of photos and the matrix of their tags or concepts, which fills one column of the catalog."""

    images: Path
    matrix: Path
    split: str
    column: str
    names: list[str]


def list_flickr25k(root: Path, *, concepts: Path | None = None) -> Listing:
    """List Flickr25K: splits ``train`` (with tags), ``gallery`` and ``query`` (with concepts).

    Args:
        root: the folder of ``data/flickr25k`` (``train_img.txt``, ``train_tag.txt``, ``database_img.txt``,
            ``database_label.txt``, ``test_img.txt``, ``test_label.txt``, ``common_tags.txt``) and
            ``datasets/flickr25k`` (the photos).
        concepts: names of the columns of concepts, one a line; ``concepts.txt`` beside the lists where it is
            there, else ``concept-01``, ``concept-02`` ...

    Raises:
        PerisphereError: a list is missing, or lists and matrices differ in their rows or columns.
    """
    return _list(root, "flickr25k", "common_tags.txt", concepts)


def list_nuswide(root: Path, *, concepts: Path | None = None) -> Listing:
    """List NUS-WIDE in the same way: ``data/nus-wide`` with ``TagList1k.txt``, and ``datasets/nus-wide``."""
    return _list(root, "nus-wide", "TagList1k.txt", concepts)


def _list(root: Path, name: str, tag_list: str, concepts: Path | None) -> Listing:
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    lists, photos = root / "data" / name, root / "datasets" / name
    for folder, what in ((lists, "lists"), (photos, "photos")):
        if not folder.is_dir():
            raise PerisphereError(
                f"{folder}: no such folder of {what}. Name the folder above data and datasets."
            )
    tags = read_names(lists / tag_list)
    names = _concepts(lists, concepts)
    parts = [_Part(lists / "train_img.txt", lists / "train_tag.txt", "train", "tags", tags)]
    for name, split in _LABELLED.items():
        matrix = lists / f"{name}_label.txt"
        parts.append(_Part(lists / f"{name}_img.txt", matrix, split, "concepts", names))
    for part in parts:
        _check_shape(part)
    listing = Listing(photos)
    listing.later = chain.from_iterable(_rows(listing, part) for part in parts)
    return listing


def _concepts(lists: Path, given: Path | None) -> list[str]:
    """Return the names of the concepts; none where no photo is labelled."""
    beside = lists / _CONCEPTS
    file = beside if given is None and beside.is_file() else given
    for matrix in (lists / f"{name}_label.txt" for name in _LABELLED):
        columns = count_columns(matrix)
        if columns is not None:
            return concept_names(file, columns, matrix)
    return []


def _check_shape(part: _Part) -> None:
    """Refuse lists that do not belong together before the first photo is decoded."""
    photos, rows = sum(1 for _ in read_lines(part.images)), count_rows(part.matrix)
    if photos != rows:
        raise PerisphereError(f"{part.matrix}: {rows} rows for the {photos} photos of {part.images.name}.")
    columns = count_columns(part.matrix)
    if columns not in (None, len(part.names)):
        raise PerisphereError(
            f"{part.matrix}: {columns} columns where {part.column} have {len(part.names)} names."
        )


def _rows(listing: Listing, part: _Part) -> Iterator[dict[str, Any]]:
    rows = flag_rows(part.matrix, len(part.names))
    for (number, line), flags in zip(read_lines(part.images), rows, strict=True):
        path = line.replace("\\", "/")
        if is_inside(path):
            yield {"path": path, "split": part.split, part.column: [part.names[flag] for flag in flags]}
        else:
            where = f"{part.images.name}:{number}"
            listing.bad.append(Skipped(where, "leads out of the folder of photos"))

"""NUS-WIDE as its authors give it: lists of photos, files of labels and tags in the same order.

Source: Chua et al., "NUS-WIDE: A Real-World Web Image Database from National
University of Singapore", CIVR 2009.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import is_inside, read_lines
from perisphere.errors import PerisphereError, UsageError
from perisphere.foreign.column_names import read_different, read_names
from perisphere.foreign.flags import count_rows, flag_column, flag_rows
from perisphere.foreign.typed_text import read_typed

TAG_LISTS = ("all", "1k")
_ID = re.compile(r"_(\d{1,18})\.\w+$")


@dataclass(frozen=True)
class _Part:
    """A list of photos, and what lies in its order.

    Attributes:
        images: file in ``ImageList``.
        labels: folder in ``Groundtruth``.
        suffix: of ``Labels_CONCEPT``.
        tags: names of the matrix of the thousand tags.
        split: of its photos; empty for the whole list.
    """

    images: str
    labels: str
    suffix: str
    tags: tuple[str, ...]
    split: str


_WHOLE = _Part("Imagelist.txt", "AllLabels", "", ("AllTags1k.txt", "AllTags1k.dat"), "")
_DIVIDED = tuple(
    _Part(
        f"{name}Imagelist.txt",
        "TrainTestLabels",
        f"_{name}",
        (f"{name}_Tags1k.txt", f"{name}_Tags1k.dat"),
        split,
    )
    for name, split in (("Train", "train"), ("Test", "test"))
)


def list_images(root: Path, *, images: Path | None = None, tag_list: str | None = None) -> Listing:
    """List NUS-WIDE: splits ``train`` and ``test`` where their lists are there; concepts and tags.

    Args:
        root: the folder of ``ImageList``, ``Groundtruth`` (``AllLabels``, or ``TrainTestLabels`` where that
            is missing), ``NUS_WID_Tags``, ``ConceptsList/Concepts81.txt`` and ``Flickr``.
        images: the folder of photos; ``root/Flickr`` if not given.
        tag_list: ``all``: what users typed, by photo (``All_Tags.txt``); ``1k``: the thousand tags of
            ``TagList1k.txt`` (``AllTags1k``). The first that is there if not given.

    Raises:
        UsageError: an unknown list of tags.
        PerisphereError: a list is missing, or files that belong together differ in their rows.
    """
    if tag_list not in (None, *TAG_LISTS):
        raise UsageError(f"--tag-list {tag_list!r}: is not {' or '.join(TAG_LISTS)}.")
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    folder = root / "Flickr" if images is None else Path(images).absolute()
    if not folder.is_dir():
        raise PerisphereError(f"{folder}: no such folder of photos. Name it with --images.")
    listing = Listing(folder)
    parts = (_WHOLE,) if (root / "Groundtruth" / _WHOLE.labels).is_dir() else _DIVIDED
    names = _concepts(root, parts[0])
    splits = _splits(root)
    typed = None if tag_list == "1k" else _typed(root, needed=tag_list == "all")
    listing = Listing(folder)
    rows = []
    for part in parts:
        file = root / "ImageList" / part.images
        paths = _paths(file)
        labels = _labels(root, part, names, len(paths))
        tags = _of_thousand(root, part, paths, listing) if typed is None else _of_users(typed, paths)
        rows.append(_rows(listing, file.name, paths, zip(labels, tags, strict=True), names, splits))
    listing.later = chain.from_iterable(rows)
    return listing


def _paths(file: Path) -> list[str]:
    return [line.replace("\\", "/") for _, line in read_lines(file)]


def _splits(root: Path) -> dict[str, str]:
    """Return the split of each path that a list of training or test photos has."""
    files = ((root / "ImageList" / part.images, part.split) for part in _DIVIDED)
    return {path: split for file, split in files if file.is_file() for path in _paths(file)}


def _concepts(root: Path, part: _Part) -> list[str]:
    """Return the concepts in their published order; in the order of their files where the list is missing."""
    file = root / "ConceptsList" / "Concepts81.txt"
    if file.is_file():
        return read_different(file)
    folder = root / "Groundtruth" / part.labels
    ending = f"{part.suffix}.txt"
    files = sorted(file.name for file in folder.glob(f"Labels_*{ending}"))
    if not files:
        raise PerisphereError(f"{folder}: holds no Labels_CONCEPT{ending}. Is the data set complete?")
    return [name.removeprefix("Labels_").removesuffix(ending) for name in files]


def _labels(root: Path, part: _Part, names: list[str], photos: int) -> NDArray[np.bool_]:
    """Return which concepts each photo has, bool ``[photos, concepts]``."""
    labels = np.zeros((photos, len(names)), bool)
    for column, name in enumerate(names):
        file = root / "Groundtruth" / part.labels / f"Labels_{name}{part.suffix}.txt"
        flags = flag_column(file)
        if len(flags) != photos:
            raise PerisphereError(f"{file}: {len(flags)} rows for the {photos} photos of {part.images}.")
        labels[:, column] = flags
    return labels


def _typed(root: Path, *, needed: bool) -> dict[int, str] | None:
    """Return what users typed by the id of the photo; ``None`` where the file is missing."""
    file = root / "NUS_WID_Tags" / "All_Tags.txt"
    if not (file.is_file() or needed):
        return None
    typed = {}
    for number, line in enumerate(read_typed(file).split("\n"), 1):
        id, *words = line.split(maxsplit=1)[:2] or [""]
        if not id:
            continue
        if not (id.isascii() and id.isdigit() and len(id) < 19):
            raise PerisphereError(f"{file}: line {number}: {line[:80]!r} does not begin with a photo's id.")
        typed[int(id)] = " ".join(words)
    return typed


def _of_users(typed: dict[int, str], paths: list[str]) -> Iterator[list[str]]:
    for path in paths:
        id = _ID.search(path)
        yield typed.get(int(id[1]), "").split() if id else []


def _of_thousand(root: Path, part: _Part, paths: list[str], listing: Listing) -> Iterator[list[str]]:
    """Return the tags of each photo among the thousand; none, with a remark, where no matrix is there."""
    folder = root / "NUS_WID_Tags"
    matrix = next((folder / name for name in part.tags if (folder / name).is_file()), None)
    if matrix is None:
        listing.remarks[f"no All_Tags.txt nor {part.tags[0]}: photos have no tags"] = [part.images]
        return ([] for _ in paths)
    names = read_names(folder / "TagList1k.txt")
    rows = count_rows(matrix)
    if rows != len(paths):
        raise PerisphereError(f"{matrix}: {rows} rows for the {len(paths)} photos of {part.images}.")
    return ([names[flag] for flag in flags] for flags in flag_rows(matrix, len(names)))


def _rows(
    listing: Listing,
    name: str,
    paths: list[str],
    columns: Iterable[tuple[NDArray[np.bool_], list[str]]],
    names: list[str],
    splits: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    for number, (path, (labels, tags)) in enumerate(zip(paths, columns, strict=True), 1):
        if is_inside(path):
            concepts = [names[column] for column in np.flatnonzero(labels)]
            yield {"path": path, "split": splits.get(path), "tags": tags, "concepts": concepts}
        else:
            listing.bad.append(Skipped(f"{name}:{number}", "leads out of the folder of photos"))

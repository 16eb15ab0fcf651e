"""Lists that papers on hashing report on: ``PATH 0 1 0 ...`` a line, one list for each split."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import is_inside, read_lines
from perisphere.errors import PerisphereError
from perisphere.foreign.column_names import concept_names
from perisphere.foreign.flags import parse_flags

_SPLITS = {"train": "train", "database": "gallery", "test": "query"}


def list_images(
    root: Path,
    *,
    images: Path | None = None,
    concepts: Path | None = None,
    without_photos: bool | None = None,
) -> Listing:
    """List ``train.txt`` (split ``train``), ``database.txt`` (``gallery``) and ``test.txt`` (``query``).

    Args:
        root: the folder of the lists; one of them may be missing, or two.
        images: the folder that the paths start from; ``root`` if not given.
        concepts: names of the columns, one a line; ``concept-01``, ``concept-02`` ... if not given.
        without_photos: keep every row without looking for its photo; such a catalog has no sizes, and serves
            where labels alone count.

    Raises:
        PerisphereError: no list is there, or a line has another form than the first.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder of lists.")
    folder = root if images is None else Path(images).absolute()
    if not folder.is_dir() and not without_photos:
        raise PerisphereError(f"{folder}: no such folder of images. Name one that is there.")
    files = {split: root / f"{name}.txt" for name, split in _SPLITS.items()}
    found = {split: file for split, file in files.items() if file.is_file()}
    if not found:
        raise PerisphereError(f"{root}: holds none of {', '.join(file.name for file in files.values())}.")
    first = next((entry for file in found.values() for entry in _entries(file)), None)
    names = [] if first is None else concept_names(concepts, len(first[2]), first[0])
    listing = Listing(folder, unseen=bool(without_photos))
    listing.later = _rows(listing, found, names)
    return listing


def _rows(listing: Listing, files: dict[str, Path], names: list[str]) -> Iterator[dict[str, Any]]:
    for split, file in files.items():
        for _, number, flags, path in _entries(file):
            if len(flags) != len(names):
                raise PerisphereError(
                    f"{file}: line {number} has {len(flags)} numbers where {len(names)} belong."
                )
            if is_inside(path):
                shown = [names[flag] for flag in np.flatnonzero(flags)]
                yield {"path": path, "split": split, "concepts": shown}
            else:
                listing.bad.append(Skipped(f"{file.name}:{number}", "leads out of the folder of photos"))


def _entries(file: Path) -> Iterator[tuple[Path, int, NDArray[np.bool_], str]]:
    """Yield file, number of the line, flags ``[columns]`` and path of every line."""
    for number, line in read_lines(file):
        path, numbers = _parted(line)
        flags = parse_flags(numbers.encode())
        if flags is None or not len(flags) or not path:
            raise PerisphereError(f"{file}: line {number}: {line[:80]!r} is not PATH and numbers 0 and 1.")
        yield file, number, flags, path.replace("\\", "/")


def _parted(line: str) -> tuple[str, str]:
    """Return the path, which may hold spaces (``Flickr/cow boy/1.jpg``), and the numbers behind it."""
    end = len(line.rstrip("01 \t"))
    while end < len(line) and not line[end].isspace():  # a path may end in such a digit
        end += 1
    return line[:end], line[end:]

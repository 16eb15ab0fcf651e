"""Lists of WikiScenes: ``PATH:['LABEL', ...]:CAPTION:CATEGORY, CATEGORY, ...``, a photo a line.

Source: Wu et al., "Towers of Babel", ICCV 2021; the lists of the published program.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path, PurePosixPath

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.lists import is_inside, read_lines
from perisphere.errors import PerisphereError

SPLITS = {"train": "train", "val_easy": "val", "val": "test"}
"""Split by the beginning of a list's name: ``val_easy`` has photos of landmarks that training knows."""

_DEPTH = 3  # parts of a path before the first category below a landmark: WikiScenes, the kind, the landmark
_MOST_PARTS = 16  # of a text of category names; the ways to part a longer one are too many to try


@dataclass(frozen=True)
class ListedPhoto:
    """A line of a list.

    Attributes:
        path: as the list writes it, with ``/``.
        labels: class names as they stand, the primary one first.
        caption: cut to 100 characters and without colons, as published; may be empty.
        categories: names from below the landmark down to the leaf, in one text. Names may hold commas:
            :func:`category_names` takes them apart.
        split: of the catalog.
    """

    path: str
    labels: tuple[str, ...]
    caption: str
    categories: str
    split: str = ""

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders of the categories below the landmark, from the uppermost down."""
        parts = PurePosixPath(self.path).parts
        return tuple("/".join(parts[: end + 1]) for end in range(_DEPTH, len(parts) - 2))


def parse(line: str, split: str = "") -> ListedPhoto | None:
    """Return what a line of a list says; ``None`` where it has not exactly four fields and a path.

    Args:
        line: of a list, without its end.
        split: of the list.
    """
    fields = line.split(":")
    if len(fields) != 4:
        return None
    path, labels, caption, categories = fields
    path = path.removeprefix("./")
    if not is_inside(path) or len(PurePosixPath(path).parts) <= _DEPTH:
        return None
    names = tuple(name for word in labels.strip(" []").split() if (name := word.strip(",'\"")))
    return ListedPhoto(path, names, caption, categories, split)


def read_list(file: Path, split: str, bad: list[Skipped]) -> Iterator[ListedPhoto]:
    """Yield the photos of a list, plain or packed by gzip.

    Args:
        file: the list.
        split: of its photos.
        bad: takes the lines that have another form.

    Raises:
        PerisphereError: the file cannot be read or is not text.
    """
    for number, line in read_lines(file):
        photo = parse(line, split)
        if photo is None:
            bad.append(Skipped(f"{file.name}:{number}", "line is not PATH:[LABELS]:CAPTION:CATEGORIES"))
        else:
            yield photo


def find_lists(folder: Path) -> dict[str, Path]:
    """Return the list of each split that a folder has one for, in the order of :data:`SPLITS`.

    Raises:
        PerisphereError: a split has more than one list.
    """
    found: dict[str, Path] = {}
    for file in sorted([*folder.glob("*.txt"), *folder.glob("*.txt.gz")]):
        prefix = next((word for word in ("val_easy", "val", "train") if file.name.startswith(word)), None)
        if prefix is None or (file.name.endswith(".gz") and file.with_suffix("").is_file()):
            continue
        other = found.setdefault(SPLITS[prefix], file)
        if other != file:
            raise PerisphereError(
                f"{folder}: {other.name} and {file.name} are both lists {prefix}*; keep one of them there."
            )
    return {split: found[split] for split in SPLITS.values() if split in found}


def spelling(path: str) -> str:
    """Return a path in the spelling that photos are compared by: NFC, underscores in place of spaces."""
    return unicodedata.normalize("NFC", path).replace(" ", "_")


def category_names(photos: Iterable[ListedPhoto]) -> dict[str, str]:
    """Return the name of each folder of a category, taken from the lists alone.

    The names of a photo are joined by a comma and a space, which names may hold themselves. Three things say
    where a name ends: a name begins with a capital, since Wikimedia writes the titles of categories so; each
    folder has a name; and a folder has the same name in all its photos. Where that leaves a choice, commas
    are spread evenly.

    Args:
        photos: of lists.

    Returns:
        Name by folder (``WikiScenes/cathedrals/4/1``); a folder is missing where its text has too few names.
    """
    ways = {photo.folders: _ways(_parts(photo.categories), len(photo.folders)) for photo in photos}
    _agree(ways)
    names: dict[str, str] = {}
    for folders, found in ways.items():
        for way in found[:1]:
            names |= {folder: name for folder, name in zip(folders, way, strict=True) if folder not in names}
    return names


def _agree(ways: dict[tuple[str, ...], list[tuple[str, ...]]]) -> None:
    """Drop ways that give a folder a name that another photo's ways exclude, until none is left to drop."""
    left = -1
    while left != (left := sum(map(len, ways.values()))):
        names: dict[str, set[str]] = {}
        for folders, found in ways.items():
            for folder, options in zip(folders, map(set, zip(*found, strict=True)), strict=False):
                names[folder] = names.get(folder, options) & options or options
        for folders, found in ways.items():
            agreeing = [
                way
                for way in found
                if all(name in names[folder] for folder, name in zip(folders, way, strict=True))
            ]
            ways[folders] = agreeing or found


def _parts(text: str) -> list[str]:
    """Part a text at its commas, but not before a part that no name begins with."""
    parts: list[str] = []
    for part in text.split(", "):
        if parts and part[:1].islower():
            parts[-1] += f", {part}"
        else:
            parts.append(part)
    return parts


def _ways(parts: list[str], count: int) -> list[tuple[str, ...]]:
    """Return the ways to put so many names together from consecutive parts, the most even first.

    There is none where the parts are too few, or too many to try.
    """
    if not count <= len(parts) <= _MOST_PARTS:
        return []
    inner = combinations(range(1, len(parts)), count - 1) if count else ()
    cuts = [(0, *ends, len(parts)) for ends in inner]
    cuts.sort(key=lambda cut: max(b - a for a, b in pairwise(cut)))
    return [tuple(", ".join(parts[a:b]) for a, b in pairwise(cut)) for cut in cuts]

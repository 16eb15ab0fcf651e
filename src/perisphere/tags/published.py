"""The tags that WSDHQ published, ``FinalTagEmbs.txt`` and ``TagIdMergeMap.pkl``; nothing in them is run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.foreign.column_names import read_counted
from perisphere.foreign.flags import flag_rows
from perisphere.foreign.plain_pickle import read_plain_pickle
from perisphere.progress import track
from perisphere.tags.tags import Tags
from perisphere.tags.words import normalise

WORDS = ("common_tags.txt", "TagList1k.txt")
MAX_DIM = 8_192
MAX_LINE = 1 << 22
DROPPED = -1
"""The key of the merge map that collects the dropped columns."""


@dataclass(frozen=True)
class _Raw:
    """The list of raw tags: a word a column, and how many photos carry it where the list says so."""

    words: list[str]
    counts: list[int]


def read_published(folder: Path) -> Tags:
    """Return the tags of a published data folder, such as ``data/flickr25k``.

    Needed are ``tags/FinalTagEmbs.txt`` (a row of numbers a tag), ``tags/TagIdMergeMap.pkl`` (a dict of
    merged tag to raw columns, in the order of the rows; key -1: dropped) and ``common_tags.txt`` or
    ``TagList1k.txt`` (what the columns are called). Photos are counted in ``train_tag.txt`` where that is
    there, else the count of a tag is the largest that the list gives one of its members.

    Raises:
        PerisphereError: a file is missing or damaged, they do not fit together, or the pickle asks for code.
    """
    folder = Path(folder)
    raw = _read_words(folder)
    columns = _read_map(folder / "tags" / "TagIdMergeMap.pkl", len(raw.words))
    members = [list(group) for key, group in columns.items() if key != DROPPED]
    vectors = _read_vectors(folder / "tags" / "FinalTagEmbs.txt", len(members))
    names = _names([key for key in columns if key != DROPPED], members, raw)
    counted = folder / "train_tag.txt"
    counts = _count(counted, members, len(raw.words)) if counted.is_file() else _listed(members, raw)
    merges: dict[str, str | None] = dict.fromkeys(raw.words)
    for name, group in reversed(list(zip(names, members, strict=True))):
        merges |= dict.fromkeys((raw.words[column] for column in group), name)
    reasons = {
        word: "dropped as published" if tag is None else "merged as published" for word, tag in merges.items()
    }
    reasons = {word: reason for word, reason in reasons.items() if merges[word] != word}
    about = {"format": "published", "from": [folder.name], "counted": counted.is_file()}
    return Tags(names, vectors, counts, merges, about, reasons)


def _read_words(folder: Path) -> _Raw:
    file = next((folder / name for name in WORDS if (folder / name).is_file()), None)
    if file is None:
        raise PerisphereError(f"{folder}: has neither {' nor '.join(WORDS)}, which names the raw tags.")
    words, counts = read_counted(file)
    if not words:
        raise PerisphereError(f"{file}: names no tags. Get it again.")
    return _Raw(words, counts)


def _read_map(file: Path, count: int) -> dict[Any, list[int]]:
    """Return the columns of each merged tag."""
    found = read_plain_pickle(file, objects=True)
    if not isinstance(found, dict) or not found.keys() - {DROPPED}:
        raise PerisphereError(f"{file}: is no dict of merged tags and their columns. Get it again.")
    columns: dict[Any, list[int]] = {}
    for key, group in found.items():
        listed = group.tolist() if isinstance(group, np.ndarray) else group
        listed = [listed] if isinstance(listed, int) else listed
        if not isinstance(listed, list | tuple) or not all(type(column) is int for column in listed):
            raise PerisphereError(f"{file}: tag {str(key)[:40]!r} has no list of columns. Get it again.")
        if not all(0 <= column < count for column in listed) or (not listed and key != DROPPED):
            raise PerisphereError(f"{file}: tag {str(key)[:40]!r} has columns beyond the {count:,} raw tags.")
        columns[key] = list(listed)
    return columns


def _read_vectors(file: Path, count: int) -> NDArray[np.float32]:
    """Return float32 ``[count, d]``; no more rows than that are read."""
    rows: list[NDArray[np.float32]] = []
    for number, line in enumerate(_lines(file), 1):
        try:
            rows.append(np.array(line.split(), np.float32))
        except ValueError as error:
            raise PerisphereError(f"{file}: line {number} is no row of numbers. Get it again.") from error
        if len(rows[-1]) != len(rows[0]) or not 1 <= len(rows[0]) <= MAX_DIM:
            raise PerisphereError(f"{file}: line {number} has {len(rows[-1])} numbers. Get it again.")
        if len(rows) > count:
            break
    if len(rows) != count:
        more = "more" if len(rows) > count else f"{len(rows):,}"
        raise PerisphereError(
            f"{file}: has {more} rows where TagIdMergeMap.pkl has {count:,} tags. Get both again."
        )
    return np.stack(rows)


def _names(keys: list[Any], members: list[list[int]], raw: _Raw) -> tuple[str, ...]:
    """Return a name for each tag: its key where that is a word, else its commonest member that is free."""
    taken: dict[str, None] = {}
    for row, (key, group) in enumerate(zip(keys, members, strict=True)):
        common = [raw.words[column] for column in sorted(group, key=lambda at: (-raw.counts[at], at))]
        candidates = [normalise(word) for word in ([key] if isinstance(key, str) else []) + common]
        taken[next((name for name in candidates if name and name not in taken), f"tag {row}")] = None
    return tuple(taken)


def _count(file: Path, members: list[list[int]], columns: int) -> NDArray[np.int64]:
    """Return on how many rows of a 0/1 matrix any column of each tag is 1."""
    tag_of = np.repeat(np.arange(len(members)), [len(group) for group in members])
    column_of = np.array([column for group in members for column in group], np.int64)
    counts = np.zeros(len(members), np.int64)
    for flags in track(flag_rows(file, columns), "counting tags", unit="photos"):
        present = np.zeros(columns, bool)
        present[flags] = True
        counts[np.unique(tag_of[present[column_of]])] += 1
    return counts


def _listed(members: list[list[int]], raw: _Raw) -> NDArray[np.int64]:
    return np.array([max(raw.counts[column] for column in group) for group in members], np.int64)


def _lines(file: Path) -> Iterator[str]:
    """Yield the lines of a text file that are not empty; none may be longer than 4 MiB."""
    try:
        with file.open(encoding="utf-8-sig") as text:
            while line := text.readline(MAX_LINE):
                if len(line) == MAX_LINE:
                    raise PerisphereError(f"{file}: has a line of over {MAX_LINE >> 20} MiB. Get it again.")
                if line.strip():
                    yield line
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        raise PerisphereError(f"{file}: is not UTF-8. Get it again.") from error

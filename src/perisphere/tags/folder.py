"""The folder of tags: two tables to read, one array, and how it was made."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perisphere.errors import PerisphereError
from perisphere.foreign.numpy_file import read_npy
from perisphere.storage import whole_folder

VERSION = 1
KIND = "perisphere tags"

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_PLAIN = {escaped[1]: plain for plain, escaped in _ESCAPES.items()}


class UnfitError(PerisphereError):
    """Tags whose parts do not fit together."""


def write(folder: Path, tags: dict[str, Any], overwrite: bool) -> None:
    """Write the fields of :class:`Tags` as a folder, whole or not at all; equal tags give equal bytes."""
    names, vectors = tags["names"], tags["vectors"]
    members: dict[str, list[str]] = {name: [] for name in names}
    for word, tag in tags["merges"].items():
        if tag is not None:
            members[tag].append(word)
    merges = [(word, tag or "", tags["reasons"].get(word, "")) for word, tag in tags["merges"].items()]
    rows = zip(
        names, map(str, tags["counts"].tolist()), (", ".join(members[name]) for name in names), strict=True
    )
    head = {
        "kind": KIND,
        "version": VERSION,
        "tags": len(names),
        "dim": vectors.shape[1],
        "about": tags["about"],
    }
    with whole_folder(folder, overwrite=overwrite) as part:
        np.save(part / "vectors.npy", vectors, allow_pickle=False)
        _write_table(part / "tags.tsv", ("tag", "photos", "members"), rows)
        _write_table(part / "merges.tsv", ("word", "tag", "reason"), merges)
        (part / "tags.json").write_text(json.dumps(head, indent=1, ensure_ascii=False), "utf-8")


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of :class:`Tags` from a folder that :func:`write` wrote.

    Raises:
        PerisphereError: a file is missing or damaged, or a newer Perisphere wrote it.
    """
    folder = Path(folder)
    about = _read_head(folder)
    tags = list(_read_table(folder / "tags.tsv"))
    merges = list(_read_table(folder / "merges.tsv"))
    vectors = read_npy(folder / "vectors.npy")
    if vectors.dtype != np.float32:
        raise _damaged(folder / "vectors.npy", f"holds {vectors.dtype}, not float32")
    try:
        counts = np.array([int(photos) for _, photos, _ in tags], np.int64)
    except (ValueError, OverflowError) as error:
        raise _damaged(folder / "tags.tsv", "a count is no number") from error
    return {
        "names": tuple(name for name, _, _ in tags),
        "vectors": np.array(vectors),
        "counts": counts,
        "merges": {word: tag or None for word, tag, _ in merges},
        "about": about,
        "reasons": {word: reason for word, _, reason in merges if reason},
    }


def _read_head(folder: Path) -> dict[str, Any]:
    file = folder / "tags.json"
    if not file.is_file():
        raise PerisphereError(
            f"{folder}: not a folder of tags (tags.json is missing). `perisphere tags build` makes one."
        )
    try:
        head = json.loads(file.read_text("utf-8"))
        if head["kind"] != KIND or not isinstance(head["about"], dict):
            raise ValueError
        newer = head["version"] > VERSION
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror}). Check its permissions.") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(file, "is not a head of tags") from error
    if newer:
        raise PerisphereError(
            f"{file}: format {head['version']} is newer than this Perisphere's ({VERSION}). Upgrade it."
        )
    return head["about"]


def _write_table(file: Path, head: tuple[str, ...], rows: Iterable[Sequence[str]]) -> None:
    table = str.maketrans(_ESCAPES)
    with file.open("w", encoding="utf-8", newline="") as text:
        text.write("\t".join(head) + "\n")
        for row in rows:
            text.write("\t".join(cell.translate(table) for cell in row) + "\n")


def _read_table(file: Path) -> Iterator[list[str]]:
    """Yield the rows of three cells below the head."""
    try:
        with file.open(encoding="utf-8", newline="\n") as text:
            next(text, None)
            for number, line in enumerate(text, 2):
                cells = [_unescaped(cell) for cell in line.removesuffix("\n").split("\t")]
                if len(cells) != 3:
                    raise _damaged(file, f"line {number} has {len(cells)} cells, not 3")
                yield cells
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror}). Build the tags again.") from error
    except UnicodeDecodeError as error:
        raise _damaged(file, "is not UTF-8") from error


def _unescaped(cell: str) -> str:
    if "\\" not in cell:
        return cell
    letters = iter(cell)
    return "".join(_PLAIN.get(next(letters, ""), "") if letter == "\\" else letter for letter in letters)


def _damaged(file: Path, what: str) -> PerisphereError:
    return PerisphereError(f"{file}: {what}. Build the tags again.")

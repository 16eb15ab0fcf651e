"""Parent-child files: one relation a line, two ids with white space between them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from perisphere.errors import PerisphereError
from perisphere.storage import whole_file
from perisphere.taxonomy.text import filled_lines

Id = int | str
"""The id of a node: integers in numeric order, texts in text order; one kind in a taxonomy."""

IdKind = Literal["auto", "int", "str"]
INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True)
class Relations:
    """What a parent-child file says.

    Attributes:
        pairs: (parent, child), in the order of the file, repeated ones kept.
        lines: the line of each pair, from 1.
    """

    pairs: list[tuple[Id, Id]]
    lines: list[int]


def read_relations(path: Path, *, child_parent: bool = False, ids: IdKind = "auto") -> Relations:
    """Read a file of lines ``PARENT CHILD``, or ``CHILD PARENT``; gzipped ones too.

    A line is divided at its first white space, so that the second id may hold blanks. Blank
    lines are skipped.

    Args:
        path: the text file.
        child_parent: each line is ``CHILD PARENT``.
        ids: ``auto`` takes integers where every id is one, else texts.

    Raises:
        PerisphereError: the file is empty, binary or damaged, a line has a single id, or an id is no integer
            where integers were asked for; the message names the line.
    """
    path = Path(path)
    found: list[tuple[str, str]] = []
    lines: list[int] = []
    for number, line in filled_lines(path):
        words = line.split(maxsplit=1)
        if len(words) != 2:
            raise PerisphereError(
                f"{path}: line {number}: holds the one id {line[:80]!r}; a relation is two ids, "
                f"{'CHILD PARENT' if child_parent else 'PARENT CHILD'}."
            )
        found.append((words[1], words[0]) if child_parent else (words[0], words[1]))
        lines.append(number)
    convert = _converter(path, found, lines, ids)
    return Relations([(convert(parent), convert(child)) for parent, child in found], lines)


def as_id(text: str, like: Id) -> Id | None:
    """Return ``text`` as an id of the kind of ``like``; None where it is not of that kind."""
    if isinstance(like, str):
        return text
    return int(text) if INTEGER.fullmatch(text.strip()) else None


def _converter(
    path: Path, pairs: list[tuple[str, str]], lines: list[int], ids: IdKind
) -> Callable[[str], Id]:
    if ids == "str":
        return str
    for line, pair in zip(lines, pairs, strict=True):
        for text in pair:
            if not INTEGER.fullmatch(text):
                if ids == "auto":
                    return str
                raise PerisphereError(
                    f"{path}: line {line}: {text[:80]!r} is no integer. Say that ids are text: --string-ids."
                )
    return cast(Callable[[str], Id], int)


def write_relations(path: Path, pairs: Sequence[tuple[Id, Id]], *, child_parent: bool = False) -> None:
    """Write lines ``PARENT CHILD`` (``CHILD PARENT``) that ``read_relations`` reads back.

    Raises:
        PerisphereError: an id that stands first in a line holds white space, or the file cannot be written.
    """
    lines = [(child, parent) if child_parent else (parent, child) for parent, child in pairs]
    for first, _ in lines:
        if isinstance(first, str) and len(first.split()) != 1:
            raise PerisphereError(f"{path}: id {first!r} holds white space, which ends an id in such a file.")
    with whole_file(path) as part:
        part.write_text("".join(f"{first} {second}\n" for first, second in lines), encoding="utf-8")

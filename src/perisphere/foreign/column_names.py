"""What the columns of a matrix of tags or concepts are called."""

import re
from collections import Counter
from pathlib import Path

from perisphere.errors import PerisphereError
from perisphere.foreign.typed_text import read_typed

_COUNT = re.compile(r"[0-9]{1,15}")


def read_counted(file: Path) -> tuple[list[str], list[int]]:
    """Return one name a line, and the counts that follow all names in some lists (``sky 845``), else 0.

    Raises:
        PerisphereError: the file is missing.
    """
    lines = [line.strip() for line in read_typed(file).splitlines() if line.strip()]
    parted = [line.rsplit(maxsplit=1) for line in lines]
    if all(len(words) == 2 and _COUNT.fullmatch(words[1]) for words in parted):
        return [name for name, _ in parted], [int(count) for _, count in parted]
    return lines, [0] * len(lines)


def read_names(file: Path) -> list[str]:
    """Return the names alone.

    Raises:
        PerisphereError: the file is missing.
    """
    return read_counted(file)[0]


def read_different(file: Path) -> list[str]:
    """Return the same where each column must have a name of its own.

    Raises:
        PerisphereError: the file is missing, or a name is there twice.
    """
    names = read_names(file)
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise PerisphereError(
            f"{file}: the name {doubled[0][:80]!r} is there twice. Each concept has its own."
        )
    return names


def concept_names(file: Path | None, columns: int, matrix: Path) -> list[str]:
    """Return the names in a file, or ``concept-01``, ``concept-02`` ... where there is none.

    Args:
        file: with a name a line, or none.
        columns: how many the matrix has.
        matrix: the file that the names are for.

    Raises:
        PerisphereError: the file is missing, or has another number of names or one of them twice.
    """
    if file is None:
        return [f"concept-{number:02}" for number in range(1, columns + 1)]
    names = read_different(file)
    if len(names) != columns:
        raise PerisphereError(f"{file}: {len(names)} names for the {columns} columns of {matrix}.")
    return names

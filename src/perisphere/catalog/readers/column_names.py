"""What the columns of a matrix of tags or concepts are called."""

from collections.abc import Sequence
from pathlib import Path

from perisphere.catalog.readers.lists import read_lines
from perisphere.errors import PerisphereError


def read_names(file: Path) -> list[str]:
    """Return one name a line, without the counts that follow all names in some lists (``sky 845``).

    Raises:
        PerisphereError: the file is missing or not text, or a name is there twice.
    """
    lines = [line for _, line in read_lines(file)]
    parted = [line.rsplit(maxsplit=1) for line in lines]
    if all(len(words) == 2 and words[1].isascii() and words[1].isdigit() for words in parted):
        lines = [words[0] for words in parted]
    check_different(file, lines)
    return lines


def check_different(file: Path, names: Sequence[str]) -> None:
    """Refuse names that are there twice.

    Raises:
        PerisphereError: with the first of them.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PerisphereError(f"{file}: the name {name[:80]!r} is there twice; a column needs its own.")
        seen.add(name)


def concept_names(file: Path | None, columns: int, matrix: Path) -> list[str]:
    """Return the names in a file, or ``concept-01``, ``concept-02`` ... where there is none.

    Args:
        file: with a name a line, or none.
        columns: how many the matrix has.
        matrix: the file that the names are for.

    Raises:
        PerisphereError: the file is missing, or has another number of names.
    """
    if file is None:
        return [f"concept-{number:02}" for number in range(1, columns + 1)]
    names = read_names(file)
    if len(names) != columns:
        raise PerisphereError(f"{file}: {len(names)} names for the {columns} columns of {matrix}.")
    return names

"""Matrices of 0 and 1 in text files, a row a photo, read a line at a time.

Collections of tagged photos say so which tags and concepts each photo has: NUS-WIDE with a thousand columns
and a quarter of a million rows. Only the columns that are 1 are kept.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError

MAX_LINE = 1 << 20
MAX_COLUMN = 64 << 20
_WHITE = np.array([False] * 9 + [True] * 2 + [False] * 21 + [True] + [False] * 223)  # tab, newline, space


def flag_rows(file: Path, columns: int | None = None) -> Iterator[NDArray[np.intp]]:
    """Yield for every row that is not blank the columns that are 1, in ascending order.

    Args:
        file: numbers 0 and 1, parted by white space (``1.0`` and ``1e+00`` are 1 too).
        columns: how many a row has; as many as the first where it is not given.

    Raises:
        PerisphereError: the file is missing, or a line is too long, has another number or another length.
    """
    for number, line in _lines(file):
        flags = parse_flags(line)
        if flags is None:
            raise PerisphereError(f"{file}: line {number} holds something else than 0 and 1.")
        columns = len(flags) if columns is None else columns
        if len(flags) != columns:
            raise PerisphereError(f"{file}: line {number} has {len(flags)} numbers where {columns} belong.")
        yield np.flatnonzero(flags)


def count_rows(file: Path) -> int:
    """Return how many lines are not blank.

    Raises:
        PerisphereError: the file is missing, or a line is longer than :data:`MAX_LINE` bytes.
    """
    return sum(1 for _ in _lines(file))


def count_columns(file: Path) -> int | None:
    """Return how many numbers the first row has; ``None`` where there is no row.

    Raises:
        PerisphereError: the file is missing.
    """
    return next((len(line.split()) for _, line in _lines(file)), None)


def flag_column(file: Path) -> NDArray[np.bool_]:
    """Return a file of one number a row, 0 or 1, as bool ``[n]``.

    Raises:
        PerisphereError: the file is missing, larger than :data:`MAX_COLUMN`, or holds another number.
    """
    try:
        if file.stat().st_size > MAX_COLUMN:
            raise PerisphereError(f"{file}: over {MAX_COLUMN >> 20} MiB, too large for a number a photo.")
        data = file.read_bytes()
    except FileNotFoundError:
        raise PerisphereError(f"{file}: no such list. Is the data set complete?") from None
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror}).") from error
    flags = parse_flags(b" ".join(data.split()))
    if flags is None:
        raise PerisphereError(f"{file}: holds something else than 0 and 1.")
    return flags


def parse_flags(line: bytes) -> NDArray[np.bool_] | None:
    """Return the numbers of a line as bool ``[columns]``; ``None`` where one is neither 0 nor 1."""
    line = line.strip()
    codes = np.frombuffer(line, np.uint8)
    digits = codes[::2]
    if len(codes) % 2 and _WHITE[codes[1::2]].all() and ((digits | 1) == ord("1")).all():
        return digits == ord("1")
    try:  # written as floating-point numbers, or parted by more than one character
        numbers = np.array(line.split(), dtype=np.float64)
    except ValueError:
        return None
    return numbers == 1 if np.isin(numbers, (0, 1)).all() else None


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of every line that is not blank."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE), b""), 1):
                if len(line) == MAX_LINE:
                    raise PerisphereError(f"{file}: line {number} is too long for a row of 0 and 1.")
                if line.strip():
                    yield number, line
    except FileNotFoundError:
        raise PerisphereError(f"{file}: no such list. Is the data set complete?") from None
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror}).") from error

"""A gallery that may be larger than memory: rows of arrays on disk, one after another, read in blocks."""

import mmap
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.metrics.matching import Positions
from perisphere.sphere.geometry import Vectors, check_same_dim

Part = tuple[NDArray, Positions]
"""An array ``[n, d]`` of float32 or float16, in memory or memory-mapped, and those of its rows that count."""


class Gallery:
    """Rows of one array or several, numbered from 0 on in the order given.

    Whatever is read of it comes as float32; nothing is kept, so that memory is bounded by what the caller
    holds.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = list(parts)
        for vectors, _ in self._parts[1:]:
            check_same_dim(self._parts[0][0], vectors)
        self._ends = np.cumsum([len(rows) for _, rows in self._parts])

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._ends[-1])

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        return int(self._parts[0][0].shape[1])

    def __getitem__(self, rows: Positions) -> Vectors:
        """Return these rows, in this order, float32 ``[m, d]``.

        Raises:
            PerisphereError: a row that is not in the gallery.
        """
        rows = np.asarray(rows, np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise PerisphereError(
                f"a gallery row from {rows.min()} to {rows.max()}: there are {len(self)}, from 0 on."
            )
        found = np.empty((len(rows), self.dim), np.float32)
        of = np.searchsorted(self._ends, rows, side="right")
        for part in np.unique(of):
            vectors, kept = self._parts[part]
            mine = np.flatnonzero(of == part)
            start = self._ends[part] - len(kept)
            found[mine] = vectors[kept[rows[mine] - start]]
        return found

    def blocks(self, size: int) -> Iterator[tuple[int, Vectors]]:
        """Yield the first row's number and ``size`` rows, float32; the last block may be smaller.

        The array is overwritten by the next block.
        """
        buffer = np.empty((min(size, len(self)), self.dim), np.float32)
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            self._fill(buffer[: stop - start], start, stop)
            yield start, buffer[: stop - start]

    def _fill(self, block: Vectors, start: int, stop: int) -> None:
        filled = 0
        for (vectors, kept), end in zip(self._parts, self._ends, strict=True):
            first = end - len(kept)
            rows = kept[max(start - first, 0) : max(stop - first, 0)]
            block[filled : filled + len(rows)] = vectors[_slice_of(rows)]
            _release(vectors)
            filled += len(rows)


def _slice_of(rows: Positions) -> slice | Positions:
    """Return consecutive rows as a slice, which is read without a copy."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and np.all(np.diff(rows) == 1):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _release(vectors: NDArray) -> None:
    """Give the pages of a mapped file back, which count as this process's memory until others need it."""
    mapped: mmap.mmap | None = getattr(vectors, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)

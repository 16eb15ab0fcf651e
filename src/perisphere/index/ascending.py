"""Ascending ids that take no memory where they have no gaps, and four bytes each where they have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPAN = 2**32
"""From here on offsets need eight bytes."""


@dataclass(frozen=True, eq=False)
class AscendingIds:
    """Ids above each other.

    Attributes:
        first: the lowest.
        count: how many.
        offsets: what each lies above ``first``, uint32 ``[n]`` (int64 beyond :data:`SPAN`); ``None`` where
            they have no gaps.
    """

    first: int = 0
    count: int = 0
    offsets: NDArray[np.uint32 | np.int64] | None = None

    def __len__(self) -> int:
        return self.count

    @classmethod
    def of(cls, ids: NDArray[np.int64]) -> AscendingIds:
        """Return ``ids``, int64 ``[n]``, ascending."""
        if not len(ids):
            return cls()
        first, span = int(ids[0]), int(ids[-1] - ids[0]) + 1
        if span == len(ids):
            return cls(first, len(ids))
        offsets = ids - first
        return cls(first, len(ids), offsets.astype(np.uint32) if span <= SPAN else offsets)

    def all(self) -> NDArray[np.int64]:
        """Return them as int64 ``[n]``."""
        return self.at(np.arange(self.count))

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ids at ``places``, of their shape."""
        offsets = places if self.offsets is None else self.offsets[places]
        return offsets.astype(np.int64, copy=False) + self.first

    def places(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of those of the ascending ``ids`` that are here, ascending."""
        if not self.count:
            return np.empty(0, np.int64)
        last = self.count - 1 if self.offsets is None else int(self.offsets[-1])
        begin, end = np.searchsorted(ids, (self.first, self.first + last + 1))
        wanted = ids[begin:end] - self.first
        if self.offsets is None:
            return wanted
        wanted = wanted.astype(self.offsets.dtype)  # or NumPy would widen all offsets for the comparison
        places = np.searchsorted(self.offsets, wanted)
        return places[self.offsets[places] == wanted]

    def only(self, kept: NDArray[np.bool_]) -> AscendingIds:
        """Return those where the mask is true."""
        return self.of(self.at(np.flatnonzero(kept)))

    def followed_by(self, ids: NDArray[np.int64]) -> AscendingIds:
        """Return these and ``ids``, all of which are above them."""
        if self.offsets is None and len(ids) and (not self.count or ids[0] == self.first + self.count):
            more = self.of(ids)
            if more.offsets is None:
                return AscendingIds(self.first if self.count else more.first, self.count + more.count)
        return self.of(np.concatenate([self.all(), ids])) if len(ids) else self

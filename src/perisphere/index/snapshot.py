"""The vectors of an index in memory at one moment: immutable, so searches go on while it changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

import numpy as np

from perisphere.index.store import last_id, read_blocks, read_fact

SEGMENT_BYTES = 64 << 20
LARGEST_BYTES = 1 << 30
FEW = 16
"""Pieces that removals may leave of a segment before it is copied without its gaps."""


@dataclass(frozen=True)
class Segment:
    """Rows of ascending id: ids int64 ``[n]`` and vectors float32 ``[n, d]``, views of growing buffers."""

    ids: np.ndarray
    vectors: np.ndarray
    buffers: tuple[np.ndarray, np.ndarray]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def empty(cls, dim: int, expected: int) -> Segment:
        """Return a segment without rows, with room for ``expected`` rows or for some more to come.

        One large segment is searched with fewer waits between threads than many; but many removals copy it.
        """
        room = max(1024, SEGMENT_BYTES // (4 * dim), min(expected, LARGEST_BYTES // (4 * dim)))
        buffers = (np.empty(room, dtype=np.int64), np.empty((room, dim), dtype=np.float32))
        return cls(buffers[0][:0], buffers[1][:0], buffers)

    @property
    def room(self) -> int:
        """How many more rows fit in."""
        return len(self.buffers[0]) - len(self)

    def with_rows(self, ids: np.ndarray, vectors: np.ndarray) -> Segment:
        """Return the segment and the rows after it. Older segments of the same buffers do not see them."""
        start, end = len(self), len(self) + len(ids)
        self.buffers[0][start:end] = ids
        self.buffers[1][start:end] = vectors
        return Segment(self.buffers[0][:end], self.buffers[1][:end], self.buffers)

    @classmethod
    def joined(cls, pieces: Sequence[Segment]) -> Segment:
        """Return a copy of pieces that follow each other."""
        ids = np.concatenate([piece.ids for piece in pieces])
        vectors = np.concatenate([piece.vectors for piece in pieces])
        return cls(ids, vectors, (ids, vectors))

    @property
    def owner(self) -> np.ndarray:
        """The array that the vectors lie in; pieces of one segment share it."""
        return self.vectors if self.vectors.base is None else self.vectors.base

    def without(self, places: np.ndarray) -> list[Segment]:
        """Return the rows that are not at ``places`` (ascending): its pieces, or a copy where many go."""
        if len(places) >= FEW:
            ids, vectors = np.delete(self.ids, places), np.delete(self.vectors, places, axis=0)
            return [Segment(ids, vectors, (ids, vectors))] if len(ids) else []
        edges = pairwise([-1, *places.tolist(), len(self)])
        return [self._piece(before + 1, end) for before, end in edges if before + 1 < end]

    def _piece(self, start: int, end: int) -> Segment:
        """Return the rows from ``start`` to ``end``; the last piece grows on in the same buffers."""
        last = end == len(self)
        ids, vectors = (buffer[start : None if last else end] for buffer in self.buffers)
        return Segment(self.ids[start:end], self.vectors[start:end], (ids, vectors))

    def places(self, ids: np.ndarray) -> np.ndarray:
        """Return the places of those of the ascending ``ids`` that lie in this segment, ascending."""
        if not len(self) or not len(ids):
            return np.empty(0, dtype=np.int64)
        first, last = np.searchsorted(ids, (self.ids[0], self.ids[-1] + 1))
        wanted = ids[first:last]
        if self.ids[-1] - self.ids[0] + 1 == len(self):  # no gaps: the place is a subtraction
            return wanted - self.ids[0]
        places = np.searchsorted(self.ids, wanted)
        return places[self.ids[places] == wanted]


@dataclass(frozen=True)
class Version:
    """What tells two states of an index apart."""

    last_id: int = 0
    removal: int = 0
    compactions: int = 0


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All living rows at one moment, by ascending id, in segments that are searched one after another."""

    dim: int
    segments: tuple[Segment, ...] = ()
    version: Version = Version()

    def __len__(self) -> int:
        return sum(map(len, self.segments))

    @cached_property
    def ids(self) -> np.ndarray:
        """All ids, int64, ascending."""
        return np.concatenate([np.empty(0, dtype=np.int64), *(segment.ids for segment in self.segments)])

    def places(self, ids: np.ndarray) -> list[np.ndarray]:
        """Return, for each segment, the places of those of the ascending ``ids`` that are in it."""
        return [segment.places(ids) for segment in self.segments]

    def ids_at(self, places: list[np.ndarray]) -> np.ndarray:
        """Return the ids at ``places`` of each segment, ascending where the places are."""
        chosen = (segment.ids[part] for segment, part in zip(self.segments, places, strict=True))
        return np.concatenate([np.empty(0, dtype=np.int64), *chosen])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the vectors float32 ``[n, d]`` of ``rows`` (int64, counted over all segments, any order)."""
        if len(self.segments) == 1:
            return self.segments[0].vectors[rows]
        out = np.empty((len(rows), self.dim), dtype=np.float32)
        start = 0
        for segment in self.segments:
            mine = np.flatnonzero((rows >= start) & (rows < start + len(segment)))
            out[mine] = segment.vectors[rows[mine] - start]
            start += len(segment)
        return out

    def after(self, last: int) -> Snapshot:
        """Return the rows with an id above ``last``."""
        parts = []
        for segment in self.segments:
            start = int(np.searchsorted(segment.ids, last, side="right"))
            if start < len(segment):
                parts.append(Segment(segment.ids[start:], segment.vectors[start:], segment.buffers))
        return Snapshot(self.dim, tuple(parts), self.version)

    def gather(self, ids: np.ndarray) -> np.ndarray:
        """Return the vectors float32 ``[n, d]`` of ``ids`` (int64, any order, all present)."""
        return self.take(np.searchsorted(self.ids, ids))

    def holds(self, ids: np.ndarray) -> np.ndarray:
        """Return a boolean array: which of ``ids`` (int64, any order) are there."""
        return np.isin(ids, self.ids)


def refreshed(old: Snapshot, connection: sqlite3.Connection) -> Snapshot:
    """Return the snapshot of what ``connection`` sees, made of ``old`` and of what has changed since.

    Only the newest snapshot of an index may be refreshed, and by one thread at a time: its last segment
    grows in place.
    """
    version = version_of(connection)
    if version == old.version:
        return old
    segments = old.segments
    if version.compactions != old.version.compactions:
        segments = _without(segments, _gone(segments, connection))
    elif version.removal != old.version.removal:
        query = "SELECT id FROM tombstones WHERE removal > ? AND id <= ?"
        removed = _column(connection, query, (old.version.removal, old.version.last_id))
        segments = _without(segments, np.sort(removed))
    fresh = _with_new_rows(segments, connection, old.dim, old.version.last_id)
    return Snapshot(old.dim, fresh, version)


def version_of(connection: sqlite3.Connection) -> Version:
    """Return the state of the index that ``connection`` sees."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'tombstones'").fetchone()
    compactions = read_fact(connection, "compactions", 0)
    return Version(last_id(connection), 0 if row is None else int(row[0]), int(compactions))


def _column(connection: sqlite3.Connection, query: str, values: tuple[int, ...] = ()) -> np.ndarray:
    return np.fromiter((row[0] for row in connection.execute(query, values)), dtype=np.int64)


def _gone(segments: tuple[Segment, ...], connection: sqlite3.Connection) -> np.ndarray:
    """Which ids are no longer in the store (a compaction has dropped the tombstones that told)."""
    living = _column(connection, "SELECT id FROM images ORDER BY id")
    known = Snapshot(0, segments).ids
    return known[~np.isin(known, living, assume_unique=True)]


def _without(segments: tuple[Segment, ...], removed: np.ndarray) -> tuple[Segment, ...]:
    pieces = [piece for segment in segments for piece in segment.without(segment.places(removed))]
    kept: list[Segment] = []
    for _, group in groupby(pieces, lambda piece: id(piece.owner)):
        some = list(group)
        kept += some if len(some) <= FEW else [Segment.joined(some)]
    return tuple(kept)


def _with_new_rows(
    segments: tuple[Segment, ...], connection: sqlite3.Connection, dim: int, after: int
) -> tuple[Segment, ...]:
    removed = np.sort(_column(connection, "SELECT id FROM tombstones WHERE id > ?", (after,)))
    (expected,) = connection.execute("SELECT count(*) FROM images WHERE id > ?", (after,)).fetchone()
    grown = list(segments)
    for ids, vectors in read_blocks(connection, dim, after=after):
        if len(removed):
            living = ~np.isin(ids, removed, assume_unique=True)
            ids, vectors = ids[living], vectors[living]
        while len(ids):
            if not grown or not grown[-1].room:
                grown.append(Segment.empty(dim, expected))
            taken = min(grown[-1].room, len(ids))
            expected -= taken
            grown[-1] = grown[-1].with_rows(ids[:taken], vectors[:taken])
            ids, vectors = ids[taken:], vectors[taken:]
    return tuple(grown)

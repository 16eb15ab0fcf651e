"""The codes of an index in memory at one moment: immutable, so searches go on while it changes."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perisphere.index.ascending import AscendingIds
from perisphere.index.code_blocks import read_codes, whole
from perisphere.index.snapshot import Version, version_of


@dataclass(frozen=True, eq=False)
class Coded:
    """All living rows: ids, and codes uint8 ``[n, M]``."""

    ids: AscendingIds
    codes: NDArray[np.uint8]
    version: Version

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def empty(cls, books: int) -> Coded:
        """Return no rows."""
        return cls(AscendingIds(), np.empty((0, books), np.uint8), Version())


def refreshed(old: Coded, connection: sqlite3.Connection) -> Coded:
    """Return the codes that ``connection`` sees, made of ``old`` and of what has changed since.

    Raises:
        PerisphereError: a block is damaged.
    """
    version = version_of(connection)
    if version == old.version:
        return old
    if version.compactions != old.version.compactions:  # tombstones are gone that told what to leave out
        old = Coded.empty(old.codes.shape[1])
    ids, codes = old.ids, old.codes
    if version.last_id > old.version.last_id:
        ids, codes = _followed(ids, codes, connection, old.version.last_id)
    removed = _removed(connection, old.version.removal)
    places = ids.places(removed)
    if len(places):
        living = np.ones(len(ids), dtype=bool)
        living[places] = False
        ids, codes = ids.only(living), codes[living]
    return Coded(ids, codes, version)


def _followed(
    ids: AscendingIds, codes: NDArray[np.uint8], connection: sqlite3.Connection, after: int
) -> tuple[AscendingIds, NDArray[np.uint8]]:
    """Return the rows with those above ``after``, each block of which is read into its place."""
    books = codes.shape[1]
    query = "SELECT coalesce(sum(length(codes)), 0) FROM codes WHERE last_id > ?"
    more = int(connection.execute(query, (after,)).fetchone()[0]) // books
    grown = np.empty((len(codes) + more, books), np.uint8)
    end = len(codes)
    grown[:end] = codes
    for block in read_codes(connection, books, after=after):
        fresh = whole(block).ids.all()
        start = int(np.searchsorted(fresh, after, side="right"))
        ids = ids.followed_by(fresh[start:])
        grown[end : end + len(fresh) - start] = block.codes[start:]
        end += len(fresh) - start
    return ids, grown[:end]


def _removed(connection: sqlite3.Connection, after: int) -> NDArray[np.int64]:
    query = "SELECT id FROM tombstones WHERE removal > ?"
    found = (row[0] for row in connection.execute(query, (after,)))
    return np.sort(np.fromiter(found, dtype=np.int64))

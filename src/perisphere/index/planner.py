"""Filters: SQL names the rows, and the share that passes decides the road."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from perisphere.index.snapshot import Snapshot, Version

if TYPE_CHECKING:
    from perisphere.index.filters import Expression

GATHER_SHARE = 0.3
"""Below this share of passing rows they are gathered and searched exactly: cells would lose recall."""

Where = tuple[str, tuple]
"""The text of an SQL condition and its bound values."""


def condition(where: Expression | str) -> Where:
    """Return the SQL of a filter, parsed where it is text.

    Raises:
        UsageError: the filter cannot be read, or names an unknown column.
    """
    from perisphere.index.filters import parse, to_sql

    text, values = to_sql(parse(where) if isinstance(where, str) else where)
    return text, tuple(values)


def passing(connection: sqlite3.Connection, where: Where) -> np.ndarray:
    """Return the ids of the rows that pass, int64, ascending."""
    text, values = where
    found = connection.execute(f"SELECT id FROM images WHERE {text}", values)
    return np.sort(np.fromiter((row[0] for row in found), dtype=np.int64))


class Plans:
    """The places of the rows that pass a filter, remembered for the last few filters of one version."""

    def __init__(self, size: int = 8) -> None:
        self._size, self._lock = size, Lock()
        self._known: OrderedDict[tuple[Version, Where], list[np.ndarray]] = OrderedDict()

    def places(self, snapshot: Snapshot, where: Where, connection: sqlite3.Connection) -> list[np.ndarray]:
        """Return, for each segment of ``snapshot``, the places of the rows that pass."""
        key = (snapshot.version, where)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        places = snapshot.places(passing(connection, where))
        with self._lock:
            self._known[key] = places
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return places

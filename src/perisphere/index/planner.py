"""Filters: SQL names the rows, and the share that passes decides the road."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np

from perisphere.index.exact import Piece, gathered
from perisphere.index.filters import Expression, parse, to_sql
from perisphere.index.snapshot import Snapshot
from perisphere.index.store import SqliteFile

GATHER_SHARE = 0.3
"""Below this share of passing rows they are gathered and searched exactly: cells would lose recall."""

KEPT_BYTES = 8 << 20
"""Vectors of a filter's rows are kept beside the plan up to this size: filters are often asked again."""

Where = tuple[str, tuple]
"""The text of an SQL condition and its bound values."""


def condition(where: Expression | str) -> Where:
    """Return the SQL of a filter, parsed where it is text.

    Raises:
        UsageError: the filter cannot be read, or names an unknown column.
    """
    if isinstance(where, str):
        return _parsed(where)
    text, values = to_sql(where)
    return text, tuple(values)


@lru_cache(maxsize=256)
def _parsed(where: str) -> Where:
    return condition(parse(where))


def passing(connection: sqlite3.Connection, where: Where) -> np.ndarray:
    """Return the ids of the rows that pass, int64, ascending."""
    text, values = where
    # One text of all ids is three times as fast to fetch as a row for each.
    joined = connection.execute(f"SELECT group_concat(id) FROM images WHERE {text}", values).fetchone()[0]
    return np.sort(np.fromstring(joined or "", dtype=np.int64, sep=","))


@dataclass(frozen=True, eq=False)
class Plan:
    """The rows of one snapshot that pass a filter.

    Attributes:
        snapshot: the snapshot.
        places: for each of its segments, the places of the rows.
        count: how many rows pass.
        kept: their vectors, where they are few.
    """

    snapshot: Snapshot
    places: list[np.ndarray]
    count: int
    kept: list[Piece] | None

    @classmethod
    def of(cls, snapshot: Snapshot, ids: np.ndarray) -> Plan:
        """Return the plan for the rows with the ascending ``ids``."""
        places = snapshot.places(ids)
        count = sum(map(len, places))
        few = 4 * count * snapshot.dim <= KEPT_BYTES
        return cls(snapshot, places, count, list(gathered(snapshot, places)) if few else None)

    def pieces(self) -> Iterable[Piece]:
        """Return the rows, to be searched exactly."""
        return gathered(self.snapshot, self.places) if self.kept is None else self.kept


class Plans:
    """The last few filters of the newest snapshot, planned."""

    def __init__(self, size: int = 8) -> None:
        self._size, self._lock = size, Lock()
        self._known: OrderedDict[Where, Plan] = OrderedDict()

    def plan(self, snapshot: Snapshot, where: Where, store: SqliteFile) -> Plan:
        """Return which rows of ``snapshot`` pass."""
        with self._lock:
            known = self._known.get(where)
            if known is not None and known.snapshot is snapshot:
                self._known.move_to_end(where)
                return known
        with store.reading() as connection:
            plan = Plan.of(snapshot, passing(connection, where))
        self._remember(where, plan)
        return plan

    def forget(self) -> None:
        """Let go of all plans and the snapshots that they hold."""
        with self._lock:
            self._known.clear()

    def _remember(self, where: Where, plan: Plan) -> None:
        with self._lock:
            self._known[where] = plan
            while len(self._known) > self._size:
                self._known.popitem(last=False)

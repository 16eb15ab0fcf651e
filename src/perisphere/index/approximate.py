"""The approximate search of one index: the cells in use, whether they are stale, and what was measured."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from math import ceil
from threading import Lock
from typing import Any

import numpy as np

from perisphere.index import ann, exact, tuning
from perisphere.index.planner import Plan
from perisphere.index.ranking import NONE
from perisphere.index.snapshot import Snapshot
from perisphere.index.store import SqliteFile, read_fact


class Approximate:
    """Cells over the older rows, exact search of the newer ones, and the facts that SQLite keeps of them."""

    def __init__(self, store: SqliteFile, metric: str) -> None:
        self._store, self._metric = store, metric
        self._facts: dict[str, Any] | None = store.fact("ann")
        self._cells: ann.Cells | None = None
        self._missing: str | None = None
        self._loading = Lock()

    def refresh(self, connection: sqlite3.Connection) -> None:
        """See which cells are the ones to use now; they are read when they are first needed."""
        facts = read_fact(connection, "ann", None)
        if facts != self._facts:
            self._facts, self._cells, self._missing = facts, None, None

    def search(
        self, snapshot: Snapshot, queries: np.ndarray, k: int, plan: Plan | None
    ) -> tuple[exact.Found, str] | None:
        """Return the ``k`` nearest by cells and among the rows since then, and the name of the road.

        ``None`` where there are no cells, where they do not pay, or where they found too few of their own
        rows, however many newer ones there are: search exactly then.
        """
        available = len(snapshot) if plan is None else plan.count
        facts, cells = self._loaded()
        # The k nearest of the share that passes lie about as deep as k / share among all.
        effort = (
            None if cells is None else tuning.effort_for(facts, ceil(k * len(snapshot) / max(1, available)))
        )
        if cells is None or effort is None:
            return None
        allowed = None if plan is None else snapshot.ids_at(plan.places)
        older = cells.search(snapshot, queries, k, effort, allowed)
        fresh = snapshot.after(int(cells.ids[-1]))
        chosen = None if allowed is None else fresh.places(allowed)
        newer = len(fresh) if chosen is None else sum(map(len, chosen))
        if (older[0][:, : min(k, available - newer)] == NONE).any():
            return None
        parts = [older]
        if newer:
            pieces = exact.everything(fresh) if chosen is None else exact.gathered(fresh, chosen)
            parts.append(exact.search(pieces, queries, k, self._metric, normalised=self._metric == "cosine"))
        found = exact.best(parts, len(queries), k)
        road = f"{cells.factory}, nprobe {effort.nprobe}, k_factor {effort.k_factor}"
        return found, road if plan is None else f"{road} + filter"

    def build(self, snapshot: Snapshot, recall: float, seed: int = 0) -> dict[str, Any]:
        """Build cells over ``snapshot``, write them beside the store, and return their facts."""
        cells, facts = tuning.build(snapshot, self._metric, recall, seed=seed)
        name, digest = cells.save(self._store.folder)
        self._store.set_facts(ann=facts | {"file": name, "sha256": digest})
        for old in self._store.folder.glob("ann-*.faiss"):
            if old.name != name:
                old.unlink(missing_ok=True)
        return facts

    def rebuild_if_due(
        self, snapshot: Callable[[], Snapshot], recall: float, *, thorough: bool = False
    ) -> None:
        """Build cells where there are none, theirs are lost, or the index has grown or shrunk much since.

        Args:
            snapshot: gives the rows as of now.
            recall: the share of the true nearest rows to be found.
            thorough: find out too whether the file is unchanged, by reading it.
        """
        facts = self._store.fact("ann")
        with self._store.reading() as connection:
            last = 0 if facts is None else int(facts["last_id"])
            rows = connection.execute("SELECT count(*) FROM images").fetchone()[0]
            fresh = connection.execute("SELECT count(*) FROM images WHERE id > ?", (last,)).fetchone()[0]
        if rows < tuning.MIN_ROWS:
            return
        if facts is None or tuning.is_due(facts, rows, fresh) or self._lost(facts, thorough):
            self.build(snapshot(), recall)

    def _lost(self, facts: dict[str, Any], thorough: bool) -> bool:
        if thorough:
            return not ann.is_whole(self._store.folder, facts)
        return not (self._store.folder / str(facts["file"])).is_file()

    def info(self) -> dict[str, Any] | None:
        """Return the facts of the cells, and their ``"state"``: ready, not faster than exact, or lost."""
        facts = self._store.fact("ann")
        if facts is None:
            return None
        state = "ready" if ann.is_whole(self._store.folder, facts) else "lost"
        if not any(facts["efforts"].values()):
            state = "not faster than exact"
        return {**facts, "state": state}

    def verify(self) -> list[str]:
        """Return what is wrong with the file of the cells; searches are exact then."""
        facts = self._store.fact("ann")
        if facts is None or ann.is_whole(self._store.folder, facts):
            return []
        return [f"{facts['file']}: is missing or was changed; searches are exact until it is built again"]

    def _loaded(self) -> tuple[dict[str, Any], ann.Cells | None]:
        facts = self._facts
        if facts is None or facts["sha256"] == self._missing:
            return {}, None
        with self._loading:
            if self._cells is None:
                self._cells = ann.load(self._store.folder, facts, self._metric)
                self._missing = facts["sha256"] if self._cells is None else None
            return facts, self._cells

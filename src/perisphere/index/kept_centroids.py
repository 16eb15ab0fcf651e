"""The centroids that one index keeps: as of now, or of those photos only that pass a filter."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock

import numpy as np

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import exact
from perisphere.index.centroids import Centroids, gathered, refreshed
from perisphere.index.filters import Expression, columns, parse
from perisphere.index.planner import condition
from perisphere.index.snapshot import Snapshot
from perisphere.index.store import SqliteFile

MODES = ("beside", "only")


class KeptCentroids:
    """The newest centroids, of which only those that have changed are read again."""

    def __init__(self, store: SqliteFile, dim: int, metric: str) -> None:
        self._store = store
        self._lock = Lock()
        self._newest = Centroids.empty(dim, metric)
        self._moment = -1

    @property
    def mode(self) -> str | None:
        """``"beside"`` the photos, ``"only"`` (instead of them), or ``None``: no centroids."""
        found: str | None = self._store.fact("centroids")
        return found

    def now(self) -> Centroids:
        """Return the centroids of all photos.

        Raises:
            PerisphereError: the index keeps none, or a damaged one.
        """
        if self.mode is None:
            raise PerisphereError(
                f"{self._store.folder}: keeps no centroids. Make them with `perisphere index centroids`."
            )
        with self._lock:
            moment = self._store.moment()
            if moment != self._moment:
                with self._store.reading() as connection:
                    self._newest = refreshed(self._newest, connection)
                self._moment = moment
            return self._newest

    def passing(self, snapshot: Snapshot, where: Expression | str) -> Centroids:
        """Return the centroids of those photos that pass a filter.

        A filter on labels alone chooses among the centroids that are kept; any other takes the photos'
        vectors.

        Raises:
            PerisphereError: the index keeps no centroids.
            UsageError: the filter asks for more than labels, and the index keeps no photos.
        """
        newest = self.now()
        where = parse(where) if isinstance(where, str) else where
        text, values = condition(where)
        query = f"SELECT id, label FROM images WHERE label IS NOT NULL AND ({text})"
        if columns(where) <= {"label"}:
            with self._store.reading() as connection:
                chosen = connection.execute(f"SELECT DISTINCT label FROM ({query})", values)
                return newest.only([label for (label,) in chosen])
        if self.mode == "only":
            raise UsageError(
                f"{self._store.folder}: keeps centroids only, so a filter can ask for the label, and for "
                f"nothing else of their photos. Leave {', '.join(sorted(columns(where) - {'label'}))} out."
            )
        with self._store.reading() as connection:
            labels = dict(connection.execute(query, values))
            ids = dict(connection.execute("SELECT label, id FROM centroids"))
        return gathered(_pieces(snapshot, labels), ids, snapshot.dim, newest.metric)


def _pieces(snapshot: Snapshot, labels: dict[int, str]) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield the labels and vectors of the photos whose ids are the keys of ``labels``."""
    places = snapshot.places(np.sort(np.fromiter(labels, dtype=np.int64, count=len(labels))))
    for ids, vectors in exact.gathered(snapshot, places):
        yield [labels[id_] for id_ in ids.tolist()], vectors

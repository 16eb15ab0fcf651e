"""The regions that one index keeps, and the search among their vectors."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.index import regions, words
from perisphere.index.planner import Where, passing
from perisphere.index.regions import Region
from perisphere.index.store import SqliteFile, write_fact
from perisphere.index.vectors import clean, matrix
from perisphere.index.waiting import patient_bar

Hit = tuple[Region, float]
"""A region and its cosine with a query."""

OF_VECTORS = ("encoder", "layer", "dim")
"""What is noted of the vectors of regions: which encoder's they are, of which layer, of how many numbers."""

Segmented = tuple[int, Sequence[Region], NDArray[np.float32] | None]
"""A photo's id, its regions, and a vector for each of them, where they have vectors."""


class KeptRegions:
    """The newest regions of an index, whose vectors are read again when something has changed."""

    def __init__(self, store: SqliteFile) -> None:
        self._store = store
        self._lock = Lock()
        self._moment = -1
        self._ids = self._images = np.empty(0, np.int64)
        self._vectors = np.empty((0, 0), np.float32)

    def about(self) -> dict[str, Any] | None:
        """Return ``concepts``, ``encoder``, ``layer`` and ``dim`` of the regions; ``None``: none are kept."""
        with self._store.reading() as connection:
            return regions.kept(connection)

    def has_vectors(self) -> bool:
        """Say whether some region has a vector to be searched by."""
        with self._store.reading() as connection:
            return regions.has_vectors(connection)

    def put(
        self, photos: Iterable[Segmented], concepts: Sequence[str], about: dict[str, Any], total: int
    ) -> int:
        """Store the regions of photos in place of those that they had, all or none; return how many.

        Args:
            photos: each with its regions.
            concepts: all that the segmentation knows, in its order.
            about: ``encoder``, ``layer`` and ``dim`` of the vectors, or nulls.
            total: how many photos there will be.

        Raises:
            PerisphereError: vectors of another encoder than those of photos that stay, or with a NaN.
        """
        count = 0
        with self._store.writing() as connection, patient_bar("regions", total) as advance:
            regions.keep_regions(connection)
            words.keep_words(connection)
            known = regions.kept(connection) or {"concepts": [], **dict.fromkeys(OF_VECTORS)}
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM regions").fetchone()
            for image, found, vectors in photos:
                rows = None if vectors is None else clean(matrix(vectors, about["dim"]), "cosine")
                regions.write(connection, image, found, rows)
                count += len(found)
                advance()
            if about["encoder"] is None:
                about = {name: known[name] for name in OF_VECTORS}
            elif any(known[name] not in (None, about[name]) for name in OF_VECTORS):
                self._refuse_older_vectors(connection, last, known["encoder"])
            names = list(dict.fromkeys([*known["concepts"], *concepts]))
            write_fact(connection, "regions", {"concepts": names, **about})
        return count

    def read(self, images: Iterable[int] | None = None) -> list[Region]:
        """Return the regions of all photos, or of those with these ids, by photo."""
        with self._store.reading() as connection:
            return list(regions.read(connection, images))

    def whole(self, ids: Iterable[int]) -> dict[int, Region]:
        """Return the regions with these ids that are there, by id."""
        with self._store.reading() as connection:
            return regions.by_id(connection, ids)

    def best(self, concepts: Sequence[str], where: Where | None = None) -> dict[str, dict[int, Region]]:
        """Return for each concept the photos that show it, by id, each with its best region of it.

        Regions come without their outlines; see :meth:`whole`.

        Args:
            concepts: names.
            where: only photos that pass.
        """
        with self._store.reading() as connection:
            return {concept: regions.best(connection, concept, where) for concept in concepts}

    def nearest(
        self,
        queries: NDArray[np.float32],
        k: int,
        where: Where | None = None,
        without: Sequence[Collection[int]] = (),
    ) -> list[list[Hit]]:
        """Return for each query the ``k`` photos with the nearest regions, each photo with its best region.

        Args:
            queries: float32 ``[q, d]``, unit rows.
            k: how many photos.
            where: only photos that pass.
            without: for each query the ids of photos that it must not find; none where empty.

        Raises:
            PerisphereError: no region has a vector, or they have another dimension than the queries.
        """
        ids, images, vectors = self._now()
        if not len(ids):
            raise PerisphereError(
                f"{self._store.folder}: keeps no vectors of regions. Bring them with `perisphere index "
                "regions INDEX SEGMENTED`, in an index that was made with a segmentation encoder."
            )
        queries = clean(matrix(queries, vectors.shape[1], "queries"), "cosine", what="query")
        if where is not None:
            with self._store.reading() as connection:
                chosen = np.isin(images, passing(connection, where))
            ids, images, vectors = ids[chosen], images[chosen], vectors[chosen]
        found = [
            _best(query, k, ids, images, vectors, without[place] if without else ())
            for place, query in enumerate(queries)
        ]
        with self._store.reading() as connection:
            known = regions.by_id(connection, {id_ for hits in found for id_, _ in hits})
        return [[(known[id_], score) for id_, score in hits if id_ in known] for hits in found]

    def _refuse_older_vectors(self, connection: sqlite3.Connection, last: int, encoder: str) -> None:
        """Refuse vectors of two spaces side by side.

        Raises:
            PerisphereError: photos keep regions whose vectors were there before.
        """
        query = "SELECT count(DISTINCT image) FROM regions WHERE vector IS NOT NULL AND id <= ?"
        (staying,) = connection.execute(query, (last,)).fetchone()
        if staying:
            raise PerisphereError(
                f"{self._store.folder}: {staying} photos keep regions with vectors of another encoder or "
                f"layer ({encoder}), which cannot be compared. Bring the regions of all photos at once."
            )

    def _now(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Return ids and photos, ascending by photo, and unit rows of the regions that have a vector."""
        with self._lock:
            moment = self._store.moment()
            if moment != self._moment:
                with self._store.reading() as connection:
                    self._ids, self._images, self._vectors = _vectors(connection)
                self._moment = moment
            return self._ids, self._images, self._vectors


def _vectors(
    connection: sqlite3.Connection,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    dim = (regions.kept(connection) or {}).get("dim")
    if dim is None or not regions.has_table(connection):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 0), np.float32)
    (count,) = connection.execute("SELECT count(*) FROM regions WHERE vector IS NOT NULL").fetchone()
    ids, images = np.empty(count, np.int64), np.empty(count, np.int64)
    vectors = np.empty((count, dim), np.float32)
    query = "SELECT id, image, vector FROM regions WHERE vector IS NOT NULL ORDER BY image, id"
    for place, (id_, image, blob) in enumerate(connection.execute(query)):
        if len(blob) != 4 * dim:
            raise PerisphereError(f"Region {id_} is damaged. `perisphere index verify` tells more.")
        ids[place], images[place], vectors[place] = id_, image, np.frombuffer(blob, "<f4")
    return ids, images, vectors


def _best(
    query: NDArray[np.float32],
    k: int,
    ids: NDArray[np.int64],
    images: NDArray[np.int64],
    vectors: NDArray[np.float32],
    without: Collection[int],
) -> list[tuple[int, float]]:
    """Return the best region, id and score, of each of the ``k`` best photos; ``images`` ascend."""
    if not len(ids):
        return []
    scores = vectors @ query
    if without:
        scores[np.isin(images, list(without))] = -np.inf
    starts = np.flatnonzero(np.diff(images, prepend=-1))
    photos = np.maximum.reduceat(scores, starts)
    ends = np.append(starts[1:], len(ids))
    hits = []
    for photo in np.argsort(-photos, kind="stable")[:k]:
        place = starts[photo] + int(np.argmax(scores[starts[photo] : ends[photo]]))
        if np.isfinite(scores[place]):
            hits.append((int(ids[place]), float(scores[place])))
    return hits

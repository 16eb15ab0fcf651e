"""Centroids in the store: of each label the sum of its photos' vectors, and how many they are.

A sum in float64 takes photos in and out with a rounding error of about 1e-16 of its length, so that centroids
stay true however often an index changes. Sums change in the transaction that changes the photos.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from perisphere.errors import PerisphereError
from perisphere.index.store import read_fact, read_rows

PENDING_BYTES = 64 << 20

TABLES = (
    "CREATE TABLE centroids (id INTEGER PRIMARY KEY, label TEXT NOT NULL UNIQUE, count INTEGER NOT NULL, "
    "change INTEGER NOT NULL, crc INTEGER NOT NULL, sum BLOB NOT NULL)",
    "CREATE INDEX centroids_change ON centroids(change)",
)
_WRITE = (
    "INSERT INTO centroids (label, count, change, crc, sum) VALUES (?, ?, ?, ?, ?) ON CONFLICT (label) DO "
    "UPDATE SET count = excluded.count, change = excluded.change, crc = excluded.crc, sum = excluded.sum"
)


@dataclass(frozen=True)
class Sum:
    """One row of the table; a label whose photos are all gone keeps its id, a count of 0 and no sum.

    Attributes:
        id: the centroid's, for ever that of its label.
        label: the label.
        count: how many photos it has.
        change: the number of the change that wrote it.
        total: the sum of their vectors, float64 ``[d]``.
        whole: whether the sum is as it was written.
    """

    id: int
    label: str
    count: int
    change: int
    total: np.ndarray
    whole: bool


def kept(connection: sqlite3.Connection) -> str | None:
    """Return whether the index keeps centroids ``"beside"`` its photos, ``"only"`` them, or none."""
    found: str | None = read_fact(connection, "centroids", None)
    return found


def create_table(connection: sqlite3.Connection) -> None:
    """Make the empty table, inside the running transaction where there is one."""
    for statement in TABLES:
        connection.execute(statement)


def read_sums(
    connection: sqlite3.Connection, dim: int, *, after: int = 0, labels: Sequence[str] | None = None
) -> Iterator[Sum]:
    """Yield the sums changed after the change ``after``, by ascending id, or those of ``labels``."""
    query = "SELECT id, label, count, change, crc, sum FROM centroids WHERE "
    if labels is None:
        rows = connection.execute(f"{query} change > ? ORDER BY id", (after,))
        yield from (_read(row, dim) for row in rows)
        return
    for label in labels:
        yield from (_read(row, dim) for row in connection.execute(f"{query} label = ?", (label,)))


def whole(found: Sum) -> Sum:
    """Return ``found``.

    Raises:
        PerisphereError: it is not as it was written.
    """
    if not found.whole:
        raise PerisphereError(
            f"The centroid of {found.label!r} is damaged. `perisphere index verify` tells more."
        )
    return found


class Sums:
    """Changes of sums inside the running transaction, a bounded number of them in memory."""

    def __init__(self, connection: sqlite3.Connection, dim: int) -> None:
        self._connection, self._dim = connection, dim
        last = connection.execute("SELECT max(change) FROM centroids").fetchone()[0]
        self._change = (last or 0) + 1
        self._pending: dict[str, tuple[int, np.ndarray]] = {}

    def put(self, labels: Sequence[str | None], vectors: np.ndarray, *, sign: int = 1) -> None:
        """Take photos in (``sign`` 1) or out (-1); those without a label have no centroid.

        Args:
            labels: one a vector.
            vectors: as the index stores them, float32 ``[n, d]``.
            sign: 1 or -1.
        """
        for label, count, total in by_label(labels, vectors):
            before, sum_before = self._pending.get(label, (0, 0.0))
            self._pending[label] = (before + sign * count, sum_before + sign * total)
        if 8 * self._dim * len(self._pending) > PENDING_BYTES:
            self.write()

    def drop(self, label: str) -> None:
        """Take out all photos of a label, whatever their vectors were."""
        self._store(label, 0, np.empty(0))

    def write(self) -> None:
        """Write what is pending.

        Raises:
            PerisphereError: a damaged sum, or more photos taken out than there are.
        """
        for label, (count, total) in self._pending.items():
            for found in read_sums(self._connection, self._dim, labels=[label]):
                count += whole(found).count
                total = total + found.total if found.count else total
            if count < 0:
                raise PerisphereError(f"The centroid of {label!r} has fewer photos than are taken out of it.")
            self._store(label, count, total if count else np.empty(0))
        self._pending.clear()

    def _store(self, label: str, count: int, total: np.ndarray) -> None:
        blob = total.astype("<f8").tobytes()
        self._connection.execute(_WRITE, (label, count, self._change, zlib.crc32(blob), blob))


def staying(connection: sqlite3.Connection, ids: np.ndarray) -> np.ndarray:
    """Return those of the ascending ``ids`` whose labels have other photos than ``ids``."""
    chosen = "SELECT value FROM json_each(?)"
    query = (
        f"SELECT id FROM images WHERE id IN ({chosen}) AND label IN "
        f"(SELECT label FROM images WHERE id NOT IN ({chosen}))"
    )
    text = str(ids.tolist())
    return np.sort(np.array([id_ for (id_,) in connection.execute(query, (text, text))], dtype=np.int64))


def take_out(
    connection: sqlite3.Connection, dim: int, ids: np.ndarray, mode: str, vectors: np.ndarray | None = None
) -> None:
    """Take photos out of their centroids, before their rows go, inside the running transaction.

    Args:
        connection: that writes.
        dim: values a vector.
        ids: of the photos, int64, ascending.
        mode: as of :func:`kept`.
        vectors: theirs, as the index would store them, float32 ``[n, d]``; used where it does not.

    Raises:
        PerisphereError: the vectors are needed and missing, or a sum is damaged.
    """
    query = "SELECT id, label FROM images WHERE id IN (SELECT value FROM json_each(?))"
    labels: dict[int, str | None] = dict(connection.execute(query, (str(ids.tolist()),)))
    sums = Sums(connection, dim)
    if mode == "beside":
        for found, rows in read_rows(connection, dim, ids):
            sums.put([labels[id_] for id_ in found.tolist()], rows, sign=-1)
    else:
        stays = np.isin(ids, staying(connection, ids))
        if stays.any():
            rest = [labels[id_] for id_ in ids[stays].tolist()]
            sums.put(rest, _given(vectors, ids, rest)[stays], sign=-1)
        for label in {labels[id_] for id_ in ids[~stays].tolist()} - {None}:
            sums.drop(str(label))
    sums.write()


def _given(vectors: np.ndarray | None, ids: np.ndarray, labels: Sequence[str | None]) -> np.ndarray:
    if vectors is None or len(vectors) != len(ids):
        raise PerisphereError(
            f"Other photos of {labels[0]!r} stay, and the index keeps no photo's vector: give those of the "
            f"{len(ids)} photos that go, or remove all photos of a label."
        )
    return vectors


def by_label(labels: Sequence[str | None], vectors: np.ndarray) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield each label with the number of its rows of ``vectors`` and their sum, float64 ``[d]``."""
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        if label is not None:
            places.setdefault(label, []).append(place)
    for label, own in places.items():
        yield label, len(own), vectors[own].sum(axis=0, dtype=np.float64)


def _read(row: tuple[int, str, int, int, int, bytes], dim: int) -> Sum:
    id_, label, count, change, crc, blob = row
    sound = zlib.crc32(blob) == crc and len(blob) == (8 * dim if count else 0)
    total = np.frombuffer(blob, dtype="<f8") if sound else np.empty(0)
    return Sum(id_, label, count, change, total, sound)

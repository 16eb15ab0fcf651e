"""Upkeep of centroids: making them for photos that are there already, and proving that they are true."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from perisphere.index.store import CENTROIDS_FORMAT, SqliteFile, read_blocks, read_fact, write_fact
from perisphere.index.sums import Sum, Sums, by_label, create_table, kept, read_sums
from perisphere.index.waiting import patient_bar
from perisphere.progress import Advance

PROBES = 4
"""Directions in which sums are compared: one pass over the photos, and four numbers a label in memory."""

TOLERANCE = 1e-9
"""Of the summed lengths of a label's photos."""

Labelled = tuple[list[str | None], np.ndarray]
"""Labels and vectors (float32 ``[n, d]``) of some photos."""


def build(store: SqliteFile, dim: int) -> None:
    """Keep centroids beside the photos from now on; nothing changes where they are kept already."""
    with store.writing() as connection:
        if kept(connection) is not None:
            return
        (images,) = connection.execute("SELECT count(*) FROM images").fetchone()
        with patient_bar("centroids", images) as advance:
            keep(connection, dim, labelled_blocks(connection, dim), advance)


def keep(connection: sqlite3.Connection, dim: int, blocks: Iterable[Labelled], advance: Advance) -> None:
    """Make the centroids of the photos in ``blocks``, inside the running transaction."""
    create_table(connection)
    sums = Sums(connection, dim)
    for labels, vectors in blocks:
        sums.put(labels, vectors)
        advance(len(labels))
    sums.write()
    write_fact(connection, "centroids", "beside")
    write_fact(connection, "format", max(CENTROIDS_FORMAT, read_fact(connection, "format", 0)))


def labelled_blocks(connection: sqlite3.Connection, dim: int) -> Iterator[Labelled]:
    """Yield the labels and vectors of all photos, block by block, without those that were removed."""
    for ids, vectors in read_blocks(connection, dim):
        if not len(ids):
            continue
        query = "SELECT id, label FROM images WHERE id BETWEEN ? AND ?"
        known = dict(connection.execute(query, (int(ids[0]), int(ids[-1]))))
        living = [place for place, id_ in enumerate(ids.tolist()) if id_ in known]
        yield [known[id_] for id_ in ids[living].tolist()], vectors[living]


def verify(store: SqliteFile, dim: int, *, unit_rows: bool) -> list[str]:
    """Return what is wrong with the centroids, one line a problem; none where none are kept.

    Sums are compared with the photos in :data:`PROBES` random directions. Where only the centroids are kept,
    unit rows bound a sum by its count.

    Args:
        store: the index's.
        dim: values a vector.
        unit_rows: whether all photos are of length 1.
    """
    with store.reading() as connection:
        mode = kept(connection)
        if mode == "only":
            return _faults_alone(connection, dim, unit_rows)
        if mode is None:
            return []
        check = Check(dim)
        for labels, vectors in labelled_blocks(connection, dim):
            check.put(labels, vectors)
        return check.faults(connection)


class Check:
    """The photos of an index, taken in one block after another, and compared with its centroids."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._probes = np.random.default_rng(0).standard_normal((dim, PROBES))
        self._seen: dict[str, tuple[int, np.ndarray]] = {}

    def put(self, labels: Sequence[str | None], vectors: np.ndarray) -> None:
        """Take in photos (float32 ``[n, d]``)."""
        rows = vectors.astype(np.float64)
        values = np.column_stack([rows @ self._probes, np.linalg.norm(rows, axis=1)])
        for label, count, total in by_label(labels, values):
            before, sum_before = self._seen.get(label, (0, 0.0))
            self._seen[label] = (before + count, sum_before + total)

    def faults(self, connection: sqlite3.Connection) -> list[str]:
        """Return what is wrong with the centroids, one line a problem."""
        counts = {label: count for label, (count, _) in self._seen.items()}

        def untrue(found: Sum) -> str | None:
            expected, length = np.split(self._seen[found.label][1], [PROBES])
            far = (np.abs(found.total @ self._probes - expected) > TOLERANCE * length).any()
            return "is not the sum of its photos" if far else None

        return _faults(connection, self._dim, counts, untrue)


def _faults_alone(connection: sqlite3.Connection, dim: int, unit_rows: bool) -> list[str]:
    """Check centroids whose photos' vectors are not kept."""
    counts = dict(connection.execute("SELECT label, count(*) FROM images WHERE label NOT NULL GROUP BY 1"))

    def too_long(found: Sum) -> str | None:
        excess = unit_rows and np.linalg.norm(found.total) > found.count * (1 + 1e-3)
        return "its sum is longer than its photos can make it" if excess else None

    return _faults(connection, dim, counts, too_long)


def _faults(
    connection: sqlite3.Connection, dim: int, counts: dict[str, int], untrue: Callable[[Sum], str | None]
) -> list[str]:
    """Compare the sums with the photos' counts by label, and those that agree by ``untrue``."""
    problems = []
    for found in read_sums(connection, dim):
        problem = _fault(found, counts.pop(found.label, 0))
        if problem is None and found.count:
            problem = untrue(found)
        if problem is not None:
            problems.append(f"centroid of {found.label!r}: {problem}")
    return problems + [f"label {label!r}: has photos and no centroid" for label in counts]


def _fault(found: Sum, photos: int) -> str | None:
    if not found.whole:
        return "the checksum does not match, its sum has changed"
    if found.count != photos:
        return f"counts {found.count} photos, and {photos} are there"
    return None if np.isfinite(found.total).all() else "its sum is not finite"

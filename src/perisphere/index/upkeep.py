"""Upkeep of a store: what it owes, proving that it is whole, and giving back what removed rows still take."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator

import numpy as np

from perisphere.errors import PerisphereError
from perisphere.index import code_blocks
from perisphere.index.store import SqliteFile, block_bytes, block_rows, read_fact, write_fact, write_vectors
from perisphere.index.waiting import patient_bar

GROUP_BYTES = 32 << 20
DEBT_SHARE, DEBT_ROWS = 0.2, 5_000


def debt(store: SqliteFile, *, codes: bool = False) -> dict[str, int]:
    """Return how many removed rows still take space (``tombstones``), and the number of ``blocks``.

    Args:
        store: the store.
        codes: count blocks of codes too, where there are any.
    """
    with store.reading() as connection:
        tombstones = connection.execute("SELECT count(*) FROM tombstones").fetchone()[0]
        blocks = connection.execute("SELECT count(*) FROM blocks").fetchone()[0]
        blocks += code_blocks.count(connection) if codes else 0
    return {"tombstones": tombstones, "blocks": blocks}


def is_due(store: SqliteFile, living: int) -> bool:
    """Return whether removed rows take so much that they should be reclaimed now."""
    return debt(store)["tombstones"] > max(DEBT_ROWS, DEBT_SHARE * living)


def compact(store: SqliteFile, dim: int, books: int | None = None, *, codes_only: bool = False) -> int:
    """Rewrite the blocks that hold removed rows or few rows, and return the number of rows reclaimed.

    Each group of blocks is one transaction, so a kill leaves a whole index, and the next compaction goes on.

    Args:
        store: the store.
        dim: values a vector.
        books: bytes a code, where codes are kept.
        codes_only: whether they are kept instead of vectors.
    """
    reclaimed = 0 if books is None else code_blocks.compact(store, books, only=codes_only)
    if not codes_only:
        reclaimed += _compact_vectors(store, dim, books)
    store.tidy(vacuum=reclaimed > 0)
    return reclaimed


def _compact_vectors(store: SqliteFile, dim: int, books: int | None) -> int:
    reclaimed = after = 0
    with patient_bar("compacting", debt(store)["blocks"], "blocks") as advance:
        while True:
            with store.writing() as connection:
                group = _next_group(connection, dim, after)
                if not group:
                    break
                after = group[-1][0]
                advance(len(group))
                if _is_tidy(connection, group, dim):
                    continue
                reclaimed += _rewrite(connection, group, dim, books)
                write_fact(connection, "compactions", read_fact(connection, "compactions", 0) + 1)
    return reclaimed


_Block = tuple[int, int]
"""The key of a block (its last id) and its number of rows."""


def _next_group(connection: sqlite3.Connection, dim: int, after: int) -> list[_Block]:
    query = "SELECT last_id, length(ids) / 8 FROM blocks WHERE last_id > ? ORDER BY last_id"
    group: list[_Block] = []
    rows = 0
    for key, count in connection.execute(query, (after,)):
        group.append((key, count))
        rows += count
        if rows * dim * 4 >= GROUP_BYTES:
            break
    return group


def _is_tidy(connection: sqlite3.Connection, group: list[_Block], dim: int) -> bool:
    rows = sum(count for _, count in group)
    if len(group) > -(-rows // block_rows(dim, block_bytes(connection))):
        return False
    first = _ids(connection, group[0][0])[0]
    query = "SELECT 1 FROM tombstones WHERE id BETWEEN ? AND ? LIMIT 1"
    return connection.execute(query, (int(first), group[-1][0])).fetchone() is None


def _ids(connection: sqlite3.Connection, key: int) -> np.ndarray:
    blob = connection.execute("SELECT ids FROM blocks WHERE last_id = ?", (key,)).fetchone()[0]
    return np.frombuffer(blob, dtype="<i8")


def _rewrite(connection: sqlite3.Connection, group: list[_Block], dim: int, books: int | None) -> int:
    ids, vectors = _read(connection, group, dim)
    first, last = int(ids[0]), int(ids[-1])
    query = "SELECT id FROM tombstones WHERE id BETWEEN ? AND ? ORDER BY id"
    removed = np.fromiter((row[0] for row in connection.execute(query, (first, last))), dtype=np.int64)
    if books is not None:  # of rows that were removed since their codes were compacted
        code_blocks.forget(connection, books, removed)
    living = ~np.isin(ids, removed)
    ids, vectors = ids[living], vectors[living]
    connection.executemany("DELETE FROM blocks WHERE last_id = ?", ((key,) for key, _ in group))
    connection.execute("DELETE FROM tombstones WHERE id BETWEEN ? AND ?", (first, last))
    write_vectors(connection, ids, vectors)
    return len(removed)


def _read(connection: sqlite3.Connection, group: list[_Block], dim: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.empty(sum(count for _, count in group), dtype=np.int64)
    vectors = np.empty((len(ids), dim), dtype=np.float32)
    start = 0
    for key, count in group:
        query = "SELECT ids, vectors, crc FROM blocks WHERE last_id = ?"
        id_blob, blob, crc = connection.execute(query, (key,)).fetchone()
        if zlib.crc32(blob, zlib.crc32(id_blob)) != crc or len(blob) != 4 * dim * count:
            raise PerisphereError(
                f"The block of vectors up to id {key} is damaged, and left alone. Restore a copy."
            )
        ids[start : start + count] = np.frombuffer(id_blob, dtype="<i8")
        vectors[start : start + count] = np.frombuffer(blob, dtype="<f4").reshape(count, dim)
        start += count
    return ids, vectors


def verify(store: SqliteFile, dim: int, *, unit_rows: bool, photos: bool = True) -> list[str]:
    """Return what is wrong with the store, one line a problem; empty where all is well.

    Args:
        store: the store.
        dim: values a vector.
        unit_rows: whether every vector must be of length 1.
        photos: whether every row must have its vector.
    """
    with store.reading() as connection:
        blocks = connection.execute("SELECT count(*) FROM blocks").fetchone()[0]
        with patient_bar("verifying", blocks, "blocks", at_once=True) as advance:
            damage = [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
            problems = [f"SQLite: {line}" for line in damage if line != "ok"]
            stored: list[np.ndarray] = []
            for found, ids in _check_blocks(connection, dim, unit_rows):
                problems += found
                stored.append(ids)
                advance()
        if photos:
            problems += _check_ids(
                connection, np.concatenate(stored) if stored else np.empty(0, dtype=np.int64)
            )
    return problems


def _check_blocks(
    connection: sqlite3.Connection, dim: int, unit_rows: bool
) -> Iterator[tuple[list[str], np.ndarray]]:
    query = "SELECT last_id, ids, vectors, crc FROM blocks ORDER BY last_id"
    for key, id_blob, blob, crc in connection.execute(query):
        name = f"block up to id {key}"
        ids = np.frombuffer(id_blob[: len(id_blob) // 8 * 8], dtype="<i8")
        problems = []
        if zlib.crc32(blob, zlib.crc32(id_blob)) != crc:
            problems.append(f"{name}: the checksum does not match, its vectors have changed")
        if not len(ids) or ids[-1] != key or (np.diff(ids) <= 0).any():
            problems.append(f"{name}: its ids are not ascending up to its key")
        if len(blob) != 4 * dim * len(ids):
            problems.append(f"{name}: {len(blob)} bytes of vectors do not make {len(ids)} rows of {dim}")
        else:
            rows = np.frombuffer(blob, dtype="<f4").reshape(-1, dim)
            norms = np.einsum("ij,ij->i", rows, rows)
            if not np.isfinite(norms).all():
                problems.append(f"{name}: a vector is not finite")
            elif unit_rows and (np.abs(norms - 1) > 1e-3).any():
                problems.append(f"{name}: a vector is not of length 1")
        yield problems, ids


def _check_ids(connection: sqlite3.Connection, stored: np.ndarray) -> list[str]:
    def column(query: str) -> np.ndarray:
        return np.fromiter((row[0] for row in connection.execute(query)), dtype=np.int64)

    problems = []
    if (np.diff(stored) <= 0).any():
        problems.append("an id is stored twice, or the blocks overlap")
    removed, rows = column("SELECT id FROM tombstones"), column("SELECT id FROM images ORDER BY id")
    for ids, words in (
        (np.setdiff1d(removed, stored), "removed ids have no vector to reclaim"),
        (np.setdiff1d(rows, np.setdiff1d(stored, removed)), "rows have no vector"),
        (np.setdiff1d(np.setdiff1d(stored, removed), rows), "vectors have no row"),
    ):
        if len(ids):
            problems.append(f"{len(ids)} {words}, the first with id {ids[0]}")
    return problems

"""Codes in the store: blocks of ascending ids, which take no room where they have no gaps.

A removed row's code stays until its block is rewritten, as its vector does; the tombstone tells.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.index.ascending import SPAN, AscendingIds
from perisphere.index.store import BLOCK_BYTES, SqliteFile, read_fact, write_fact
from perisphere.index.waiting import patient_bar

TABLE = (
    "CREATE TABLE codes (last_id INTEGER PRIMARY KEY, first_id INTEGER NOT NULL, offsets BLOB NOT NULL, "
    "codes BLOB NOT NULL, crc INTEGER NOT NULL)"
)
VECTOR_BYTES = 32 << 10
"""A block of vectors beside codes: a short list reads single rows, so that blocks are small."""

GROUP_BYTES = 32 << 20


@dataclass(frozen=True)
class CodeBlock:
    """One row of the table.

    Attributes:
        key: its last id, as the store has it.
        ids: of its rows.
        codes: uint8 ``[n, M]``.
        fault: what is wrong with it, ``None`` where it is whole; it has no rows then.
    """

    key: int
    ids: AscendingIds
    codes: NDArray[np.uint8]
    fault: str | None = None


class CodeWriter:
    """Writes codes inside the running transaction, in blocks as large as they may be."""

    def __init__(self, connection: sqlite3.Connection, books: int) -> None:
        self._connection, self._most = connection, max(1, BLOCK_BYTES // books)
        self._ids: list[NDArray[np.int64]] = []
        self._codes: list[NDArray[np.uint8]] = []
        self._held = 0

    def put(self, ids: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        """Take rows (as many ids as codes) whose ids are above those before."""
        while len(ids):
            first = int(self._ids[0][0]) if self._ids else int(ids[0])
            near = int(np.searchsorted(ids, first + SPAN))
            room = min(self._most - self._held, near)
            if room:
                self._ids.append(ids[:room])
                self._codes.append(codes[:room])
                self._held += room
                ids, codes = ids[room:], codes[room:]
            if len(ids) or self._held == self._most:
                self.write()

    def write(self) -> None:
        """Write what is held."""
        if not self._held:
            return
        ids = AscendingIds.of(np.concatenate(self._ids))
        offsets = b"" if ids.offsets is None else ids.offsets.astype("<u4").tobytes()
        codes = np.concatenate(self._codes).tobytes()
        last = int(self._ids[-1][-1])
        record = (last, ids.first, offsets, codes, _checksum(ids.first, offsets, codes))
        self._connection.execute("INSERT INTO codes VALUES (?, ?, ?, ?, ?)", record)
        self._ids, self._codes, self._held = [], [], 0


def read_codes(connection: sqlite3.Connection, books: int, *, after: int = 0) -> Iterator[CodeBlock]:
    """Yield the blocks with an id above ``after``, ascending, with all their rows, tombstones included."""
    query = "SELECT last_id, first_id, offsets, codes, crc FROM codes WHERE last_id > ? ORDER BY last_id"
    for record in connection.execute(query, (after,)):
        yield _read(record, books)


def whole(block: CodeBlock) -> CodeBlock:
    """Return ``block``.

    Raises:
        PerisphereError: it is not as it was written.
    """
    if block.fault is not None:
        raise PerisphereError(
            f"The block of codes up to id {block.key} is damaged ({block.fault}). Restore a copy of the "
            "index, or make it anew."
        )
    return block


def _read(record: tuple[int, int, bytes, bytes, int], books: int) -> CodeBlock:
    key, first, offset_blob, code_blob, crc = record
    fault = None
    count = len(code_blob) // books
    offsets = np.frombuffer(offset_blob[: len(offset_blob) // 4 * 4], "<u4")
    if _checksum(first, offset_blob, code_blob) != crc:
        fault = "the checksum does not match, its codes have changed"
    elif not count or len(code_blob) != count * books or len(offset_blob) not in (0, 4 * count):
        fault = f"{len(code_blob)} bytes of codes do not make rows of {books} for its ids"
    elif (
        first + (int(offsets[-1]) if len(offsets) else count - 1) != key
        or (offsets[1:] <= offsets[:-1]).any()
    ):
        fault = "its ids are not ascending up to its key"
    if fault is not None:
        return CodeBlock(key, AscendingIds(), np.empty((0, books), np.uint8), fault)
    ids = AscendingIds(first, count, offsets if len(offsets) else None)
    return CodeBlock(key, ids, np.frombuffer(code_blob, np.uint8).reshape(count, books))


def _checksum(first: int, offsets: bytes, codes: bytes) -> int:
    return zlib.crc32(codes, zlib.crc32(offsets, zlib.crc32(first.to_bytes(8, "little", signed=True))))


def compact(store: SqliteFile, books: int, *, only: bool) -> int:
    """Rewrite the blocks that hold removed rows or few rows, and return how many tombstones are dropped.

    Each group of blocks is one transaction. Tombstones go where codes are all there is of a row (``only``);
    else its vector still needs them.
    """
    dropped = after = 0
    with store.reading() as connection:
        blocks = count(connection)
    with patient_bar("compacting codes", blocks, "blocks") as advance:
        while True:
            with store.writing() as connection:
                group = _next_group(connection, books, after)
                if not group:
                    return dropped
                after = group[-1].key
                advance(len(group))
                removed = _removed(connection, group)
                if not len(removed) and len(group) <= -(
                    -sum(len(b.ids) for b in group) * books // BLOCK_BYTES
                ):
                    continue
                _rewrite(connection, group, removed, books)
                if only:
                    bounds = (group[0].ids.first, after)
                    connection.execute("DELETE FROM tombstones WHERE id BETWEEN ? AND ?", bounds)
                    dropped += len(removed)
                write_fact(connection, "compactions", read_fact(connection, "compactions", 0) + 1)


def count(connection: sqlite3.Connection) -> int:
    """Return how many blocks there are."""
    return int(connection.execute("SELECT count(*) FROM codes").fetchone()[0])


def _next_group(connection: sqlite3.Connection, books: int, after: int) -> list[CodeBlock]:
    group: list[CodeBlock] = []
    size = 0
    for block in read_codes(connection, books, after=after):
        group.append(whole(block))
        size += block.codes.nbytes
        if size >= GROUP_BYTES:
            break
    return group


def _removed(connection: sqlite3.Connection, group: list[CodeBlock]) -> NDArray[np.int64]:
    """Return the tombstones of rows whose codes are in the group, ascending."""
    query = "SELECT id FROM tombstones WHERE id BETWEEN ? AND ? ORDER BY id"
    found = connection.execute(query, (group[0].ids.first, group[-1].key))
    removed = np.fromiter((row[0] for row in found), dtype=np.int64)
    return np.concatenate([block.ids.at(block.ids.places(removed)) for block in group])


def _rewrite(
    connection: sqlite3.Connection, group: list[CodeBlock], removed: NDArray[np.int64], books: int
) -> None:
    connection.executemany("DELETE FROM codes WHERE last_id = ?", ((block.key,) for block in group))
    writer = CodeWriter(connection, books)
    for block in group:
        living = np.ones(len(block.ids), dtype=bool)
        living[block.ids.places(removed)] = False
        writer.put(block.ids.at(np.flatnonzero(living)), block.codes[living])
    writer.write()


def forget(connection: sqlite3.Connection, books: int, removed: NDArray[np.int64]) -> None:
    """Rewrite the blocks that hold codes of ``removed`` (ascending), whose tombstones are about to go."""
    while len(removed):
        block = next(read_codes(connection, books, after=int(removed[0]) - 1), None)
        if block is None:
            return
        mine = removed[removed <= block.key]
        removed = removed[len(mine) :]
        if len(whole(block).ids.places(mine)):
            _rewrite(connection, [block], mine, books)


def verify(store: SqliteFile, books: int, words: int, *, only: bool) -> list[str]:
    """Return what is wrong with the codes, one line a problem.

    Args:
        store: the index's.
        books: bytes a code.
        words: how many words a book has.
        only: whether a removed row must still have its code, as nothing else of it is kept.
    """
    problems: list[str] = []
    stored: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    with store.reading() as connection:
        for block in read_codes(connection, books):
            fault = block.fault
            if fault is None and int(block.codes.max()) >= words:
                fault = f"a code names word {block.codes.max()}, and a book has {words}"
            problems += [f"block of codes up to id {block.key}: {fault}"] if fault else []
            stored.append(block.ids.all())
        removed = _column(connection, "SELECT id FROM tombstones ORDER BY id")
        rows = _column(connection, "SELECT id FROM images ORDER BY id")
    if problems:
        return problems
    ids = np.concatenate(stored)
    if (np.diff(ids) <= 0).any():
        return ["an id is coded twice, or the blocks of codes overlap"]
    living = np.setdiff1d(ids, removed)
    faults = {
        "rows have no code": np.setdiff1d(rows, living),
        "codes have no row": np.setdiff1d(living, rows),
    }
    if only:
        faults["removed ids have no code to reclaim"] = np.setdiff1d(removed, ids)
    return [f"{len(bad)} {words_}, the first with id {bad[0]}" for words_, bad in faults.items() if len(bad)]


def _column(connection: sqlite3.Connection, query: str) -> NDArray[np.int64]:
    return np.fromiter((row[0] for row in connection.execute(query)), dtype=np.int64)

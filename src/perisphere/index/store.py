"""The truth of an index: one SQLite file of vectors, catalog rows and facts.

Vectors lie in blocks of ascending ids (float32, row after row, with a CRC-32), so that they are read back at
the speed of the memory. A removed row leaves a tombstone until its block is rewritten. The file is in WAL
mode with ``synchronous=FULL``: what a finished call wrote survives a kill and a power cut, and what an
unfinished call wrote is not there.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from perisphere.errors import PerisphereError
from perisphere.index.lock import WriterLock

CENTROIDS_FORMAT = 2
CONCEPTS_FORMAT = 3
REGIONS_FORMAT = FORMAT = 4
STORES_FORMAT = 5
"""Only of an index whose vectors and rows lie in another engine; the others keep :data:`FORMAT`."""

FILE = "index.sqlite"
BLOCK_BYTES = 2 << 20

_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT, split TEXT, label TEXT, camera TEXT, domain TEXT, tags TEXT, caption TEXT, categories TEXT,
    concepts TEXT, box TEXT, url TEXT, width INTEGER, height INTEGER, root INTEGER REFERENCES roots(id)
);
CREATE INDEX images_label ON images(label);
CREATE INDEX images_camera ON images(camera);
CREATE INDEX images_split ON images(split);
CREATE TABLE blocks (
    last_id INTEGER PRIMARY KEY, ids BLOB NOT NULL, vectors BLOB NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE tombstones (removal INTEGER PRIMARY KEY AUTOINCREMENT, id INTEGER NOT NULL UNIQUE);
"""


class MissingVectorError(PerisphereError):
    """A row has no vector: its block is lost, or a compaction took it since its id was found."""

    def __init__(self, id_: int) -> None:
        super().__init__(f"The vector of id {id_} is missing. `perisphere index verify` tells more.")


class SqliteFile:
    """An open ``index.sqlite``: one connection that reads, one that writes, each for one thread at a time."""

    def __init__(self, folder: Path, *, timeout: float = 10.0) -> None:
        """Open the store of ``folder``.

        Args:
            folder: the index's folder.
            timeout: seconds that a write waits for another writer.

        Raises:
            PerisphereError: no index, a damaged one, or one of a newer format.
        """
        self.folder = Path(folder)
        self.path = self.folder / FILE
        self.timeout = timeout
        if not self.path.is_file():
            raise PerisphereError(
                f"{self.folder}: holds no index ({FILE} is missing). Make one with `perisphere index create`."
            )
        self._reading, self._writing = threading.RLock(), threading.RLock()
        self._lock = WriterLock(self.folder)
        with self._errors():
            self._reader, self._writer = self._connect(), self._connect()
            self._check_format()

    @classmethod
    def create(cls, folder: Path, facts: dict[str, Any], tables: Sequence[str] = ()) -> None:
        """Write an empty store into the existing ``folder``, with its first facts (``dim`` among them).

        Args:
            folder: the index's folder.
            facts: what it is.
            tables: statements that make further tables.
        """
        connection = sqlite3.connect(Path(folder) / FILE, isolation_level=None)
        try:
            # Small pages keep small indexes small; large ones read long vectors back four times as fast.
            connection.execute(f"PRAGMA page_size={16384 if facts['dim'] >= 128 else 4096}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_TABLES)
            for statement in tables:
                connection.execute(statement)
            for name, value in {"format": FORMAT, "compactions": 0, **facts}.items():
                connection.execute("INSERT INTO facts VALUES (?, ?)", (name, json.dumps(value)))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()

    def close(self) -> None:
        """Close both connections; the last one of all processes folds the WAL into the file."""
        with self._reading, self._writing:
            self._reader.close()
            self._writer.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the reading connection inside one transaction: every query in it sees the same moment."""
        with self._reading, self._errors():
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                if self._reader.in_transaction:
                    self._reader.execute("ROLLBACK")

    @contextmanager
    def alone(self, timeout: float | None = None) -> Iterator[None]:
        """Keep other writers away from several transactions; within it, :meth:`writing` goes on.

        Args:
            timeout: another number of seconds to wait for another writer.

        Raises:
            PerisphereError: another process writes for longer.
        """
        with self._writing, self._lock.held(self.timeout if timeout is None else timeout):
            yield

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the writing connection inside one transaction: all of it is committed, or nothing.

        Raises:
            PerisphereError: another process writes for longer than ``timeout``, or the disk is full.
        """
        with self._writing, self._lock.held(self.timeout), self._errors():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    def moment(self) -> int:
        """Return a number that changes whenever any connection has committed (a few microseconds)."""
        with self._reading, self._errors():
            return int(self._reader.execute("PRAGMA data_version").fetchone()[0])

    def fact(self, name: str, default: Any = None) -> Any:
        """Return one stored fact, or ``default``."""
        with self._reading, self._errors():
            return read_fact(self._reader, name, default)

    def set_facts(self, **facts: Any) -> None:
        """Store facts in one transaction."""
        with self.writing() as connection:
            for name, value in facts.items():
                write_fact(connection, name, value)

    def tidy(self, *, vacuum: bool = False) -> None:
        """Fold the WAL into the file where no reader is in the way; ``vacuum``: give free pages back."""
        with self._writing, self._lock.held(self.timeout), self._errors():
            if vacuum:
                self._writer.execute("VACUUM")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self.timeout, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-16384")
        return connection

    def _check_format(self) -> None:
        written = read_fact(self._reader, "format", None)
        if not isinstance(written, int) or written < 1:
            raise PerisphereError(f"{self.path}: is an SQLite file, but not of an index.")
        if written > STORES_FORMAT:
            raise PerisphereError(
                f"{self.path}: has format {written}, newer than the {STORES_FORMAT} known here. "
                "Upgrade perisphere."
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise PerisphereError(f"{self.path}: {_cause(error)}") from error


def _cause(error: sqlite3.Error) -> str:
    words = str(error)
    if "locked" in words or "busy" in words:
        return "another program is writing to it; try again when it is done."
    if "full" in words or "disk I/O" in words or "large" in words:
        return f"cannot be written ({words}): free some space. What was finished before is safe."
    if "not a database" in words or "malformed" in words:
        return f"is damaged ({words}). Restore it from a copy, or make it anew (`perisphere index create`)."
    if "no such column: regions" in words:
        return "was made before indexes kept regions: bring them with `perisphere index regions`."
    if "no such module: fts5" in words:
        return "needs SQLite with full-text search (FTS5), which this Python lacks; use another build."
    if "no such column: concepts" in words:
        return "was made before indexes kept concepts: add images, which brings the column, or make it anew."
    if "readonly" in words or "unable to open" in words:
        return f"cannot be opened for writing ({words}): check the permissions of the folder."
    return words


def read_fact(connection: sqlite3.Connection, name: str, default: Any) -> Any:
    """Return one fact as ``connection`` sees it."""
    try:
        row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return default
        raise
    return default if row is None else json.loads(row[0])


def write_fact(connection: sqlite3.Connection, name: str, value: Any) -> None:
    """Store one fact inside the running transaction."""
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))


def image_columns(connection: sqlite3.Connection) -> list[str]:
    """Return the columns of the images; those of older formats lack some."""
    return [row[1] for row in connection.execute("PRAGMA table_info(images)")]


def keep_concepts(connection: sqlite3.Connection) -> None:
    """Bring an index of an older format its column of concepts, inside the running transaction."""
    if "concepts" not in image_columns(connection):
        connection.execute("ALTER TABLE images ADD COLUMN concepts TEXT")
        write_fact(connection, "format", CONCEPTS_FORMAT)


def last_id(connection: sqlite3.Connection) -> int:
    """Return the largest id ever given, removed ones included; 0 where there was none."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'images'").fetchone()
    return 0 if row is None else int(row[0])


def root_key(connection: sqlite3.Connection, root: Path | str | None) -> int | None:
    """Return the key of a folder that paths start from, stored with the first of them."""
    if root is None:
        return None
    connection.execute("INSERT OR IGNORE INTO roots (path) VALUES (?)", (str(root),))
    return int(connection.execute("SELECT id FROM roots WHERE path = ?", (str(root),)).fetchone()[0])


def block_rows(dim: int, size: int = BLOCK_BYTES) -> int:
    """Return how many vectors of ``dim`` values make a block of ``size`` bytes."""
    return max(1, size // (4 * dim))


def block_bytes(connection: sqlite3.Connection) -> int:
    """Return how large the blocks of vectors of this index are."""
    return int(read_fact(connection, "block_bytes", BLOCK_BYTES))


def write_block(connection: sqlite3.Connection, ids: np.ndarray, vectors: np.ndarray) -> None:
    """Store vectors (float32 ``[n, d]``, C order) under ascending int64 ``ids``."""
    key, data = ids.astype("<i8").tobytes(), vectors.astype("<f4", copy=False).tobytes()
    record = (int(ids[-1]), key, data, zlib.crc32(data, zlib.crc32(key)))
    connection.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", record)


def write_vectors(connection: sqlite3.Connection, ids: np.ndarray, vectors: np.ndarray) -> None:
    """Store vectors (float32 ``[n, d]``) under ascending int64 ``ids``, in blocks of this index's size."""
    step = block_rows(vectors.shape[1], block_bytes(connection))
    for start in range(0, len(ids), step):
        write_block(connection, ids[start : start + step], vectors[start : start + step])


def read_blocks(
    connection: sqlite3.Connection, dim: int, *, after: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ``(ids, vectors)`` of the rows with an id above ``after``, by ascending id, tombstones included.

    Raises:
        PerisphereError: a block whose length does not fit its ids.
    """
    query = "SELECT last_id, ids, vectors FROM blocks WHERE last_id > ? ORDER BY last_id"
    for key, ids_blob, vectors_blob in connection.execute(query, (after,)):
        ids = np.frombuffer(ids_blob, dtype="<i8")
        if len(vectors_blob) != 4 * dim * len(ids):
            raise PerisphereError(
                f"The block of vectors up to id {key} is damaged. `perisphere index verify` tells more."
            )
        vectors = np.frombuffer(vectors_blob, dtype="<f4").reshape(len(ids), dim)
        start = int(np.searchsorted(ids, after, side="right"))
        yield ids[start:], vectors[start:]


def read_rows(
    connection: sqlite3.Connection, dim: int, ids: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ``(ids, vectors)`` of the ascending ``ids``, block by block.

    Raises:
        MissingVectorError: an id has none.
    """
    while len(ids):
        for held, vectors in read_blocks(connection, dim, after=int(ids[0]) - 1):
            wanted = ids[: np.searchsorted(ids, held[-1], side="right")]
            places = np.searchsorted(held, wanted)
            if (held[places] != wanted).any():
                raise MissingVectorError(wanted[held[places] != wanted][0])
            yield wanted, vectors[places]
            ids = ids[len(wanted) :]
            break
        else:
            raise MissingVectorError(ids[0])

"""What the file of each photo was when it was embedded, so that a folder can be compared with the index.

Size and time tell in most cases that a file is the same; where they differ, the hash of its bytes decides.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perisphere.index import words
from perisphere.index.rows import as_list, as_text
from perisphere.index.store import SqliteFile, read_rows, root_key
from perisphere.index.sums import Sums, kept, take_out

TABLES = (
    "CREATE TABLE IF NOT EXISTS files (image INTEGER PRIMARY KEY, size INTEGER NOT NULL, "
    "changed INTEGER NOT NULL, sha256 BLOB NOT NULL)",
    "CREATE TRIGGER IF NOT EXISTS files_go AFTER DELETE ON images BEGIN "
    "DELETE FROM files WHERE image = old.id; END",
)
UNSURE = -1
"""In place of a time: the file was written so lately that a further change could leave the time as it is."""


@dataclass(frozen=True, slots=True)
class Content:
    """What was in a file.

    Attributes:
        size: in bytes.
        changed: when it last changed, in nanoseconds, or :data:`UNSURE`.
        sha256: of its bytes, 32 of them.
    """

    size: int
    changed: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """What a photo's path says of it, as the reader of a folder per class has it."""

    split: str | None
    label: str | None
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filed:
    """A row of the index that has a path.

    Attributes:
        id: its id.
        root: the folder that the path starts from, if it is known.
        path: of the file.
        place: what its row says of split, label and categories.
        content: of the file when it was embedded; ``None`` where that was not noted.
    """

    id: int
    root: str | None
    path: str
    place: Place
    content: Content | None


@dataclass(frozen=True, slots=True)
class Move:
    """A row whose file lies elsewhere now, or whose class is called otherwise."""

    id: int
    path: str
    place: Place


class KeptFiles:
    """The files of the photos of one index."""

    def __init__(self, store: SqliteFile, dim: int) -> None:
        self._store, self._dim = store, dim

    def read(self) -> Iterator[Filed]:
        """Yield the rows that have a path, by id, as of one moment."""
        with self._store.reading() as connection:
            noted = _has_table(connection)
            files = "files.size, files.changed, files.sha256" if noted else "NULL, NULL, NULL"
            query = (
                f"SELECT images.id, roots.path, images.path, split, label, categories, {files} FROM images "
                "LEFT JOIN roots ON roots.id = images.root "
                + ("LEFT JOIN files ON files.image = images.id " if noted else "")
                + "WHERE images.path IS NOT NULL ORDER BY images.id"
            )
            shared: dict[tuple[str | None, ...], Place] = {}  # the photos of a class hold one in common
            for id_, root, path, *named, size, changed, sha256 in connection.execute(query):
                place = shared.get(tuple(named)) or shared.setdefault(tuple(named), _place(*named))
                content = None if size is None else Content(size, changed, sha256)
                yield Filed(id_, root, path, place, content)

    def note(self, contents: Mapping[int, Content]) -> None:
        """Keep what the files of some photos hold, by id; photos that have gone meanwhile are passed over."""
        with self._store.writing() as connection:
            there = "SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM images WHERE id = ?)"
            create(connection)
            connection.executemany(
                f"INSERT OR REPLACE INTO files {there}",
                ((id_, c.size, c.changed, c.sha256, id_) for id_, c in contents.items()),
            )

    def move(self, moves: Sequence[Move], root: Path) -> None:
        """Give rows another path, split, label and categories; ids and vectors stay. All of them, or none.

        Args:
            moves: which, and where to.
            root: the folder that the new paths start from.

        Raises:
            PerisphereError: another writer, or a full disk.
        """
        with self._store.writing() as connection:
            relabelled = _relabelled(connection, moves)
            beside = kept(connection) == "beside"
            if beside:
                take_out(connection, self._dim, relabelled, "beside")
            key = root_key(connection, root)
            connection.executemany(
                "UPDATE images SET path = ?, root = ?, split = ?, label = ?, categories = ? WHERE id = ?",
                (
                    (m.path, key, m.place.split, m.place.label, as_text(m.place.categories), m.id)
                    for m in moves
                ),
            )
            words.renew(connection, (move.id for move in moves))
            if beside:
                self._put_back(connection, relabelled, {move.id: move.place.label for move in moves})

    def _put_back(
        self, connection: sqlite3.Connection, ids: np.ndarray, labels: Mapping[int, str | None]
    ) -> None:
        sums = Sums(connection, self._dim)
        for found, vectors in read_rows(connection, self._dim, ids):
            sums.put([labels[id_] for id_ in found.tolist()], vectors)
        sums.write()


def create(connection: sqlite3.Connection) -> None:
    """Make the table where there is none, inside the running transaction."""
    for statement in TABLES:
        connection.execute(statement)


def write(connection: sqlite3.Connection, ids: np.ndarray, contents: Sequence[Content]) -> None:
    """Keep what the files of new rows held, inside the transaction that adds them."""
    create(connection)
    connection.executemany(
        "INSERT INTO files VALUES (?, ?, ?, ?)",
        ((id_, c.size, c.changed, c.sha256) for id_, c in zip(ids.tolist(), contents, strict=True)),
    )


def _place(split: str | None, label: str | None, categories: str | None) -> Place:
    return Place(split, label, tuple(as_list(categories) or ()))


def _has_table(connection: sqlite3.Connection) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'files'"
    return connection.execute(query).fetchone() is not None


def _relabelled(connection: sqlite3.Connection, moves: Sequence[Move]) -> np.ndarray:
    """Return the ids, ascending, of the rows that get another label."""
    query = "SELECT 1 FROM images WHERE id = ? AND label IS NOT ?"
    changed = [m.id for m in moves if connection.execute(query, (m.id, m.place.label)).fetchone()]
    return np.array(sorted(changed), dtype=np.int64)

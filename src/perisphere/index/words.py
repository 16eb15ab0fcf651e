"""The words of photos, ranked by BM25 (Robertson and Zaragoza 2009) as SQLite's full-text search has it.

A row that comes or goes takes its words with it, in the same transaction: all that come in one statement
(FTS5 writes a segment for each of a trigger's, which took eleven times as long), those that go by a trigger.
An index of an older format has no such table, and is read for a temporary one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from perisphere.index.planner import Where
from perisphere.index.store import image_columns

FIELDS = ("label", "caption", "categories", "tags", "concepts")
_LISTS = ("categories", "tags", "concepts")
TOKENS = "porter unicode61 remove_diacritics 2"
"""Words of any language without accents, English ones reduced to their stems."""


def _cell(name: str, row: str) -> str:
    if name in _LISTS:
        return f"(SELECT group_concat(value, ' / ') FROM json_each({row}{name}))"
    return f"{row}{name}"


def _creation(schema: str = "") -> str:
    return f"CREATE VIRTUAL TABLE {schema}words USING fts5({', '.join(FIELDS)}, tokenize = '{TOKENS}')"


def _filling(schema: str, row: str, source: str, fields: Sequence[str] = FIELDS) -> str:
    cells = ", ".join(_cell(name, row) for name in fields)
    return f"INSERT INTO {schema}words (rowid, {', '.join(fields)}) SELECT {row}id, {cells} {source}"


_SOME = f"coalesce({', '.join(FIELDS)}) IS NOT NULL"
TABLES = (
    _creation(),
    "CREATE TRIGGER words_go AFTER DELETE ON images BEGIN DELETE FROM words WHERE rowid = old.id; END",
)


def keep_words(connection: sqlite3.Connection) -> None:
    """Bring an index of an older format the words of its photos, inside the running transaction."""
    if _kept(connection):
        return
    for statement in TABLES:
        connection.execute(statement)
    connection.execute(_filling("", "images.", "FROM images"))


def come(connection: sqlite3.Connection, after: int) -> None:
    """Keep the words of photos with an id above ``after``, inside the transaction that brought their rows."""
    if _kept(connection) and not _triggered(connection):
        connection.execute(_filling("", "images.", f"FROM images WHERE id > ? AND {_SOME}"), (after,))


def renew(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Bring the words of photos whose rows have changed up to date, inside the running transaction."""
    if not _kept(connection):
        return
    changed = [(id_,) for id_ in ids]
    connection.executemany("DELETE FROM words WHERE rowid = ?", changed)
    connection.executemany(_filling("", "images.", f"FROM images WHERE id = ? AND {_SOME}"), changed)


def matches(
    connection: sqlite3.Connection, terms: Sequence[Sequence[str]], where: Where | None = None
) -> list[dict[int, float]]:
    """Return BM25 (k1 = 1.2, b = 0.75) by id of the photos that have some word of a term, for each term.

    Args:
        connection: inside a transaction.
        terms: each the words or phrases that mean the same; several in one photo add up. A word with ``*`` at
            its end stands for all that start so.
        where: only photos that pass.
    """
    schema = "main." if _kept(connection) else "temp."
    if schema == "temp.":
        _read_words(connection)
    text, values = (
        ("", ()) if where is None else (f" AND rowid IN (SELECT id FROM images WHERE {where[0]})", where[1])
    )
    query = f"SELECT rowid, -rank FROM {schema}words WHERE words MATCH ?{text}"
    found = []
    for term in terms:
        sought = " OR ".join(map(_quoted, term))
        found.append(dict(connection.execute(query, (sought, *values))) if sought else {})
    return found


def put(connection: sqlite3.Connection, ids: np.ndarray, rows: pl.DataFrame) -> None:
    """Keep the words of photos whose rows lie in another engine, inside the running transaction."""
    lists = (pl.col(name).list.join(" / ").alias(name) for name in _LISTS)
    texts = (
        rows.select(FIELDS).with_columns(lists).with_columns(rowid=pl.Series(ids)).select("rowid", *FIELDS)
    )
    some = texts.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in FIELDS))
    marks = ", ".join("?" * (1 + len(FIELDS)))
    connection.executemany(
        f"INSERT INTO words (rowid, {', '.join(FIELDS)}) VALUES ({marks})", some.iter_rows()
    )


def drop(connection: sqlite3.Connection, ids: np.ndarray) -> None:
    """Forget the words of photos, inside the running transaction."""
    connection.executemany("DELETE FROM words WHERE rowid = ?", ((id_,) for id_ in ids.tolist()))


def faults(connection: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the words, one line a problem."""
    if not _kept(connection):
        return []
    wanted = f"SELECT id FROM images WHERE {_SOME}"
    problems = []
    for query, fault in (
        (f"SELECT id FROM ({wanted}) EXCEPT SELECT rowid FROM words", "have words that are not kept"),
        ("SELECT rowid FROM words EXCEPT SELECT id FROM images", "have words and no row"),
    ):
        ids = [id_ for (id_,) in connection.execute(query)]
        if ids:
            problems.append(f"{len(ids)} photos {fault}, the first with id {ids[0]}")
    return problems


def _kept(connection: sqlite3.Connection) -> bool:
    query = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'words'"
    return connection.execute(query).fetchone() is not None


def _triggered(connection: sqlite3.Connection) -> bool:
    """Say whether this index brings the words of each row by a trigger, as the first of its format did."""
    query = "SELECT 1 FROM main.sqlite_master WHERE type = 'trigger' AND name = 'words_come'"
    return connection.execute(query).fetchone() is not None


def _read_words(connection: sqlite3.Connection) -> None:
    """Make the temporary table of words; it goes with the transaction."""
    held = image_columns(connection)
    connection.execute(_creation("temp."))
    fields = [name for name in FIELDS if name in held]
    connection.execute(_filling("temp.", "images.", "FROM images", fields))


def _quoted(word: str) -> str:
    """Return a word of a query: in quotes nothing of the query language is left but the quotes themselves."""
    return '"' + _sound(word.rstrip("*")).replace('"', '""') + '"' + ("*" if word.endswith("*") else "")


def _sound(text: str) -> str:
    """Return what SQLite can hold: no half characters, no zeros."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")

"""How many images have each value of a column."""

import json
import sqlite3
from typing import TypeAlias

from perisphere.errors import UsageError, nearest
from perisphere.index.filters import COLUMNS
from perisphere.index.planner import Where
from perisphere.index.store import image_columns

Counts: TypeAlias = list[tuple[str, int]]
"""Values and how many images have each, the most frequent first, then by value."""
Paths: TypeAlias = list[tuple[tuple[str, ...], int]]
"""Whole lists of a column, and how many images have each."""

COUNTED = tuple(name for name, kind in COLUMNS.items() if kind in ("text", "list"))


def count_values(
    connection: sqlite3.Connection, column: str, where: Where | None = None, most: int | None = None
) -> Counts:
    """Return how many images that pass have each value of a column; of a list each element counts once.

    Raises:
        UsageError: a column of numbers, or an unknown one.
    """
    check_counted(column)
    if column not in image_columns(connection):
        return []
    text, values = where or ("1", ())
    if COLUMNS[column] == "list":
        passing = f"(SELECT id AS image, {column} AS list FROM images WHERE {text})"
        source = f"(SELECT DISTINCT image, value FROM {passing}, json_each(list))"
    else:
        source = f"(SELECT {column} AS value FROM images WHERE {column} IS NOT NULL AND ({text}))"
    query = f"SELECT value, count(*) FROM {source} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
    return connection.execute(query, (*values, -1 if most is None else most)).fetchall()


def check_counted(column: str) -> None:
    """Refuse a column whose values are not counted: of numbers, or an unknown one."""
    if column not in COUNTED:
        known = ", ".join(COUNTED)
        raise UsageError(
            f"no values of {column!r} are counted: ask for {known}.{nearest(column, list(COUNTED))}"
        )


def count_paths(connection: sqlite3.Connection) -> Paths:
    """Return how many images have each whole list of categories."""
    query = "SELECT categories, count(*) FROM images WHERE categories IS NOT NULL GROUP BY 1"
    found = [(tuple(json.loads(path)), count) for path, count in connection.execute(query)]
    return sorted((path, count) for path, count in found if path)

"""Catalog rows between polars and SQLite: what an index knows of each image beside its vector."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from perisphere.errors import PerisphereError

SCHEMA: dict[str, pl.DataType] = {
    "path": pl.String(),
    "split": pl.String(),
    "label": pl.String(),
    "camera": pl.String(),
    "domain": pl.String(),
    "tags": pl.List(pl.String),
    "caption": pl.String(),
    "categories": pl.List(pl.String),
    "concepts": pl.List(pl.String),
    "box": pl.List(pl.Int64),
    "url": pl.String(),
    "width": pl.Int64(),
    "height": pl.Int64(),
}
LISTS = tuple(name for name, kind in SCHEMA.items() if isinstance(kind, pl.List))


def checked(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return ``rows`` with exactly the columns of :data:`SCHEMA`; missing ones are null.

    The catalog's own ``id`` is left out: an index gives its own ids, which are never used twice.

    Raises:
        PerisphereError: another number of rows than vectors, an unknown column, or a column of another type.
    """
    if rows.height != count:
        raise PerisphereError(f"{rows.height} rows came with {count} vectors: give one row for each vector.")
    unknown = set(rows.columns) - set(SCHEMA) - {"id", "root"}
    if unknown:
        raise PerisphereError(
            f"The rows have a column {min(unknown)!r} that an index does not keep: drop it. "
            f"Known columns: {', '.join(SCHEMA)}."
        )
    columns = []
    for name, kind in SCHEMA.items():
        column = rows[name] if name in rows.columns else pl.Series(name, [None] * count, dtype=kind)
        try:
            columns.append(column.cast(kind))
        except pl.exceptions.PolarsError as error:
            raise PerisphereError(f"The column {name!r} is {column.dtype}, and must be {kind}.") from error
    return pl.DataFrame(columns)


def to_records(rows: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield each row as SQLite values; lists become JSON text."""
    columns = [_texts(rows[name]) if name in LISTS else rows[name].to_list() for name in SCHEMA]
    return zip(*columns, strict=True)


def from_records(records: Sequence[tuple[Any, ...]], names: Sequence[str]) -> pl.DataFrame:
    """Build the table of SQLite rows whose columns are ``names`` (the reverse of :func:`to_records`)."""
    schema = {name: pl.String() if name in LISTS else _kind(name) for name in names}
    frame = pl.DataFrame(records, schema=schema, orient="row")
    present = [name for name in names if name in LISTS]
    return frame.with_columns(pl.col(name).str.json_decode(SCHEMA[name]) for name in present)


def as_text(values: Sequence[str] | None) -> str | None:
    """Return the text that a list is stored as."""
    return None if values is None else "[]" if not values else json.dumps(values, ensure_ascii=False)


def as_list(text: str | None) -> list[str] | None:
    """Return the list of a stored text (the reverse of :func:`as_text`)."""
    return None if text is None else list(json.loads(text))


def _kind(name: str) -> pl.DataType:
    return pl.Int64() if name == "id" else SCHEMA.get(name, pl.String())


def _texts(column: pl.Series) -> list[str | None]:
    return [as_text(values) for values in column.to_list()]

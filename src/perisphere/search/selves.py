"""What the index knows of the very photos that are searched with: their ids, their rows and their label."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perisphere.index import Index
from perisphere.index.filters import In
from perisphere.search.ingredients import Centroid, Ingredient, Row, Source, photos_of
from perisphere.search.part import Part
from perisphere.search.query import Example, Query
from perisphere.search.rerank.galleries import file_of

Rows = Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True)
class Selves:
    """The photos of one query in the index.

    Attributes:
        query: the query, whose rows know their path and file.
        own: ids of the files that are searched with.
        rows: ids of the rows that are searched with, or with a part of which.
        label: the label given, or the one that all that is liked shares, where no words are sought.
    """

    query: Query
    own: frozenset[int]
    rows: frozenset[int]
    label: str | None


def selves_of(index: Index, queries: Sequence[Query]) -> list[Selves]:
    """Look up the photos of queries.

    Raises:
        PerisphereError: a row that is not in the index.
    """
    things = [one.what for query in queries for one in (*query.like, *query.unlike)]
    ids = sorted({row.id for thing in things if (row := _row(thing))})
    rows = {row["id"]: row for row in index.rows(ids).iter_rows(named=True)} if ids else {}
    return [_selves(index, query, rows) for query in queries]


def _selves(index: Index, query: Query, rows: Rows) -> Selves:
    liked = [own_rows(index, one.what, rows) for one in query.like]
    disliked = [own_rows(index, one.what, rows) for one in query.unlike]
    examples = (*query.like, *query.unlike)
    chosen = frozenset(row.id for one in examples if (row := _row(one.what)))
    labels = {label for _, label in liked}
    # Words ask for something else than the photo's own label.
    known = labels.pop() if len(labels) == 1 and query.words is None else None
    return Selves(
        replace(query, like=_located(query.like, rows), unlike=_located(query.unlike, rows))
        if rows
        else query,
        frozenset().union(*(own for own, _ in (*liked, *disliked))),
        chosen,
        known if query.label is None else query.label,
    )


def own_rows(index: Index, what: Ingredient, rows: Rows) -> tuple[frozenset[int], str | None]:
    """Return the ids of the index's rows of these very files, and the label that all of them share."""
    row = _row(what)
    if row is not None:
        return frozenset([row.id]), rows[row.id]["label"]
    if isinstance(what, Centroid):
        return frozenset(), what.label
    ids: set[int] = set()
    labels = set()
    for photo in photos_of(what):
        found = _rows_of(index, photo)
        ids |= {row["id"] for row in found}
        labels.add(next((row["label"] for row in found if row["label"] is not None), None))
    return frozenset(ids), labels.pop() if len(labels) == 1 else None


def _row(what: Ingredient) -> Row | None:
    """Return the photo of the index that something is, or is a part of."""
    photo = what.photo if isinstance(what, Part) else what
    return photo if isinstance(photo, Row) else None


def _located(examples: Iterable[Example], rows: Rows) -> tuple[Example, ...]:
    """Tell rows where they lie."""
    return tuple(replace(one, what=_with_file(one.what, rows)) for one in examples)


def _with_file(what: Ingredient, rows: Rows) -> Ingredient:
    row = _row(what)
    if row is None:
        return what
    found = dict(rows[row.id])
    here = replace(row, path=found["path"], file=file_of(found))
    return replace(what, photo=here) if isinstance(what, Part) else here


def _rows_of(index: Index, photo: Source) -> list[dict[str, Any]]:
    if not isinstance(photo, Path | str):
        return []
    file = Path(photo).resolve()
    parts = file.parts
    tails = ["/".join(parts[start:]) for start in range(1, len(parts))]
    tails = [tail for tail in [*tails, file.as_posix()] if _is_text(tail)]
    if not tails:
        return []
    rows = index.rows(index.ids(In("path", tuple(tails))), missing_ok=True)
    return [row for row in rows.iter_rows(named=True) if _lies_at(row, file)]


def _lies_at(row: dict[str, Any], file: Path) -> bool:
    kept = file_of(row)
    return kept is not None and kept.resolve() == file


def _is_text(path: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in path)

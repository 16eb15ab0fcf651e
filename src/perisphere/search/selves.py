"""What the index knows of the very files that are searched with: their ids and their label."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perisphere.index import Index
from perisphere.index.filters import In
from perisphere.search.ingredients import Source
from perisphere.search.rerank.galleries import file_of


def own_rows(index: Index, photos: Iterable[Source]) -> tuple[frozenset[int], str | None]:
    """Return the ids of the index's rows of these very files, and the label that all of them share."""
    ids: set[int] = set()
    labels = set()
    for photo in photos:
        rows = _rows_of(index, photo)
        ids |= {row["id"] for row in rows}
        labels.add(next((row["label"] for row in rows if row["label"] is not None), None))
    return frozenset(ids), labels.pop() if len(labels) == 1 else None


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

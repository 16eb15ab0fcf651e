"""The most similar photos as a picture: a query and its top ten, framed green where the identity is right."""

from pathlib import Path
from typing import Any

import polars as pl

from perisphere.encoder.features import By, Features, identity_of
from perisphere.search.results import Answer, Result

COLUMNS = 10
EXAMPLES = 4


def similar_answers(
    results: pl.DataFrame,
    gallery: Features,
    *,
    distance: str = "cosine",
    by: By | None = None,
    shown: int = COLUMNS,
) -> list[Answer]:
    """Return results as answers, whose sheet :func:`~perisphere.search.write_sheet` draws.

    Args:
        results: ``query``, ``paths``, ``indices`` and ``distances``, a row a query.
        gallery: what was searched.
        distance: of ``distances``; scores are the cosine, or the negated Euclidean distance.
        by: where the identity of a photo stands; ``None``: as in a gallery of centroids, while in one of
            photos nothing is right or wrong.
        shown: results of a query.
    """
    by = by or gallery.by
    return [
        Answer(
            row["query"],
            identity_of(row["query"], by) if by else None,
            tuple(
                _result(rank, index, path, _score(far, distance), gallery, by)
                for rank, (index, path, far) in enumerate(_first(row, shown), start=1)
            ),
        )
        for row in results.iter_rows(named=True)
    ]


def _first(row: dict[str, Any], shown: int) -> list[tuple[int, str, float]]:
    return list(zip(row["indices"][:shown], row["paths"][:shown], row["distances"][:shown], strict=True))


def _score(far: float, distance: str) -> float:
    return 1 - far if distance == "cosine" else -(far**0.5)


def _result(rank: int, index: int, path: str, score: float, gallery: Features, by: By | None) -> Result:
    if gallery.by is None:
        label = identity_of(path, by) if by else None
        return Result(rank, index, score, None, label, path, Path(path))
    members = [] if gallery.members is None else _members(gallery.members, path)
    examples = tuple(map(Path, members[:EXAMPLES]))
    first = examples[0] if examples else None
    return Result(rank, index, score, None, path, path, first, count=len(members), examples=examples)


def _members(members: pl.DataFrame, identity: str) -> list[str]:
    found: list[str] = members.filter(pl.col("identity") == identity)["path"].to_list()
    return found

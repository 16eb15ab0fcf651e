"""What was found for queries, and its description by the rows of the index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perisphere.index import Index
from perisphere.index.calibration import Calibration
from perisphere.index.regions import Region
from perisphere.search.rerank.galleries import file_of
from perisphere.search.results import Result

Hit = tuple[int, float, float | None]
"""The id of a photo, its score, and its score in the re-ranking where there is one."""


@dataclass(frozen=True)
class Found:
    """What was found for one query.

    Attributes:
        hits: photos, best first.
        road: how they were found.
        metric: of the scores.
        min_score: the cut-off, where there was one.
        among: what was searched.
        calibration: what tells the precision of the scores, where it can be told.
        regions: those that are shown with a photo, by its id.
        centroids: centroids, where these were found in place of photos.
    """

    hits: Sequence[Hit] = ()
    road: str = "exact"
    metric: str = "cosine"
    min_score: float | None = None
    among: str = "photos"
    calibration: Calibration | None = None
    regions: Mapping[int, tuple[Region, ...]] = field(default_factory=dict)
    centroids: tuple[Result, ...] = ()


def described(index: Index, found: Sequence[Found]) -> list[tuple[Result, ...]]:
    """Describe what queries found, without photos removed meanwhile; all rows are read at once."""
    ids = list(dict.fromkeys(id_ for one in found for id_, _, _ in one.hits))
    table = index.rows(ids, missing_ok=True) if ids else None
    rows = {} if table is None else {row["id"]: row for row in table.iter_rows(named=True)}
    return [one.centroids or _results(one, rows) for one in found]


def _results(found: Found, rows: Mapping[int, dict[str, Any]]) -> tuple[Result, ...]:
    hits = [hit for hit in found.hits if hit[0] in rows]
    scores = [score for _, score, _ in hits]
    precisions: Sequence[float | None] = [None] * len(hits)
    if found.calibration is not None:
        precisions = found.calibration.precision(scores).tolist()
    return tuple(
        Result(
            rank,
            id_,
            score,
            precision,
            rows[id_]["label"],
            rows[id_]["path"],
            file_of(rows[id_]),
            rerank=reranked,
            regions=found.regions.get(id_, ()),
            row=rows[id_],
        )
        for rank, ((id_, score, reranked), precision) in enumerate(
            zip(hits, precisions, strict=True), start=1
        )
    )

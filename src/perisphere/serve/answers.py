"""The answers to queries as plain values, with what the index knows of each result."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.search import Answer, Query, Result, search

if TYPE_CHECKING:
    from perisphere.encoder import Encoder

Reply = dict[str, Any]

ENOUGH = 0.5
"""Relevance ends where the calibration promises that fewer of the results are right."""
SHOWN = ("caption", "width", "height", "tags", "categories")


def replies(
    index: Index, queries: Sequence[Query], encoder: "Encoder | None" = None, images: int | None = None
) -> list[Reply]:
    """Answer queries together.

    Args:
        index: where to search.
        queries: at least one.
        encoder: what embeds their photos; by default the index's own.
        images: how many the index holds, where that was counted a moment ago.
    """
    answers = search(index, queries, encoder=encoder).answers
    images = len(index) if images is None else images
    least = {metric: relevance_score(index, metric) for metric in _metrics(answers)}
    return [_reply(index, images, answer, least[answer.metric]) for answer in answers]


def listing(index: Index, where: str | None, k: int) -> Reply:
    """Return the first ``k`` images that pass a filter, as results without a score.

    Raises:
        UsageError: a filter that cannot be read.
    """
    ids = index.ids(where)
    rows = index.rows(ids[:k], missing_ok=True).iter_rows(named=True)
    nothing = dict.fromkeys(("score", "rerank", "precision", "count"))
    results = [
        {"rank": rank, "id": row["id"], **nothing, "label": row["label"], **_photo(row), "regions": []}
        for rank, row in enumerate(rows, start=1)
    ]
    return {"images": len(index), "total": len(ids), "relevance": None, "results": results}


def relevance_score(index: Index, metric: str) -> float | None:
    """Return the score from which half of the results are right; ``None`` where nobody knows."""
    calibration = index.calibration
    if calibration is None or calibration.metric != metric:
        return None
    try:
        return calibration.threshold(ENOUGH)
    except PerisphereError:  # no score is that sure
        return None


def row_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of an image's row: all but where its folder lies."""
    return {name: value for name, value in row.items() if name != "root"} | {"path": _relative(row["path"])}


def _metrics(answers: Sequence[Answer]) -> set[str]:
    return {answer.metric for answer in answers}


def _reply(index: Index, images: int, answer: Answer, least: float | None) -> Reply:
    told = least is not None and any(result.precision is not None for result in answer.results)
    rank = sum(least is not None and result.score >= least for result in answer.results)
    of_centroids = answer.among == "centroids"
    return {
        "images": images,
        "road": answer.road,
        "metric": answer.metric,
        "among": answer.among,
        "relevance": {"score": least, "precision": ENOUGH, "rank": rank} if told else None,
        "query": _query(answer),
        "results": [
            _result(result, _first(index, result) if of_centroids else result.row)
            for result in answer.results
        ],
    }


def _query(answer: Answer) -> dict[str, Any]:
    """Return what was understood of a query."""
    texts = answer.texts
    return {
        "name": answer.name,
        "label": answer.label,
        "notes": [answer.note] if answer.note else [],
        "tags": [tag for text in texts for tag in text.tags],
        "concepts": [concept for text in texts for concept in text.concepts],
        "unknown": {word: list(near) for text in texts for word, near in text.unknown.items()},
    }


def _first(index: Index, result: Result) -> Mapping[str, Any]:
    """Return the row of a centroid's first photo, which stands for it."""
    ids = index.some_of(result.label or "", 1)
    rows = index.rows(ids, missing_ok=True)
    return rows.row(0, named=True) if len(rows) else {}


def _result(result: Result, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rank": result.rank,
        "id": result.id,
        "score": result.score,
        "rerank": result.rerank,
        "precision": result.precision,
        "count": result.count,
        "label": result.label,
        **_photo(row),
        "regions": [
            {"concept": region.concept, "score": region.score, "box": list(region.box), "share": region.share}
            for region in result.regions
        ],
    }


def _photo(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of the photo of a row; of an empty one that there is none."""
    path, photo = row.get("path"), row.get("id")
    return {
        "path": _relative(path),
        **{name: row.get(name) for name in SHOWN},
        "photo": photo,
        "thumbnail": None if path is None else f"/images/{photo}/thumbnail",
    }


def _relative(path: str | None) -> str | None:
    """Return a path as the catalog has it; of an absolute one, which tells of the machine, the last part."""
    return path.rsplit("/", 1)[-1] if path is not None and path.startswith("/") else path

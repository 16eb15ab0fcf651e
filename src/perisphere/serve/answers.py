"""The answers to queries as plain values, with what the index knows of each result."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.search import Answer, Query, Result, Results, TextQuery, search
from perisphere.serve.batches import Settled, settled

Reply = dict[str, Any]

ENOUGH = 0.5
"""Relevance ends where the calibration promises that fewer of the results are right."""
OWN = ("like", "unlike", "words", "label")
"""What queries that are searched together may differ in."""
SHOWN = ("label", "caption", "path", "width", "height", "tags", "categories")


def replies(index: Index, queries: Sequence[Query], **options: Any) -> list[Settled[Reply]]:
    """Answer queries; those of equal options are searched together, and an error of one is no other's.

    Args:
        index: where to search.
        queries: any.
        options: of :func:`~perisphere.search.search`.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, query in enumerate(queries):
        groups.setdefault(_options(query), []).append(place)
    answered: list[Settled[Reply]] = [{} for _ in queries]
    for places in groups.values():
        found = settled(lambda some: _together(index, some, options), [queries[place] for place in places])
        for place, reply in zip(places, found, strict=True):
            answered[place] = reply
    return answered


def relevance_score(index: Index, metric: str) -> float | None:
    """Return the score from which half of the results are right; ``None`` where nobody knows."""
    calibration = index.calibration
    if calibration is None or calibration.metric != metric:
        return None
    try:
        return calibration.threshold(ENOUGH)
    except PerisphereError:  # no score is that sure
        return None


def row_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of an image's row: all but where its folder lies."""
    return {name: value for name, value in row.items() if name != "root"} | {"path": _relative(row["path"])}


def _options(query: Query) -> tuple[str, ...]:
    return tuple(str(getattr(query, field.name)) for field in fields(query) if field.name not in OWN)


def _together(index: Index, queries: Sequence[Query], options: dict[str, Any]) -> list[Reply]:
    results = search(index, queries, **options)
    least = relevance_score(index, results.metric)
    found = [_shown_ids(index, answer, results.among) for answer in results.answers]
    ids = sorted({id_ for each in found for id_ in each})
    rows = {row["id"]: row for row in index.rows(ids, missing_ok=True).iter_rows(named=True)}
    return [
        _reply(len(index), results, answer, shown, rows, least)
        for answer, shown in zip(results.answers, found, strict=True)
    ]


def _shown_ids(index: Index, answer: Answer, among: str) -> list[int]:
    """Return for each result the id of the photo that stands for it: its own, or a centroid's first."""
    if among != "centroids":
        return [result.id for result in answer.results]
    first = [index.some_of(result.label or "", 1) for result in answer.results]
    return [int(ids[0]) if len(ids) else 0 for ids in first]


def _reply(
    images: int,
    results: Results,
    answer: Answer,
    shown: Sequence[int],
    rows: dict[int, dict[str, Any]],
    least: float | None,
) -> Reply:
    calibrated = least is not None and any(result.precision is not None for result in answer.results)
    rank = sum(result.score >= least for result in answer.results) if calibrated and least is not None else 0
    return {
        "images": images,
        "road": results.road,
        "metric": results.metric,
        "among": results.among,
        "relevance": {"score": least, "precision": ENOUGH, "rank": rank} if calibrated else None,
        "query": _query(answer),
        "results": [
            _result(result, rows.get(id_, {}), id_) for result, id_ in zip(answer.results, shown, strict=True)
        ],
    }


def _query(answer: Answer) -> dict[str, Any]:
    text = answer.image if isinstance(answer.image, TextQuery) else None
    return {
        "name": answer.name,
        "label": answer.label,
        "notes": [answer.note] if answer.note else [],
        "tags": [] if text is None else list(text.tags),
        "concepts": [] if text is None else list(text.concepts),
        "unknown": {} if text is None else {word: list(near) for word, near in text.unknown.items()},
    }


def _result(result: Result, row: dict[str, Any], id_: int) -> dict[str, Any]:
    known = {name: row.get(name) for name in SHOWN}
    return {
        "rank": result.rank,
        "id": result.id,
        "score": result.score,
        "rerank": result.rerank,
        "precision": result.precision,
        "count": result.count,
        **known,
        "label": result.label,
        "path": _relative(known["path"]),
        "regions": [
            {"concept": region.concept, "score": region.score, "box": list(region.box), "share": region.share}
            for region in result.regions
        ],
        "photo": id_ or None,
        "thumbnail": f"/images/{id_}/thumbnail" if id_ and known["path"] is not None else None,
    }


def _relative(path: str | None) -> str | None:
    """Return a path as the catalog has it; of an absolute one, which tells of the machine, the last part."""
    return path.rsplit("/", 1)[-1] if path is not None and path.startswith("/") else path

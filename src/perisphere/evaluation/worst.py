"""The queries with the lowest average precision, as a picture of what they found."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from perisphere.catalog.ground_truth import stem
from perisphere.catalog.images import ImageError
from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation.judged import Judged
from perisphere.evaluation.points import file_of
from perisphere.evaluation.reranking import context_of, photo_of
from perisphere.search.ingredients import Source
from perisphere.search.results import Answer, Mark, Result
from perisphere.search.sheet import sheet_format, write_sheet

QUERIES = 20
RESULTS = 10


def draw_worst(judged: Judged, path: Path, *, queries: int = QUERIES, results: int = RESULTS) -> Path:
    """Draw the queries with the lowest average precision and their first results, the worst on top.

    Right results are framed in green, wrong ones in red, and those that the ground truth ignores in amber.

    Args:
        judged: an evaluation.
        path: of the picture, ``.jpg`` or ``.png``.
        queries: rows of the sheet; fewer where fewer have anything right, or are less than perfect.
        results: shown of each.

    Raises:
        UsageError: not a name of a picture, or no row or column.
        PerisphereError: no query has anything right, or the file cannot be written.
    """
    sheet_format(path)
    if queries < 1 or results < 1:
        raise UsageError(f"{queries} queries with {results} results make no sheet; give 1 or more of each.")
    order = np.argsort(judged.average_precision, kind="stable")
    order = order[~np.isnan(judged.average_precision[order])]
    if not len(order):
        raise PerisphereError(f"{path}: no query has a right image, so none is the worst.")
    imperfect = int(np.sum(judged.average_precision[order] < 1))
    worst = order[: min(queries, max(imperfect, 1))]
    ids, scores = _lists(judged, worst, results)
    answers = [
        _answer(judged, int(query), found, row) for query, found, row in zip(worst, ids, scores, strict=True)
    ]
    return write_sheet(path, answers, title="worst queries", columns=results)


def _lists(judged: Judged, worst: NDArray[np.int64], results: int) -> tuple[NDArray[np.int64], NDArray]:
    """Return the first results of some queries, ids and scores ``[q, results]``; re-ranked, if they were."""
    hidden = None if judged.shows_ignored else lambda row: judged.ignored(int(worst[row]))
    metric = judged.report.options["metric"]
    context = context_of(judged.asked.take(worst), judged.parts, metric, hidden)
    if judged.ranking is None:
        found = context.search(context.queries, results)
        return found.ids, found.scores
    return judged.ranking.ids[worst, :results], judged.ranking.scores[worst, :results]


def _answer(judged: Judged, query: int, ids: NDArray[np.int64], scores: NDArray) -> Answer:
    right, ignored = judged.relevant(query), judged.ignored(query)
    row = judged.asked.rows.row(query, named=True)
    results = []
    for rank, (position, score) in enumerate(zip(ids.tolist(), scores.tolist(), strict=True), start=1):
        if position < 0:
            continue
        mark: Mark = "ignored" if position in ignored else "right" if position in right else "wrong"
        found = judged.row(position)
        name = found["label"] or stem(found.get("path") or f"image {found['id']}")
        results.append(Result(rank, found["id"], score, None, name, found.get("path"), file_of(found), mark))
    note = f"AP {judged.average_precision[query]:.3f}, {len(np.setdiff1d(right, ignored))} right"
    return Answer(
        _shown(row), row["label"] or stem(row.get("path") or f"image {row['id']}"), tuple(results), note
    )


def _shown(row: dict[str, object]) -> Source:
    """Return what stands for the query: its photo, cut to its box; a name where the file is gone."""
    try:
        photo = photo_of(row)
    except ImageError:
        photo = file_of(row)
    return photo if photo is not None else str(row.get("path") or row["id"])

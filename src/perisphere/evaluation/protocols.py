"""Which rows count against which, and the Report that comes of it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation.judged import Judged
from perisphere.evaluation.points import Points
from perisphere.evaluation.report import Report
from perisphere.evaluation.reranking import Reranking
from perisphere.evaluation.voting import TEMPERATURE, Vote, accuracy, balanced_accuracy, codes, ranked_classes
from perisphere.metrics import retrieval as metrics
from perisphere.metrics.matching import matching
from perisphere.metrics.places import places_in, ranks_of
from perisphere.metrics.ranks import Ranks, Ties, rank_blocks
from perisphere.progress import bar
from perisphere.sphere.geometry import Metric
from perisphere.sphere.neighbours import top_k

LEVELS = np.linspace(0, 1, 101)
"""Recall levels of the precision-recall curve."""

DEPTH = 50
"""Length of the curves over k."""

QUERIES = 4096
"""That are searched for their neighbours at a time."""
CURVES = ("precision", "cmc", "found")
KEPT = ("relevant", *CURVES)
"""What is collected of each query and is no figure."""

Splits = Sequence[str] | None


def retrieval(points: Points, **options: Any) -> Report:
    """Judge the whole ranking of the gallery for each query; options as for :func:`judge_retrieval`."""
    return judge_retrieval(points, **options).report


def judge_retrieval(
    points: Points,
    *,
    query: Splits = None,
    gallery: Splits = None,
    metric: Metric = "cosine",
    ks: Sequence[int] = (1, 5, 10),
    ties: Ties = "pessimistic",
    without: metrics.Without = "skip",
    block: int | None = None,
    reranking: Reranking | None = None,
) -> Judged:
    """Judge the whole ranking of the gallery for each query; an image of the same label is relevant.

    Args:
        points: vectors with labels.
        query: splits whose labelled rows are the queries; ``None`` takes all.
        gallery: splits whose rows are ranked; ``None`` takes all. A query is never ranked for itself, so
            that with both ``None`` this is leave-one-out. Rows without a label are wrong for every query.
        metric: what orders the gallery.
        ks: depths of the metrics at k.
        ties: as in :func:`~perisphere.metrics.ranks.rank_blocks`.
        without: what a query with nothing relevant in the gallery does, as in :func:`metrics.mean`.
        block: queries at a time.
        reranking: judge re-ranked lists instead, of its depth; a right image that they lack counts as
            existing, and ``ties`` and ``block`` mean nothing.

    Raises:
        PerisphereError: no labels, a single class, an empty or unknown split, or nothing relevant for any
            query.
    """
    depths = _depths(ks)
    asked, ranked = sides(points, query, gallery)
    relevant, itself = matching(asked.labels, ranked.labels), matching(asked.ids, ranked.ids)
    parts = [(ranked, np.arange(len(ranked)))]
    if reranking is None:
        ranking = None
        blocks: Iterable[Ranks] = rank_blocks(
            asked.vectors, ranked.vectors, relevant, ignored=itself, metric=metric, ties=ties, block=block
        )
    else:
        ranking = reranking(asked, parts, metric, itself)
        blocks = [ranks_of(places_in(ranking.ids, len(ranked)), relevant, itself)]
    table = _collect(blocks, depths, len(asked))
    if not table["relevant"].any():
        raise PerisphereError(
            f"{points.source}: no query has an image of its label in the gallery; "
            "name splits that share labels (--query, --gallery), or evaluate all rows."
        )
    options: dict[str, Any] = {"metric": metric, "k": list(depths), "without_relevant": without}
    options |= {"ties": ties} if reranking is None else reranking.options
    report = Report(
        protocol="retrieval",
        values={name: metrics.mean(values, without) for name, values in table.items() if name not in KEPT},
        counts=_counts(asked, ranked, table["relevant"]),
        conventions=_conventions(None if reranking else ties, without),
        options=options,
        data=described(points, query, gallery),
        encoder=points.encoder,
        seeds=points.seeds,
        curves={
            "recall": LEVELS.tolist(),
            "k": list(range(1, DEPTH + 1)),
            **{name: np.nanmean(table[name], axis=0).tolist() for name in CURVES},
        },
    )
    return Judged(report, table["mAP"], asked, parts, relevant, itself, ranking, shows_ignored=False)


def _counts(asked: Points, ranked: Points, relevant: NDArray) -> dict[str, int]:
    return {
        "queries": len(asked),
        "queries_without_relevant": int(np.sum(relevant == 0)),
        "gallery": len(ranked),
        "gallery_without_label": int(ranked.rows["label"].null_count()),
        "relevant_pairs": int(relevant.sum()),
        "classes": ranked.rows["label"].n_unique() - int(ranked.rows["label"].null_count() > 0),
        "dimensions": asked.vectors.shape[1],
    }


def classification(
    points: Points,
    *,
    query: Splits = None,
    gallery: Splits = None,
    metric: Metric = "cosine",
    neighbours: int = 10,
    vote: Vote = "weighted",
) -> Report:
    """Judge the class that a query's nearest labelled gallery rows vote for.

    Args:
        points: vectors with labels.
        query: splits whose labelled rows are the queries; ``None`` takes all.
        gallery: splits whose labelled rows vote; ``None`` takes all. A query never votes for itself.
        metric: what makes a neighbour near.
        neighbours: that vote.
        vote: as in :func:`~perisphere.evaluation.voting.ranked_classes`.

    Raises:
        PerisphereError: no labels, a single class, or an empty or unknown split.
    """
    if neighbours < 1:
        raise UsageError(f"neighbours is {neighbours}; at least 1 must vote.")
    asked, voting = sides(points, query, gallery)
    voting = voting.where(voting.rows["label"].is_not_null())
    # Numbered by name, as the vote "legacy" needs.
    known: dict[Any, int] = {
        label: number for number, label in enumerate(voting.rows["label"].unique().sort())
    }
    classes = codes(voting.labels, known)
    in_gallery = len(known)
    truth = codes(asked.labels, known)
    positions, scores = _neighbours(asked, voting, neighbours, metric)
    voters = np.append(classes, -1)[positions]
    ranked = ranked_classes(voters, scores, top=5, vote=vote)
    return Report(
        protocol="classification",
        values={
            "top-1": accuracy(truth, ranked, 1),
            "top-5": accuracy(truth, ranked, 5),
            "balanced": balanced_accuracy(truth, ranked),
        },
        counts={
            "queries": len(asked),
            "queries_of_other_classes": int(np.sum(truth >= in_gallery)),
            "gallery": len(voting),
            "classes": in_gallery,
            "dimensions": asked.vectors.shape[1],
        },
        conventions={
            "top-k": "share of queries whose class is among the k classes with most votes",
            "balanced": "mean over the queries' classes of top-1",
            "vote": VOTES[vote],
            "queries_of_other_classes": "count as wrong: the gallery lacks their class",
        },
        options={"metric": metric, "neighbours": neighbours, "vote": vote},
        data=described(points, query, gallery),
        encoder=points.encoder,
        seeds=points.seeds,
    )


VOTES: dict[Vote, str] = {
    "weighted": f"weight exp(score / {TEMPERATURE})",
    "majority": "one neighbour, one vote; a tie to the class of the nearer neighbour",
    "legacy": "one neighbour, one vote; a tie to the class whose name sorts first",
}


def _collect(blocks: Iterable[Ranks], depths: Sequence[int], total: int) -> dict[str, NDArray]:
    """Keep what the report needs of each block, so that the ranks themselves need not be held."""
    collected: dict[str, list[NDArray]] = defaultdict(list)
    with bar("ranking", total, "queries") as advance:
        for found in blocks:
            for name, values in _per_query(found, depths).items():
                collected[name].append(values)
            advance(len(found))
    return {name: np.concatenate(parts) for name, parts in collected.items()}


def _per_query(found: Ranks, depths: Sequence[int]) -> dict[str, NDArray]:
    """Return what the report needs of a block: metrics ``[q]`` and curves ``[q, points]``."""
    values: dict[str, NDArray] = {"mAP": metrics.average_precision(found)}
    for prefix, function in (
        ("mAP", metrics.average_precision),
        ("recall", metrics.recall_at),
        ("precision", metrics.precision_at),
        ("found", metrics.found_at),
    ):
        values |= {f"{prefix}@{k}": function(found, k) for k in depths}
    return values | {
        "R-precision": metrics.r_precision(found),
        "MRR": metrics.reciprocal_rank(found),
        "relevant": found.counts,
        "precision": metrics.interpolated_precision(found, LEVELS),
        "cmc": metrics.cmc(found, DEPTH),
        "found": metrics.found_curve(found, DEPTH),
    }


def _neighbours(
    asked: Points, voting: Points, count: int, metric: Metric
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return positions in ``voting`` (-1: none) and scores of each query's neighbours but itself."""
    parts = []
    with bar("searching", len(asked), "queries") as advance:
        for start in range(0, len(asked), QUERIES):
            some = asked.vectors[start : start + QUERIES]
            parts.append(top_k(some, voting.vectors, count + 1, metric=metric))
            advance(len(some))
    positions, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
    itself = np.append(voting.ids, -1)[positions] == np.array(asked.ids)[:, None]
    # Where the query is not among them, the last and farthest goes.
    itself[~itself.any(axis=1), -1] = True
    kept = ~itself
    return positions[kept].reshape(-1, count), scores[kept].reshape(-1, count)


def sides(points: Points, query: Splits, gallery: Splits) -> tuple[Points, Points]:
    """Return labelled queries and the gallery, checked for what makes every figure meaningless."""
    if not points.rows["label"].drop_nulls().len():
        raise PerisphereError(
            f"{points.source}: no image has a label, so nothing is right or wrong; "
            "read the photos with a format that gives labels, such as `perisphere read folders`."
        )
    asked, other = points.of_split(query), points.of_split(gallery)
    asked = asked.where(asked.rows["label"].is_not_null())
    if not len(asked):
        raise PerisphereError(f"{points.source}: no query has a label; name other splits with --query.")
    names = other.rows["label"].drop_nulls().unique().to_list()
    if not names:
        raise PerisphereError(
            f"{points.source}: the gallery has no labels; name other splits with --gallery."
        )
    if len(names) == 1 and len(other.rows["label"].unique()) == 1:
        raise PerisphereError(
            f"{points.source}: all images of the gallery are of one class, {names[0]!r}, "
            "so every answer would be right; add photos of at least one other class."
        )
    return asked, other


def _depths(ks: Sequence[int]) -> list[int]:
    wrong = [k for k in ks if k < 1]
    if wrong or not ks:
        raise UsageError(
            f"k is {wrong[0] if wrong else 'empty'}; give whole numbers from 1 on, such as 1,5,10."
        )
    return sorted(set(ks))


def described(points: Points, query: Splits, gallery: Splits) -> dict[str, Any]:
    """Return what a report says about where its rows are from."""
    return {
        "source": points.source,
        "query": list(query) if query is not None else "all rows",
        "gallery": list(gallery) if gallery is not None else "all rows",
        "itself": "a query is never compared with itself",
    }


def _conventions(ties: str | None, without: str) -> dict[str, str]:
    """Say what each figure means; ``ties`` is ``None`` for lists that a re-ranker has ordered."""
    wrong = "before" if ties == "pessimistic" else "after"
    return {
        "relevant": "an image with the query's label",
        "mAP": "mean over queries of the mean precision at each relevant image (sum, not trapezoid)",
        "mAP@k": "the same within the first k, divided by min(k, relevant images)",
        "precision@k": "share of relevant images among the first k",
        "recall@k": "share of queries with a relevant image among the first k (metric learning; CMC rank-k)",
        "found@k": "share of a query's relevant images among the first k (text retrieval's recall)",
        "ties": f"{ties}: a wrong image of equal score is ranked {wrong}" if ties else "as re-ranked",
        "queries_without_relevant": {"skip": "left out of the means", "zero": "count as 0"}.get(
            without, "none"
        ),
    }

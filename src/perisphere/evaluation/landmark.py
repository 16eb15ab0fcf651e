"""The protocol of the landmark retrieval system, beside the usual figures."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import UsageError
from perisphere.evaluation.judged import Judged
from perisphere.evaluation.points import Points
from perisphere.evaluation.protocols import judge_retrieval
from perisphere.evaluation.reranking import Reranking, context_of
from perisphere.evaluation.voting import Vote, codes, ranked_classes
from perisphere.index.ranking import Ranking
from perisphere.metrics import retrieval as metrics
from perisphere.metrics.places import places_in, ranks_of
from perisphere.search.rerank import Context

DEPTH = 5
"""Length of the list that the system shows and judges."""

NEIGHBOURS = 3
"""Neighbours that vote on a photo's class."""


def judge_landmark(points: Points, *, neighbours: int = NEIGHBOURS, **options: Any) -> Judged:
    """Judge retrieval and the class that neighbours vote for, as the landmark system does and correctly.

    The system's own figures are odd, so they bear its name: ``landmark_ap@5`` is 0 where the first image is
    wrong (see :func:`~perisphere.metrics.retrieval.landmark_average_precision`) and a mean over the classes'
    means; ``landmark_accuracy`` gives a tied vote to the class whose name sorts first. ``mAP (classes)`` and
    ``accuracy`` are the correct ones beside them: the mean over classes of the average precision of the whole
    ranking, and the vote weighted by similarity.

    Args:
        points: vectors with labels.
        neighbours: that vote; without a label they do not.
        **options: as for :func:`~perisphere.evaluation.protocols.judge_retrieval`.
    """
    if neighbours < 1:
        raise UsageError(f"neighbours is {neighbours}; at least 1 must vote.")
    reranking: Reranking | None = options.get("reranking")
    if reranking is not None and reranking.depth < DEPTH:
        raise UsageError(
            f"--depth {reranking.depth}: landmark_ap@{DEPTH} judges lists of {DEPTH}; give at least {DEPTH}."
        )
    judged = judge_retrieval(points, **options)
    metric = judged.report.options["metric"]
    context = context_of(judged.asked, judged.parts, metric, judged.ignored)
    first = context.search(context.queries, max(DEPTH, neighbours))
    shown = first.ids if judged.ranking is None else judged.ranking.ids
    ranks = ranks_of(places_in(shown, len(judged.gallery)), judged.relevant, judged.ignored)
    precision = metrics.landmark_average_precision(ranks, DEPTH)
    right = _votes(judged, context, first, neighbours)
    classes = _by_class(
        judged.asked.labels,
        {
            f"landmark_ap@{DEPTH}": precision,
            "mAP": judged.average_precision,
            **{name: values.astype(np.float64) for name, values in right.items()},
        },
    )
    return judged.with_report(
        protocol="landmark",
        values={
            f"landmark_ap@{DEPTH}": _mean_of_classes(classes, f"landmark_ap@{DEPTH}"),
            "mAP (classes)": _mean_of_classes(classes, "mAP"),
            **{name: float(values.mean()) for name, values in right.items()},
            **judged.report.values,
        },
        counts=judged.report.counts | _class_counts(judged, classes),
        conventions=_conventions(judged.report.conventions),
        options=judged.report.options | {"neighbours": neighbours},
        classes=classes,
    )


CONVENTIONS = {
    f"landmark_ap@{DEPTH}": "0 where the first image is wrong (always so where none is right), else the mean "
    "over the places i of the list of 5, relevant or not, of (right among the first i) / i; then the mean "
    "over classes of their means",
    "landmark_accuracy": "share of queries whose class wins the vote of the nearest images, one vote each, a "
    "tie to the class whose name sorts first",
    "mAP (classes)": "mean over classes of the mean average precision of their queries",
    "accuracy": "as landmark_accuracy, with votes weighted by exp(score / 0.07)",
    "votes": "of the neighbours before re-ranking",
    "classes_without_queries": "left out of the means over classes",
    "classes_without_images": f"0 in landmark_ap@{DEPTH}, left out of mAP (classes)",
}


def _conventions(of_retrieval: Mapping[str, str]) -> dict[str, str]:
    without = f"{of_retrieval['queries_without_relevant']}, but 0 in landmark_ap@{DEPTH}"
    return {**of_retrieval, "queries_without_relevant": without, **CONVENTIONS}


def _votes(judged: Judged, context: Context, first: Ranking, neighbours: int) -> dict[str, NDArray[np.bool_]]:
    """Return whether each query's class wins, by the system's vote and by the weighted one."""
    ids, scores = first.ids[:, :neighbours], first.scores[:, :neighbours]
    labels = context.labels(np.maximum(ids, 0).ravel())
    # Numbered by name, so that the system's tie goes to the name that sorts first.
    named = sorted({label for label in [*labels, *judged.asked.labels] if label is not None})
    known: dict[Any, int] = {label: number for number, label in enumerate(named)}
    voters = np.where(ids >= 0, codes(labels, known).reshape(ids.shape), -1)
    truth = codes(judged.asked.labels, known)
    rules: dict[str, Vote] = {"landmark_accuracy": "legacy", "accuracy": "weighted"}
    return {
        name: ranked_classes(voters, scores, top=1, vote=vote)[:, 0] == truth for name, vote in rules.items()
    }


def _by_class(
    labels: Sequence[str | None], figures: dict[str, NDArray[np.float64]]
) -> dict[str, dict[str, float]]:
    """Return each class's number of queries and means; figures without a value are left out of them."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        rows[str(label)].append(row)
    return {
        label: {"queries": float(len(rows[label]))}
        | {
            name: float(np.mean(values[rows[label]]))
            for name, values in figures.items()
            if not np.isnan(values[rows[label]]).any()
        }
        for label in sorted(rows)
    }


def _mean_of_classes(classes: dict[str, dict[str, float]], name: str) -> float:
    return float(np.mean([values[name] for values in classes.values() if name in values]))


def _class_counts(judged: Judged, classes: dict[str, dict[str, float]]) -> dict[str, int]:
    known = set(judged.parts[0][0].rows["label"].drop_nulls().unique())
    return {
        "classes_with_queries": len(classes),
        "classes_without_queries": len(known - set(classes)),
        "classes_without_images": len(set(classes) - known),
    }

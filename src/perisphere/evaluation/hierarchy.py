"""Retrieval judged by a taxonomy of the classes: a wrong image of a similar class is less wrong."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import UsageError
from perisphere.evaluation.class_prediction import Predictor, accuracies
from perisphere.evaluation.class_rankings import Classes, ClassRankings, judge_lists, rank_classes
from perisphere.evaluation.hierarchical import (
    average_hierarchical_precision,
    best_sums,
    hierarchical_precision,
)
from perisphere.evaluation.judged import Judged
from perisphere.evaluation.points import Points
from perisphere.evaluation.protocols import Splits, described, sides
from perisphere.evaluation.report import Report
from perisphere.evaluation.reranking import Reranking
from perisphere.evaluation.voting import codes
from perisphere.metrics import retrieval as metrics
from perisphere.metrics.matching import matching
from perisphere.progress import bar
from perisphere.sphere.geometry import Metric
from perisphere.taxonomy import Id, Kind, Taxonomy, similarities

KS = (1, 10, 50, 100)
"""Depths of hierarchical precision, where the caller names none."""

AREA = 250
"""Depth of AHP@k, as published."""

CURVE = 250
"""Length of the curve of HP@k."""

SIMILARITIES: dict[str, Kind] = {"LCS height": "lcs_height", "WUP": "wup"}
"""What tells how similar two classes are, as the figures name it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Depths:
    """How far into the rankings the figures look.

    Attributes:
        ks: of HP@k.
        area: of AHP@k.
        curve: of the HP@k that plots show.
        whole: whether AHP of the whole ranking is wanted too.
    """

    ks: Sequence[int]
    area: int
    curve: int
    whole: bool

    @property
    def kept(self) -> int:
        """Length of the curves that are averaged over the queries."""
        return max(*self.ks, self.area, self.curve)

    @classmethod
    def within(cls, places: int, ks: Sequence[int] | None, area: int, whole: bool) -> "Depths":
        """Fit the depths to rankings of ``places`` images."""
        wrong = [k for k in ks or () if not 1 <= k <= places]
        if wrong or (ks is not None and not len(ks)):
            raise UsageError(
                f"k is {wrong[0] if wrong else 'empty'}; a ranking here has {places} images, the query left "
                f"out, so give numbers from 1 to {places}."
            )
        if min(area, places) < 2:
            raise UsageError(
                f"AHP@{area} of rankings of {places} images: the area below a curve needs at least 2 places."
            )
        chosen = sorted(set(ks or [k for k in KS if k <= places]))
        return cls(chosen, min(area, places), min(CURVE, places), whole)


@dataclass(frozen=True)
class Figures:
    """What the rankings gave.

    Attributes:
        values: figure to its value for each query, float64 ``[q]``; NaN where it is not defined.
        curves: similarity to the mean of HP@1, HP@2 ... over the queries for which they are defined.
    """

    values: Mapping[str, Floats]
    curves: Mapping[str, Floats]

    def drawn(self, longest: int) -> dict[str, list[float]]:
        """Return the curves that are defined, cut for plots."""
        return {
            f"HP ({name})": curve[:longest].tolist()
            for name, curve in self.curves.items()
            if np.isfinite(curve[0])
        }


Part = tuple[NDArray[np.int64], dict[str, Floats], dict[str, Floats]]
"""Queries, their values, and the sums of their curves."""


def judge_hierarchy(
    points: Points,
    taxonomy: Taxonomy,
    *,
    query: Splits = None,
    gallery: Splits = None,
    metric: Metric = "cosine",
    ks: Sequence[int] | None = None,
    area: int = AREA,
    whole: bool = False,
    keep_query: bool = False,
    block: int | None = None,
    reranking: Reranking | None = None,
    predictors: Sequence[Predictor] = (),
) -> Judged:
    """Judge rankings by hierarchical precision, and predicted classes by hierarchical accuracy.

    Source: Barz & Denzler, "Hierarchy-based image embeddings for semantic image retrieval", WACV 2019.

    Args:
        points: vectors with labels, each the id or the name of a node of ``taxonomy``.
        taxonomy: of the classes.
        query: splits whose labelled rows are the queries; ``None`` takes all.
        gallery: splits whose labelled rows are ranked; ``None`` takes the queries themselves, as published:
            every test image asks for all others.
        metric: what orders the gallery. Of unit vectors, cosine and l2 give the same order.
        ks: depths of HP@k; ``None`` takes 1, 10, 50 and 100, as far as the gallery reaches.
        area: depth of AHP@k; in a smaller gallery that of its whole ranking, and the figure's name says so.
        whole: also give AHP of the whole ranking, for which every ranking is sorted to its end.
        keep_query: let the query's own image count as found.
        block: queries whose scores are held at a time.
        reranking: judge re-ranked lists instead, completed by the other images in the gallery's order.
        predictors: tell the class of each query; their accuracies are reported too.

    Raises:
        PerisphereError: a label that is no class of the taxonomy, no labels, a single class, or an empty or
            unknown split.
        UsageError: an option outside its values.
    """
    asked, ranked = sides(points, query, query if gallery is None else gallery)
    unlabelled = int(ranked.rows["label"].null_count())
    ranked = ranked.where(ranked.rows["label"].is_not_null())
    classes, nodes = _classes(asked, ranked, taxonomy, keep_query)
    depths = Depths.within(len(ranked) - int((classes.own >= 0).any()), ks, area, whole)
    itself = matching([], []) if keep_query else matching(asked.ids, ranked.ids)
    parts = [(ranked, np.arange(len(ranked)))]
    ranking = None if reranking is None else reranking(asked, parts, metric, itself)
    similar = {name: similarities(taxonomy, nodes, kind) for name, kind in SIMILARITIES.items()}
    judge = _Judge(classes, similar, depths)
    if ranking is None:
        judgements = rank_classes(
            asked.vectors, ranked.vectors, classes, judge.deepest, judge, metric=metric, block=block
        )
    else:
        # The lists were made without the queries' own images, whose place is the first.
        lists = np.hstack([classes.own[:, None], ranking.ids])
        judgements = judge_lists(lists, classes, judge.deepest, judge)
    figures = _gathered(judgements, len(asked))
    values = _means(figures, depths)
    truth = [nodes[code] for code in classes.asked]
    predictions = [predictor(asked) for predictor in predictors]
    for prediction in predictions:
        values |= accuracies(prediction, truth, taxonomy)
    report = Report(
        protocol="hierarchy",
        values=values,
        counts=_counts(asked, ranked, figures, len(nodes)) | {"gallery_without_label": unlabelled},
        conventions=_conventions(depths, keep_query),
        options={"metric": metric, "k": list(depths.ks), "ahp": depths.area, "keep_query": keep_query}
        | {prediction.by: dict(prediction.options) for prediction in predictions}
        | (reranking.options if reranking else {}),
        data=described(points, query, query if gallery is None else gallery),
        encoder=points.encoder,
        seeds=points.seeds,
        curves=figures.drawn(depths.curve),
    )
    relevant = matching(classes.asked.tolist(), classes.shown.tolist())
    return Judged(report, figures.values["mAP"], asked, parts, relevant, itself, ranking, shows_ignored=False)


def _classes(asked: Points, ranked: Points, taxonomy: Taxonomy, keep_query: bool) -> tuple[Classes, list[Id]]:
    """Number the classes of the labels, and return the node of each number too."""
    labels = list(dict.fromkeys([*asked.labels, *ranked.labels]))
    node_of = dict(zip(labels, taxonomy.classes_of([str(label) for label in labels]), strict=True))
    numbered: dict[Any, int] = {}
    shown = codes([node_of[label] for label in ranked.labels], numbered)
    asking = codes([node_of[label] for label in asked.labels], numbered)
    row_of = {} if keep_query else {number: row for row, number in enumerate(ranked.ids)}
    own = np.array([row_of.get(number, -1) for number in asked.ids], np.int64)
    return Classes(asking, shown, own, len(numbered)), list(numbered)


class _Judge:
    """From rankings of one class to the figures of its queries."""

    def __init__(self, classes: Classes, similar: Mapping[str, Floats], depths: Depths) -> None:
        self._classes, self._similar, self._depths = classes, similar, depths
        self.deepest = len(classes.shown) if depths.whole else depths.kept

    def __call__(self, rankings: ClassRankings) -> Part:
        """Return the values of each query, and the sums of its curves with how many were defined."""
        total, found = len(self._classes.shown), self._classes.shown[rankings.top]
        inside = bool(rankings.place[0] < total)
        depth = min(self.deepest, total - inside)
        values, sums = {"mAP": metrics.average_precision(rankings.ranks)}, {}
        for name, table in self._similar.items():
            row, own = table[rankings.of], float(table[rankings.of, rankings.of])
            best = best_sums(row, self._classes.counts)
            curves = hierarchical_precision(row[found], best, rankings.place, own, depth)
            near = curves[:, : self._depths.kept]
            values |= self._areas(name, curves)
            defined = ~np.isnan(near[:, 0])
            sums[name] = np.append(near[defined].sum(axis=0), defined.sum())
        return rankings.queries, values, sums

    def _areas(self, name: str, curves: Floats) -> dict[str, Floats]:
        parts = {f"mAHP@{self._depths.area}": curves[:, : self._depths.area]}
        if self._depths.whole:
            parts["mAHP"] = curves
        return {
            f"{figure}{word} ({name})": average_hierarchical_precision(part, normalised=bool(word))
            for figure, part in parts.items()
            for word in ("", " normalised")
        }


def _gathered(parts: Iterable[Part], total: int) -> Figures:
    """Put the values of all queries into the queries' order, and divide the sums of the curves."""
    values: dict[str, Floats] = defaultdict(lambda: np.full(total, np.nan))
    sums: dict[str, Floats] = {}
    with bar("ranking", total, "queries") as advance:
        for queries, some, added in parts:
            for name, found in some.items():
                values[name][queries] = found
            for name, curve in added.items():
                sums[name] = sums.get(name, 0) + curve
            advance(len(queries))
    curves = {
        name: curve[:-1] / curve[-1] if curve[-1] else curve[:-1] * np.nan for name, curve in sums.items()
    }
    return Figures(dict(values), curves)


def _means(figures: Figures, depths: Depths) -> dict[str, float]:
    """Return the mean of each figure over the queries for which it is defined; NaN where there is none."""
    order = sorted(figures.values, key=lambda name: (name == "mAP", " normalised" in name))
    means = {name: _mean(figures.values[name]) for name in order}
    return means | {
        f"HP@{k} ({name})": float(curve[k - 1]) for k in depths.ks for name, curve in figures.curves.items()
    }


def _mean(values: Floats) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _counts(asked: Points, ranked: Points, figures: Figures, classes: int) -> dict[str, int]:
    similar = next(values for name, values in figures.values.items() if name.startswith("mAHP"))
    return {
        "queries": len(asked),
        "queries_without_relevant": int(np.isnan(figures.values["mAP"]).sum()),
        "queries_without_similar": int(np.isnan(similar).sum()),
        "gallery": len(ranked),
        "classes": classes,
        "dimensions": asked.vectors.shape[1],
    }


def _conventions(depths: Depths, keep_query: bool) -> dict[str, str]:
    stays = "counts as found" if keep_query else "is removed, and its place from the best possible ranking"
    return {
        "HP@k": "similarity that the first k images' classes have to the query's, divided by the most that k "
        "images of the gallery can have; mean over queries",
        "LCS height": "1 - height of the lowest common subsumer / height of the taxonomy",
        "WUP": "Wu-Palmer: 2 d / (d1 + d2), by depths through the lowest common subsumer of depth d",
        f"mAHP@{depths.area}": f"mean area below HP@1..{depths.area} (trapezoids), divided by "
        f"{depths.area} as published: a perfect ranking has {depths.area - 1}/{depths.area}",
        "normalised": "the same divided by one less, so that a perfect ranking has 1",
        "mAP": "mean over queries of the mean precision at each image of the query's class (sum)",
        "the query itself": stays,
        "ties": "images of equal score stand in the order of the gallery",
        "queries_without_similar": "left out of HP and AHP: no image of the gallery is similar at all",
    }

"""Benchmarks with published ground truth: revisited and classic Oxford and Paris, Google Landmarks v2."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from perisphere.catalog.ground_truth import GroundTruth
from perisphere.errors import UsageError
from perisphere.evaluation.annotated import Annotated
from perisphere.evaluation.judged import Judged
from perisphere.evaluation.protocols import LEVELS
from perisphere.evaluation.report import Report
from perisphere.evaluation.reranking import Reranking
from perisphere.evaluation.streaming import stream_places
from perisphere.index.ranking import Ranking
from perisphere.metrics import retrieval as metrics
from perisphere.metrics.matching import Positions
from perisphere.metrics.places import Places, places_in, ranks_of
from perisphere.metrics.ranks import MISSING, Ranks
from perisphere.sphere.geometry import Metric

Benchmark = Literal["revisited", "oxford", "gldv2"]
Rankings: TypeAlias = dict[str, Ranking]
Value = TypeVar("Value", int, float, list[float])


@dataclass(frozen=True)
class Setting:
    """Which lists of the ground truth are right and which are ignored."""

    right: tuple[str, ...]
    ignored: tuple[str, ...] = ()


SETTINGS: Mapping[Benchmark, Mapping[str, Setting]] = {
    "revisited": {
        "easy": Setting(("easy",), ("junk", "hard")),
        "medium": Setting(("easy", "hard"), ("junk",)),
        "hard": Setting(("hard",), ("junk", "easy")),
    },
    "oxford": {"": Setting(("ok",), ("junk",))},
    "gldv2": {"": Setting(("ok",))},
}
"""Radenovic et al. 2018 ("Revisiting Oxford and Paris"), Philbin et al. 2007, Weyand et al. 2020."""

KINDS: Mapping[Benchmark, str] = {"revisited": "revisited", "oxford": "classic", "gldv2": "gldv2"}

LOOKED_AT: Mapping[Benchmark, str] = {"revisited": "medium", "oxford": "", "gldv2": ""}
"""The setting whose worst queries are shown."""

GLDV2_DEPTH = 100

_FIGURES = {"figures": "shares of 1; papers print them times 100"}

_TRAPEZOID = {
    "mAP": "mean over queries of the area below straight lines between the points of precision and recall "
    "(trapezoid), as in the benchmark's own program",
    "mP@k": "share of right images within the first k, or up to the last right image if that is earlier",
    "ignored": "taken out of the ranking before anything is counted",
    "ties": "images of equal score stand in the order of the gallery",
    "queries_without_relevant": "left out of the means",
    "images_without_vector": "right ones among them add nothing but count as existing",
}

CONVENTIONS: Mapping[Benchmark, dict[str, str]] = {
    "revisited": _FIGURES
    | _TRAPEZOID
    | {
        "easy": "right: easy; ignored: junk and hard",
        "medium": "right: easy and hard; ignored: junk",
        "hard": "right: hard; ignored: junk and easy",
    },
    "oxford": _FIGURES | _TRAPEZOID | {"relevant": "right: good and ok; ignored: junk"},
    "gldv2": _FIGURES
    | {
        "mAP@100": "mean over queries of the precision at each right image within the first 100, divided by "
        "min(100, right images) (sum, not trapezoid)",
        "queries": "those that the ground truth ignores are left out",
    }
    | {name: _TRAPEZOID[name] for name in ("ties", "images_without_vector")},
}


def check_kind(benchmark: Benchmark, truth: GroundTruth) -> None:
    """Refuse a ground truth that was made for another benchmark.

    Raises:
        UsageError: names the protocol that fits.
    """
    if truth.kind != KINDS[benchmark]:
        fitting = next(name for name, kind in KINDS.items() if kind == truth.kind)
        raise UsageError(
            f"--truth: this ground truth is of the kind {truth.kind!r}, which {benchmark!r} does not "
            f"judge; use `perisphere evaluate {fitting}`."
        )


def judge(
    benchmark: Benchmark,
    annotated: Annotated,
    *,
    metric: Metric = "cosine",
    ks: Sequence[int] = (1, 5, 10),
    reranking: Reranking | None = None,
    block: int | None = None,
) -> Judged:
    """Judge the ranking of the whole gallery, in one pass over its rows whatever the number of settings.

    Args:
        benchmark: ``revisited`` (easy, medium, hard; mAP and mP@k), ``oxford`` (classic Oxford 5k and Paris
            6k; the same figures) or ``gldv2`` (mAP@100).
        annotated: queries, gallery and ground truth.
        metric: what orders the gallery; images of equal score stand in the order of the gallery.
        ks: depths of mP@k.
        reranking: judge re-ranked lists instead, of its depth; a right image that they lack counts as
            existing.
        block: gallery rows at a time.
    """
    settings = SETTINGS[benchmark]
    if reranking is None:
        rankings: Rankings = {}
        places = dict.fromkeys(settings, _places(annotated, settings.values(), metric, block))
    else:
        rankings = _rankings(annotated, settings, reranking, metric)
        places = {name: places_in(each.ids, len(annotated.gallery)) for name, each in rankings.items()}
    ranks = {
        name: ranks_of(places[name], annotated.rows(setting.right), annotated.rows(setting.ignored))
        for name, setting in settings.items()
    }
    found = {name: _per_query(benchmark, each, ks) for name, each in ranks.items()}
    options = {"metric": metric} | ({} if benchmark == "gldv2" else {"k": list(ks)})
    report = Report(
        protocol=benchmark,
        values=_labelled({name: _means(each) for name, each in found.items()}),
        counts=_counts(annotated) | _labelled({name: _sizes(each) for name, each in ranks.items()}),
        conventions=CONVENTIONS[benchmark],
        options=options | (reranking.options if reranking else {}),
        data={"source": annotated.asked.source, "gallery": [part.source for part, _ in annotated.parts]},
        encoder=annotated.asked.encoder,
        curves=_curves(benchmark, ranks),
    )
    shown = LOOKED_AT[benchmark]
    return Judged(
        report=report,
        average_precision=next(iter(found[shown].values())),
        asked=annotated.asked,
        parts=annotated.parts,
        relevant=annotated.rows(settings[shown].right),
        ignored=annotated.rows(settings[shown].ignored),
        ranking=rankings.get(shown),
        shows_ignored=reranking is None or not reranking.looks,
    )


def _places(annotated: Annotated, settings: Iterable[Setting], metric: Metric, block: int | None) -> Places:
    """Return the places of all rows that any setting asks for, from one pass over the gallery."""
    gallery = annotated.gallery
    every = annotated.rows(sorted({name for each in settings for name in each.right + each.ignored}))

    def embedded(query: int) -> Positions:
        rows = every(query)
        return rows[rows < len(gallery)]

    return stream_places(annotated.asked.vectors, gallery, embedded, metric=metric, block=block)


def _rankings(
    annotated: Annotated, settings: Mapping[str, Setting], reranking: Reranking, metric: Metric
) -> Rankings:
    """Re-rank once, or for each setting without what it ignores where the re-ranker looks at the photos."""
    sides = (annotated.asked, annotated.parts, metric)
    if not reranking.looks:
        return dict.fromkeys(settings, reranking(*sides))
    return {name: reranking(*sides, annotated.rows(setting.ignored)) for name, setting in settings.items()}


def _per_query(benchmark: Benchmark, ranks: Ranks, ks: Sequence[int]) -> dict[str, metrics.PerQuery]:
    """Return the figures of each query, average precision first."""
    if benchmark == "gldv2":
        return {f"mAP@{GLDV2_DEPTH}": metrics.average_precision(ranks, GLDV2_DEPTH)}
    precision = {f"mP@{k}": metrics.precision_to_last(ranks, k) for k in ks}
    return {"mAP": metrics.average_precision(ranks, rule="trapezoid")} | precision


def _means(found: Mapping[str, metrics.PerQuery]) -> dict[str, float]:
    """Return means over the queries that have something right; not a number where none has."""
    return {
        name: float("nan") if np.isnan(values).all() else metrics.mean(values)
        for name, values in found.items()
    }


def _curves(benchmark: Benchmark, ranks: Mapping[str, Ranks]) -> dict[str, list[float]]:
    """Return precision over recall of each setting that a query counts for; Landmarks v2 has none."""
    if benchmark == "gldv2":
        return {}
    curves = {
        name: {"precision": np.nanmean(metrics.interpolated_precision(each, LEVELS), axis=0).tolist()}
        for name, each in ranks.items()
        if each.counts.any()
    }
    return {"recall": LEVELS.tolist()} | _labelled(curves) if curves else {}


def _sizes(ranks: Ranks) -> dict[str, int]:
    missing = int(np.sum(ranks.values == MISSING))
    return {
        "queries_without_relevant": int(np.sum(ranks.counts == 0)),
        "relevant_pairs": int(ranks.counts.sum()),
    } | ({"relevant_not_found": missing} if missing else {})


def _labelled(found: Mapping[str, Mapping[str, Value]]) -> dict[str, Value]:
    """Put the setting's name before each figure's, where there is more than one setting."""
    return {
        f"{setting} {name}".strip(): value
        for setting, values in found.items()
        for name, value in values.items()
    }


def _counts(annotated: Annotated) -> dict[str, int]:
    total = len(annotated.gallery)
    return {
        "queries": len(annotated.asked),
        "gallery": total,
        "distractors": total - annotated.named,
        "images_without_vector": annotated.absent,
        "dimensions": annotated.gallery.dim,
    }

"""Re-identification: does a query find its identity by other cameras, or a user's photo the shop's?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation.judged import Judged
from perisphere.evaluation.points import Points
from perisphere.evaluation.protocols import Splits, described, sides
from perisphere.evaluation.report import Report
from perisphere.evaluation.reranking import Reranking
from perisphere.metrics.matching import NONE, Rows, either, matching
from perisphere.metrics.places import places_in, ranks_of
from perisphere.metrics.ranks import Ranks, Ties, rank_blocks
from perisphere.metrics.reid import DEPTHS, ReidFigures, same_camera
from perisphere.metrics.retrieval import found_curve
from perisphere.progress import bar
from perisphere.sphere.geometry import Metric

SHOP_DEPTHS = (1, 10, 20, 50)
"""Where the field reads user-to-shop retrieval."""

CURVE = 50

QUERY, GALLERY = ("query",), ("gallery",)


@dataclass(frozen=True, kw_only=True)
class JudgedReid(Judged):
    """What re-identification found for each query.

    Attributes:
        figures: of each query, in the order of ``asked``.
    """

    figures: ReidFigures


@dataclass(frozen=True)
class Sides:
    """Queries and gallery of a protocol.

    Attributes:
        asked: the queries, all labelled.
        shown: the gallery.
        cameras: whether a camera's own photos are left out.
        user_to_shop: whether users' photos ask for the shop's.
        depths: where the curve is read.
    """

    asked: Points
    shown: Points
    cameras: bool
    user_to_shop: bool
    depths: Sequence[int]

    def cameras_of(self, points: Points) -> list[str | None] | None:
        """Return the camera of each row, ``None`` where cameras are ignored."""
        return points.rows["camera"].to_list() if self.cameras else None

    @property
    def overlap(self) -> bool:
        """Whether a query stands in the gallery too."""
        return not set(self.asked.ids).isdisjoint(self.shown.ids)

    def values(self, figures: ReidFigures) -> dict[str, float]:
        """Return the means as the field names them."""
        found = figures.means(self.depths)
        if not self.user_to_shop:
            return found
        return {name.replace("rank-", "top-"): value for name, value in found.items()}


def judge_reid(
    points: Points,
    *,
    query: Splits = QUERY,
    gallery: Splits = GALLERY,
    cameras: bool = True,
    user_to_shop: bool = False,
    metric: Metric = "cosine",
    ks: Sequence[int] | None = None,
    ties: Ties = "pessimistic",
    block: int | None = None,
    reranking: Reranking | None = None,
) -> JudgedReid:
    """Rank the gallery's photos for each query; those of its identity are right, but for its own camera's.

    Args:
        points: vectors with labels and, where they count, cameras or domains.
        query: splits whose labelled rows are the queries.
        gallery: splits whose rows are ranked. A query is never ranked for itself.
        cameras: leave out the photos of the query's identity by the query's camera.
        user_to_shop: queries are users' photos and the gallery the shop's; cameras are ignored.
        metric: what orders the gallery.
        ks: depths of rank-k; ``None`` takes those of the field: 1, 5, 10, 20, 50 (user-to-shop: without 5).
        ties: as in :func:`~perisphere.metrics.ranks.rank_blocks`.
        block: queries at a time.
        reranking: judge re-ranked lists instead, of its depth; a right photo that they lack counts as
            existing, and ``ties`` and ``block`` mean nothing.

    Raises:
        PerisphereError: no labels, cameras or domains, an unknown split, or no query has a right photo.
    """
    found = sides_of(points, query, gallery, cameras=cameras, user_to_shop=user_to_shop, ks=ks)
    asked, shown = found.asked, found.shown
    relevant, aside = matching(asked.labels, shown.labels), left_out(found)
    parts = [(shown, np.arange(len(shown)))]
    ranking = None
    hides = reranking is not None and (reranking.looks or reranking.votes)
    if reranking is None:
        rules = {"ignored": aside, "metric": metric, "ties": ties, "block": block}
        ranks = ranked(asked, shown.vectors, relevant, rules)
    else:
        hidden = aside if hides else matching(asked.ids, shown.ids) if found.overlap else None
        ranking = reranking(asked, parts, metric, hidden)
        ranks = ranks_of(places_in(ranking.ids, len(shown)), relevant, aside)
    figures = ReidFigures(ranks)
    check_any_right(points, figures)
    options = {"metric": metric, "cameras": found.cameras, "user_to_shop": user_to_shop}
    report = Report(
        protocol="reid",
        values=found.values(figures),
        counts=counts_of(found, figures) | {"gallery": len(shown)},
        conventions=conventions(found, None if reranking else ties),
        options=options | ({"ties": ties} if reranking is None else reranking.options),
        data=described(points, query, gallery),
        encoder=points.encoder,
        seeds=points.seeds,
        curves=curves_of(figures),
    )
    return JudgedReid(
        report,
        figures.average_precision,
        asked,
        parts,
        relevant,
        aside or nothing,
        ranking,
        shows_ignored=not hides,
        figures=figures,
    )


def sides_of(
    points: Points,
    query: Splits,
    gallery: Splits,
    *,
    cameras: bool,
    user_to_shop: bool,
    ks: Sequence[int] | None,
) -> Sides:
    """Return queries and gallery, with cameras and domains where they are asked for.

    Raises:
        PerisphereError: a side is empty, or no photo has a camera.
        UsageError: a depth below 1.
    """
    depths = (SHOP_DEPTHS if user_to_shop else DEPTHS) if ks is None else checked_depths(ks)
    asked, shown = sides(points, query, gallery)
    if user_to_shop:
        asked, shown = _of_domain(asked, "user"), _of_domain(shown, "shop")
        return Sides(asked, shown, cameras=False, user_to_shop=True, depths=depths)
    for side in (asked, shown) if cameras else ():
        if "camera" not in side.rows.columns or not side.rows["camera"].drop_nulls().len():
            raise PerisphereError(
                f"{points.source}: no photo has a camera; ignore cameras with --ignore-cameras, or read the "
                "photos with a format that gives them, such as `perisphere read market1501`."
            )
    return Sides(asked, shown, cameras=cameras, user_to_shop=False, depths=depths)


def _of_domain(points: Points, domain: str) -> Points:
    known = "domain" in points.rows.columns
    kept = points.where(points.rows["domain"] == domain) if known else points.take([])
    if not len(kept):
        raise PerisphereError(
            f"{points.source}: no photo is of the domain {domain!r}; read the photos with `perisphere read "
            "fashion`, or leave --user-to-shop out."
        )
    return kept


def left_out(found: Sides) -> Rows | None:
    """Return what counts neither as right nor as wrong: the query's own camera's photos, and itself."""
    asked, shown = found.asked, found.shown
    rules: list[Rows] = []
    own, others = found.cameras_of(asked), found.cameras_of(shown)
    if own is not None and others is not None:
        rules.append(same_camera(asked.labels, own, shown.labels, others))
    if found.overlap:
        rules.append(matching(asked.ids, shown.ids))
    return either(*rules) if len(rules) > 1 else rules[0] if rules else None


def nothing(query: int) -> Any:
    """Select no row for any query."""
    return NONE


def ranked(asked: Points, gallery: Any, relevant: Rows, rules: dict[str, Any]) -> Ranks:
    """Return the ranks of what is right for each query; ``rules`` as for ``rank_blocks``."""
    parts = []
    with bar("ranking", len(asked), "queries") as advance:
        for ranks in rank_blocks(asked.vectors, gallery, relevant, **rules):
            parts.append(ranks)
            advance(len(ranks))
    return Ranks.join(parts)


def check_any_right(points: Points, figures: ReidFigures) -> None:
    """Refuse an evaluation in which no query has a right answer."""
    if figures.skipped == len(figures):
        raise PerisphereError(
            f"{points.source}: no query has a photo of its identity left in the gallery; name splits that "
            "share identities (--query, --gallery), or ignore cameras (--ignore-cameras)."
        )


def counts_of(found: Sides, figures: ReidFigures) -> dict[str, int]:
    """Return how many of everything took part."""
    asked, shown = found.asked, found.shown
    counts = {"queries": len(asked), "queries_skipped": figures.skipped}
    if found.cameras:
        seen = pl.concat([asked.rows["camera"], shown.rows["camera"]])
        counts |= {"cameras": seen.drop_nulls().n_unique(), "photos_without_camera": seen.null_count()}
    return counts | {
        "identities_asked": asked.rows["label"].n_unique(),
        "identities_in_gallery": shown.rows["label"].drop_nulls().n_unique(),
        "gallery_photos": len(shown),
        "gallery_without_label": shown.rows["label"].null_count(),
        "dimensions": asked.vectors.shape[1],
    }


def conventions(found: Sides, ties: str | None) -> dict[str, str]:
    """Say what the figures mean."""
    name = "top" if found.user_to_shop else "rank"
    wrong = "before" if ties == "pessimistic" else "after"
    out = "the photos of the query's identity by the query's camera" if found.cameras else "none"
    return {
        "right": "the query's identity, which is the label",
        "left_out": f"{out}{'; and the query itself' if found.overlap else ''}",
        "mAP": "mean over queries of the mean precision at each right answer",
        "mINP": "mean over queries of the number of right answers divided by the rank of the last",
        f"{name}-k": "share of queries with a right answer among the first k (CMC)",
        "ties": f"{ties}: a wrong answer of equal score is ranked {wrong}" if ties else "as re-ranked",
        "queries_skipped": "without a right answer; left out of the means",
    }


def curves_of(figures: ReidFigures) -> dict[str, list[float]]:
    """Return the curves over k that plots show."""
    found = np.nanmean(found_curve(figures.ranks, CURVE), axis=0)
    return {
        "k": list(range(1, CURVE + 1)),
        "cmc": figures.cmc(CURVE).tolist(),
        "found": found.tolist(),
    }


def checked_depths(ks: Sequence[int]) -> list[int]:
    """Return depths ascending, each once.

    Raises:
        UsageError: none, or one below 1.
    """
    if not ks or min(ks) < 1:
        raise UsageError(f"k is {min(ks, default='empty')}; give whole numbers from 1 on, such as 1,5,10.")
    return sorted(set(ks))

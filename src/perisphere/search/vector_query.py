"""Queries by their points: photos or centroids that lie near them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.index.calibration import Calibration
from perisphere.index.ranking import NONE
from perisphere.search.among import Asked, Search, centroid_results, chosen, identities_of, searches
from perisphere.search.found import Found, Hit
from perisphere.search.ingredients import ClassQuery, Photos, Row, Source, TextQuery
from perisphere.search.part import Part
from perisphere.search.query import Query
from perisphere.search.rerank.chain import Chain
from perisphere.search.rerank.context import Context
from perisphere.search.rerank.geometric import GeometricVerification
from perisphere.search.rerank.label import LabelReranking
from perisphere.search.rerank.scores import pair_scores
from perisphere.search.rerank.soft_label import SoftLabelReranking
from perisphere.sphere.geometry import Metric

PICTURES = Source | Part | Row
"""What is one picture, so that it makes a pair with a result."""
NAMED = "a class or a text and a photo"


@dataclass(frozen=True)
class Placed:
    """A query with its point, and what it must not find.

    Attributes:
        query: the query.
        point: floating ``[d]``.
        own: ids that are taken out of centroids.
        hidden: ids that are left out of results.
        photo: its photo, where it is a single one.
    """

    query: Query
    point: NDArray
    own: frozenset[int] = frozenset()
    hidden: frozenset[int] = frozenset()
    photo: Source | None = None


def check_vectors(index: Index, query: Query) -> None:
    """Refuse what means nothing for what the query is made of, or where it is searched.

    Raises:
        UsageError: a precision or a geometric verification of what is no pair of photos, a vote of centroids,
            a class or a text with a label, codes where vectors are needed, or identities where centroids
            choose no photos.
    """
    among = chosen(index, query.among)
    identities_of(among, query.identities)
    other = _no_pair(query, among)
    if other and query.min_precision is not None:
        raise UsageError(f"a precision is known of pairs of photos, not of {other}. Cut by a score.")
    if query.label is not None and not any(isinstance(one.what, PICTURES | Photos) for one in query.like):
        raise UsageError("a class or a text has no label besides. Give labels to photos only.")
    chain = cast(Chain | None, query.rerank)
    steps = () if chain is None else chain.steps
    if other and other != NAMED and any(isinstance(step, GeometricVerification) for step in steps):
        raise UsageError(
            f"geometric verification compares a photo with a photo, not {other}. Leave `geometric` out, or "
            "search among photos with each photo by itself."
        )
    if among == "centroids" and any(isinstance(step, LabelReranking | SoftLabelReranking) for step in steps):
        raise UsageError(
            "`label` and `softlabel` let labels vote, and each centroid has its own. Leave them out, or "
            "search among centroids-then-photos."
        )
    if query.shortlist is not None or query.symmetric:
        _check_codes(query, among)


def _no_pair(query: Query, among: str) -> str | None:
    """Say what is compared where it is not a photo with a photo."""
    if among == "centroids":
        return "centroids"
    things = [example.what for example in (*query.like, *query.unlike)]
    if len(things) == 1:
        if isinstance(things[0], PICTURES):
            return None
        if isinstance(things[0], ClassQuery | TextQuery):
            return NAMED
    photos = all(isinstance(thing, PICTURES | Photos) for thing in things)
    return "several photos together" if photos else "a point and a photo"


def _check_codes(query: Query, among: str) -> None:
    """Refuse what means nothing where codes are searched, or codes alone.

    Raises:
        UsageError: centroids, or a precision or re-ranking of scores by codes alone.
    """
    alone = query.shortlist == 0 or query.symmetric
    if among == "centroids":
        raise UsageError("centroids have no codes. Leave --shortlist and --symmetric out.")
    if alone and query.min_precision is not None:
        raise UsageError("a precision is known of scores by vectors, not by codes alone. Cut by a score.")
    if alone and query.rerank is not None:
        raise UsageError(
            "re-ranking goes by the scores that vectors give, not codes alone. Leave --symmetric and "
            "--shortlist 0 out."
        )


def by_vectors(index: Index, placed: Sequence[Placed], k: int) -> list[Found]:
    """Return what queries of equal options find, at most ``k`` results each.

    Args:
        index: where to search.
        placed: queries that differ in their points, cut-offs and what they must not find alone.
        k: how many results, at most; the queries' own ``k`` is not looked at.

    Raises:
        PerisphereError: no calibration or no centroids where they are needed.
    """
    query = placed[0].query
    among = chosen(index, query.among)
    asked = _asked(index, placed)
    calibration = _calibration(index, asked.metric)
    cuts = [_cut_off(one.query, calibration) for one in placed]
    found = [Found(metric=asked.metric, min_score=cut, among=among) for cut in cuts]
    for search in searches(asked, among, identities_of(among, query.identities)):
        lists, road = _lists(search, k, cast(Chain | None, query.rerank))
        road = road if among != "centroids-then-photos" else f"exact for centroids, then {road}"
        for place, hits in zip(search.queries, lists, strict=True):
            cut = cuts[place]
            kept = [hit for hit in hits if cut is None or hit[1] >= cut][:k]
            known = calibration if _no_pair(placed[place].query, among) is None else None
            found[place] = replace(found[place], road=road, calibration=known)
            if search.centroids is None:
                found[place] = replace(found[place], hits=kept)
            else:
                results = tuple(centroid_results(asked, search.centroids, place, kept))
                found[place] = replace(found[place], centroids=results)
    return found


def _asked(index: Index, placed: Sequence[Placed]) -> Asked:
    query = placed[0].query
    return Asked(
        index,
        np.array([one.point for one in placed], np.float32),
        [one.own for one in placed] if any(one.own for one in placed) else (),
        [one.hidden for one in placed] if any(one.hidden for one in placed) else (),
        [one.photo for one in placed],
        cast(Metric, query.metric or index.metric),
        cast(Any, query.where),
        query.exact,
        query.shortlist,
        query.symmetric,
    )


def _lists(search: Search, k: int, chain: Chain | None) -> tuple[list[list[Hit]], str]:
    """Return what each query finds, best first, and the road."""
    if search.centroids is not None:
        k = min(k, len(search.centroids))
    if chain is None:
        ranking = search.context.search(search.context.queries, k)
        lists: list[list[Hit]] = [
            [(id_, score, None) for id_, score in ranking.results(row)] for row in range(len(ranking))
        ]
        return lists, ranking.road
    return _reranked(search.context, k, chain)


def _reranked(context: Context, k: int, chain: Chain) -> tuple[list[list[Hit]], str]:
    """Return what each query finds in the order of the re-ranking, and the road."""
    found = context.search(context.queries, max(k, chain.width))
    ranking = chain(found, context)
    scores = pair_scores(context.queries, ranking.ids, context.gallery)
    lists: list[list[Hit]] = []
    for query in range(len(ranking)):
        there = ranking.ids[query] != NONE
        results = zip(ranking.results(query), scores[query][there].tolist(), strict=True)
        lists.append([(id_, score, reranked) for (id_, reranked), score in results])
    return lists, ranking.road


def _calibration(index: Index, metric: str) -> Calibration | None:
    calibration = index.calibration
    return calibration if calibration is not None and calibration.metric == metric else None


def _cut_off(query: Query, calibration: Calibration | None) -> float | None:
    if query.min_precision is None:
        return query.min_score
    if calibration is None:
        raise PerisphereError(
            "the index is not calibrated for this metric, so no precision is known. "
            "Run `perisphere index calibrate`, or pass --min-score."
        )
    threshold = calibration.threshold(query.min_precision)
    return threshold if query.min_score is None else max(query.min_score, threshold)

"""What is searched: photos, centroids, or the photos of the nearest centroids."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.index import Centroids, Index
from perisphere.index.filters import And, Expression, In
from perisphere.index.ranking import NONE
from perisphere.search.ingredients import Source
from perisphere.search.rerank.context import Context
from perisphere.search.rerank.galleries import ArrayGallery, IndexGallery, file_of
from perisphere.search.results import Result
from perisphere.sphere.geometry import Metric, Vectors

AMONG = ("photos", "centroids", "centroids-then-photos")
MOST_IDENTITIES = 1000
IDENTITIES = 10
"""How many centroids choose the photos, where nobody says."""
EXAMPLES = 4
"""How many of a centroid's photos a result names."""


@dataclass(frozen=True)
class Search:
    """Queries that are answered together.

    Attributes:
        queries: their places among all queries.
        context: where they are searched.
        centroids: what is searched, where it is centroids.
    """

    queries: Sequence[int]
    context: Context
    centroids: Centroids | None = None


@dataclass(frozen=True)
class Asked:
    """What all queries of a search have in common, and their points.

    Attributes:
        index: where to search.
        vectors: float32 ``[q, d]``.
        own: for each query the ids that are taken out of centroids; none where empty.
        hidden: for each query the ids that it must not find; none where empty.
        photos: for each query its photo, ``None`` where it is no single one.
        metric: the metric.
        where: a filter.
        exact: search photos exactly.
        shortlist: of photos with codes, how many of the best are ranked by their vectors.
        symmetric: search photos by codes alone, of the queries too.
    """

    index: Index
    vectors: Vectors
    own: Sequence[frozenset[int]]
    hidden: Sequence[frozenset[int]]
    photos: Sequence[Source | None]
    metric: Metric
    where: Expression | None
    exact: bool
    shortlist: int | None = None
    symmetric: bool = False


def chosen(index: Index, among: str | None) -> str:
    """Return what to search: what was asked for; by default photos, where the index keeps them.

    Raises:
        UsageError: an unknown word.
    """
    if among is None:
        return "centroids" if index.centroids_kept == "only" else "photos"
    if among not in AMONG:
        known = ", ".join(AMONG)
        raise UsageError(f"nothing is called {among!r}: search among {known}.{nearest(among, list(AMONG))}")
    return among


def identities_of(among: str, identities: int | None) -> int:
    """Return how many centroids choose the photos.

    Raises:
        UsageError: a number out of range, or one where centroids choose no photos.
    """
    if identities is None:
        return IDENTITIES
    if among != AMONG[-1]:
        raise UsageError(
            f"{identities} identities: they choose photos for --among {AMONG[-1]}, not for {among}. "
            "Leave -n out; -k says how many results."
        )
    if not 1 <= identities <= MOST_IDENTITIES:
        raise UsageError(f"{identities} identities: choose the photos of 1 to {MOST_IDENTITIES}.")
    return identities


def searches(asked: Asked, among: str, identities: int) -> Iterator[Search]:
    """Yield the searches that answer all queries; one whose filter leaves no centroid has none.

    Args:
        asked: the queries.
        among: one of :data:`AMONG`.
        identities: how many centroids choose the photos, where both are searched.

    Raises:
        PerisphereError: centroids are asked for, and the index keeps none.
    """
    if among == "photos":
        yield _among_photos(asked, range(len(asked.vectors)), asked.where)
    elif among == "centroids":
        yield from _among_centroids(asked)
    else:
        yield from _among_photos_of_centroids(asked, identities)


def _among_photos(asked: Asked, queries: Sequence[int], where: Expression | None) -> Search:
    places = list(queries)
    context = Context(
        IndexGallery(
            asked.index,
            metric=asked.metric,
            where=where,
            exact=asked.exact,
            shortlist=asked.shortlist,
            symmetric=asked.symmetric,
        ),
        asked.vectors[places],
        [asked.hidden[place] for place in places] if asked.hidden else (),
        [asked.photos[place] for place in places],
    )
    return Search(places, context)


def _among_centroids(asked: Asked) -> Iterator[Search]:
    """Search all together, but for queries that must be taken out of their own centroids."""
    centroids = asked.index.centroids(asked.where)
    alone = [query for query, own in enumerate(asked.own) if own]
    together = [query for query in range(len(asked.vectors)) if query not in alone]
    for queries in filter(None, [together, *([query] for query in alone)]):
        left = centroids if queries is together else _without(asked, centroids, asked.own[queries[0]])
        if len(left):
            gallery = ArrayGallery(left.points, asked.metric, ids=left.ids, labels=left.labels)
            yield Search(queries, Context(gallery, asked.vectors[queries]), left)


def _without(asked: Asked, centroids: Centroids, own: frozenset[int]) -> Centroids:
    """Return the centroids of all photos that pass the filter but ``own``."""
    if asked.index.centroids_kept == "only":
        raise PerisphereError(
            f"{asked.index.folder}: keeps centroids only, so that a photo cannot be taken out of its own. "
            "Leave --exclude-self out."
        )
    mine: Expression = In("id", tuple(sorted(own)))
    ids, vectors = asked.index.vectors(
        asked.index.ids(mine if asked.where is None else And((asked.where, mine)))
    )
    return centroids.without(asked.index.rows(ids)["label"].to_list(), vectors)


def _among_photos_of_centroids(asked: Asked, identities: int) -> Iterator[Search]:
    for search in _among_centroids(asked):
        assert search.centroids is not None
        label = dict(zip(search.centroids.ids.tolist(), search.centroids.labels, strict=True))
        ranking = search.context.search(search.context.queries, identities)
        for query, ids in zip(search.queries, ranking.ids, strict=True):
            labels = In("label", tuple(label[id_] for id_ in ids[ids != NONE].tolist()))
            where = labels if asked.where is None else And((asked.where, labels))
            yield _among_photos(asked, [query], where)


def centroid_results(
    asked: Asked, centroids: Centroids, query: int, found: Sequence[tuple[int, float, float | None]]
) -> Iterator[Result]:
    """Describe centroids: by their label, their count, and the first of the photos behind them.

    Args:
        asked: the search.
        centroids: what was searched.
        query: the place of the query.
        found: id, score, and the score of the re-ranking where there is one, best first.
    """
    own = asked.own[query] if asked.own else ()
    for rank, (id_, score, reranked) in enumerate(found, start=1):
        place = int(np.searchsorted(centroids.ids, id_))
        label = centroids.labels[place]
        ids = asked.index.some_of(label, EXAMPLES, asked.where, without=own)
        rows = list(asked.index.rows(ids, missing_ok=True).iter_rows(named=True))
        files = [file_of(row) for row in rows]
        yield Result(
            rank,
            id_,
            score,
            None,
            label,
            rows[0]["path"] if rows else None,
            files[0] if files else None,
            rerank=reranked,
            count=int(centroids.counts[place]),
            examples=tuple(file for file in files if file is not None),
            row=rows[0] if rows else {},
        )

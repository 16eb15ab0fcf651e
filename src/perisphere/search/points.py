"""The points on the sphere that are searched with.

What is liked gives ``p``, the weighted mean of its unit vectors, and what is disliked ``n`` likewise. The
point of the query is the direction of ``p - gamma * n``: the method of J. J. Rocchio ("Relevance feedback in
information retrieval", in Salton, The SMART Retrieval System, 1971) with the query among the liked examples,
and its result brought back to the sphere. Weights count by their ratios, so that one example is the same for
every weight.

Distances other than the cosine know no direction: there ``p`` is the weighted mean of the vectors themselves,
as a centroid of the index is, and counter-examples are refused.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perisphere.catalog.images import ImageError
from perisphere.errors import PerisphereError, UsageError
from perisphere.index.vectors import clean, matrix
from perisphere.search.class_query import class_vectors
from perisphere.search.ingredients import (
    Centroid,
    ClassQuery,
    Ingredient,
    Point,
    Row,
    Source,
    TextQuery,
    pictures_of,
)
from perisphere.search.query import Query
from perisphere.search.spaces import Spaces
from perisphere.search.text_query import text_vectors
from perisphere.sphere.geometry import Vectors

if TYPE_CHECKING:
    from perisphere.encoder import Encoder

SHORTEST = 1e-5
"""A combination of unit float32 vectors that is shorter is rounding error, not a direction."""


def query_points(spaces: Spaces, queries: Sequence[Query]) -> Vectors:
    """Return the points of queries, float32 ``[q, d]``: unit rows where they have more than one example.

    The photos of all queries are embedded together, and the rows of all are read together.

    Args:
        spaces: where they are placed.
        queries: each with examples.

    Raises:
        ImageError: a photo cannot be read.
        PerisphereError: no encoder, no such class, tag, row or centroid, or examples that cancel each other.
        UsageError: counter-examples for a metric that is not the cosine.
    """
    examples = [example for query in queries for example in (*query.like, *query.unlike)]
    vectors = iter(_vectors(spaces, [example.what for example in examples]))
    points = np.empty((len(queries), spaces.index.dim), np.float32)
    for place, query in enumerate(queries):
        liked = [next(vectors) for _ in query.like]
        disliked = [next(vectors) for _ in query.unlike]
        points[place] = rocchio(query, liked, disliked, query.metric or spaces.index.metric)
    return points


def rocchio(query: Query, liked: Sequence[NDArray], disliked: Sequence[NDArray], metric: str) -> NDArray:
    """Return the point of a query from the vectors ``[d]`` of its examples.

    Raises:
        PerisphereError: the examples cancel each other.
        UsageError: counter-examples for a metric that is not the cosine.
    """
    if not disliked or query.gamma == 0:
        weights = [example.weight for example in query.like]
        return liked[0] if len(liked) == 1 else centroid(np.stack(liked), weights, metric)
    if metric != "cosine":
        raise UsageError(
            f"counter-examples turn a direction, and {metric} goes by distances: search by cosine "
            "(--metric cosine), or leave --unlike out."
        )
    negative = _mean(np.stack(disliked), [example.weight for example in query.unlike], metric)
    if not liked:
        return -negative
    point = (
        _mean(np.stack(liked), [example.weight for example in query.like], metric) - query.gamma * negative
    )
    length = float(np.linalg.norm(point))
    if length < SHORTEST:
        raise PerisphereError(
            "the counter-examples cancel what is liked, so that no direction is left. Lower --gamma, or "
            "leave a counter-example out."
        )
    return point / length


def centroid(vectors: NDArray, weights: Sequence[float], metric: str) -> NDArray:
    """Return the weighted mean of vectors ``[n, d]``, float64 ``[d]``, under cosine of length 1.

    Raises:
        PerisphereError: they cancel each other.
    """
    mean = _mean(vectors, weights, metric)
    if metric != "cosine":
        return mean
    length = float(np.linalg.norm(mean))
    if length < SHORTEST:
        raise PerisphereError(
            f"the vectors of {len(vectors)} photos cancel each other, so that they have no common point. "
            "Search with each by itself (--each)."
        )
    return mean / length


def _mean(vectors: NDArray, weights: Sequence[float], metric: str) -> NDArray:
    rows = clean(vectors, metric, what="example").astype(np.float64)
    return np.average(rows, axis=0, weights=np.asarray(weights) / max(weights))  # their sum may be too large


def _vectors(spaces: Spaces, things: Sequence[Ingredient]) -> list[NDArray]:
    """Return the vector of each thing, floating ``[d]``; things of a kind are looked up together."""
    kinds: list[tuple[Any, Callable[[Spaces, list[Any]], NDArray | list[NDArray]]]] = [
        (Row, _of_rows),
        (Point, _of_points),
        (Centroid, _of_centroids),
        (ClassQuery, lambda spaces, some: class_vectors(some, spaces.classes)),
        (TextQuery, _of_texts),
        (object, _of_photos),
    ]
    found: dict[int, NDArray] = {}
    for kind, look_up in kinds:
        places = [p for p, thing in enumerate(things) if p not in found and isinstance(thing, kind)]
        if places:
            found.update(zip(places, look_up(spaces, [things[place] for place in places]), strict=True))
    return [found[place] for place in range(len(things))]


def _of_rows(spaces: Spaces, rows: list[Row]) -> NDArray:
    ids, back = np.unique([row.id for row in rows], return_inverse=True)
    return spaces.index.vectors(ids)[1][back]


def _of_points(spaces: Spaces, points: list[Point]) -> NDArray:
    vectors = [matrix(point.vector, spaces.index.dim, "point") for point in points]
    return clean(np.concatenate(vectors), "l2", what="point")


def _of_centroids(spaces: Spaces, wanted: list[Centroid]) -> NDArray:
    known = spaces.index.centroids()
    for centroid in wanted:
        if centroid.label not in known.places:
            raise PerisphereError(
                f"{spaces.index.folder}: keeps no centroid of the label {centroid.label!r}. Check the label."
            )
    return known.points[[known.places[centroid.label] for centroid in wanted]]


def _of_texts(spaces: Spaces, texts: list[TextQuery]) -> NDArray:
    if spaces.of_texts != "joint":
        return text_vectors(texts, spaces.tags)
    return spaces.encoder.encode_texts([text.text for text in texts])


def _of_photos(spaces: Spaces, things: list[Ingredient]) -> list[NDArray]:
    """Return the vector of each photo or part; of several photos their centroid."""
    groups = [pictures_of(thing) for thing in things]
    encoded = _encode(spaces.encoder, [picture for group in groups for picture in group])
    parts = np.split(encoded, np.cumsum([len(group) for group in groups])[:-1])
    metric = spaces.index.metric
    return [part[0] if len(part) == 1 else centroid(part, [1] * len(part), metric) for part in parts]


def _encode(encoder: "Encoder", images: Sequence[Source]) -> Vectors:
    try:
        return encoder.encode(images)
    except ImageError as error:
        raise ImageError(
            str(error).removesuffix(f": {error.reason}."),
            f"{error.reason}, so it cannot be a query; check the name, or leave it out",
        ) from error

"""The points on the sphere that are searched with: of a photo, several photos, a class or a text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perisphere.catalog.images import ImageError
from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.index.centroids import SHORTEST
from perisphere.search.class_query import class_vectors
from perisphere.search.index_encoder import the_encoder
from perisphere.search.ingredients import ClassQuery, Ingredient, Named, Source, TextQuery, pictures_of
from perisphere.search.text_query import text_vectors
from perisphere.sphere.geometry import Vectors
from perisphere.tags import Tags
from perisphere.taxonomy import ClassPoints

if TYPE_CHECKING:
    from perisphere.encoder import Encoder


def query_points(
    index: Index,
    encoder: "Encoder | None",
    queries: Sequence[Ingredient],
    classes: ClassPoints | None = None,
    tags: Tags | None = None,
) -> Vectors:
    """Return the points of the queries, float32 ``[q, d]``.

    Several photos are one point: the mean of their vectors, of length 1 where the index's metric is cosine,
    as the index's own centroids are.

    Args:
        index: that will be searched.
        encoder: see :func:`the_encoder`.
        queries: photos, several photos together, parts of photos, classes, or texts.
        classes: the class points, where there is a class among the queries.
        tags: the tags, where there is a text among the queries.

    Raises:
        ImageError: a photo cannot be read.
        PerisphereError: no encoder, no such class or tag, or photos whose vectors cancel each other.
    """
    vectors = np.empty((len(queries), index.dim), np.float32)
    if classes is not None:
        vectors[_which(queries, ClassQuery)] = class_vectors(
            [query for query in queries if isinstance(query, ClassQuery)], classes
        )
    if tags is not None:
        vectors[_which(queries, TextQuery)] = text_vectors(
            [query for query in queries if isinstance(query, TextQuery)], tags
        )
    photos = [pictures_of(query) for query in queries if not isinstance(query, Named)]
    if photos:
        flat = [photo for group in photos for photo in group]
        encoded = _encode(the_encoder(index, encoder), flat)
        parts = np.split(encoded, np.cumsum([len(group) for group in photos])[:-1])
        vectors[~_which(queries, Named)] = [_centroid(part, index.metric) for part in parts]
    return vectors


def _which(queries: Sequence[Ingredient], kind: Any) -> NDArray[np.bool_]:
    return np.array([isinstance(query, kind) for query in queries], bool)


def _centroid(vectors: Vectors, metric: str) -> NDArray[np.floating]:
    if len(vectors) == 1:
        return vectors[0]
    mean = vectors.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    if metric != "cosine":
        return mean
    if length < SHORTEST:
        raise PerisphereError(
            f"the vectors of {len(vectors)} photos cancel each other, so that they have no common point. "
            "Search with each by itself (--each)."
        )
    return mean / length


def _encode(encoder: "Encoder", images: Sequence[Source]) -> Vectors:
    try:
        return encoder.encode(images)
    except ImageError as error:
        raise ImageError(
            str(error).removesuffix(f": {error.reason}."),
            f"{error.reason}, so it cannot be a query; check the name, or leave it out",
        ) from error

"""Search with one part of a photo among the regions of an index."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.index.filters import Expression
from perisphere.index.kept_regions import Hit
from perisphere.index.planner import condition
from perisphere.index.region_shape import cover_of_box, weighted_direction
from perisphere.search.found import Found
from perisphere.search.part import Part
from perisphere.search.query import Query
from perisphere.search.spaces import Spaces

if TYPE_CHECKING:
    from perisphere.encoder.segment import Segmenter


def by_regions(spaces: Spaces, queries: Sequence[Query], own: Sequence[Collection[int]]) -> list[Found]:
    """Find for each query by a part of a photo the photos that have the nearest regions.

    The point of a part is the mean of the unit features of the index's segmentation encoder in the box, which
    sees the whole photo; so are the points of regions. Each photo comes once, with its best region.

    Args:
        spaces: an index with vectors of regions, and its encoder.
        queries: each with one part, and all with one filter and one number of results.
        own: for each query the ids that it must not find.

    Raises:
        ImageError: a photo cannot be read.
        PerisphereError: no region has a vector, or the encoder is not the one that made them.
        UsageError: a box holds nothing.
    """
    index, where = spaces.index, cast(Expression | None, queries[0].where)
    segmenter, layer = _segmenter(spaces)
    points = np.stack([part_vector(segmenter, cast(Part, q.like[0].what), layer) for q in queries])
    filtered = None if where is None else condition(where)
    near = index.regions.nearest(points, queries[0].k, filtered, own if any(own) else ())
    return [_found(query.min_score, hits) for query, hits in zip(queries, near, strict=True)]


def _found(cut: float | None, near: Sequence[Hit]) -> Found:
    kept = [(region, score) for region, score in near if cut is None or score >= cut]
    hits = [(region.image, score, None) for region, score in kept]
    shown = {region.image: (region,) for region, _ in kept}
    return Found(hits, "regions", "cosine", cut, regions=shown)


def part_vector(segmenter: "Segmenter", part: Part, layer: str) -> NDArray[np.float32]:
    """Return the unit point of a part, float32 ``[d]``.

    Raises:
        PerisphereError: the features in the box have no direction.
    """
    features = segmenter.features(part.whole, layer)
    cover = cover_of_box(part.pixels, part.whole.shape[:2], features.shape[1:])
    direction = weighted_direction(features, cover)
    if direction is None:
        raise PerisphereError(f"the region {part.name} has no direction among the features; enlarge it.")
    return direction


def _segmenter(spaces: Spaces) -> "tuple[Segmenter, str]":
    from perisphere.encoder.segment import Segmenter

    index = spaces.index
    about = index.regions.about()
    if about is None or about["encoder"] is None:
        raise PerisphereError(
            f"{index.folder}: keeps no vectors of regions. Bring them with `perisphere index regions INDEX "
            "SEGMENTED`, in an index that was made with a segmentation encoder."
        )
    if spaces.encoder.identity != about["encoder"]:
        raise PerisphereError(
            f"{index.folder}: its regions were made by the encoder {about['encoder']}, not by "
            f"{spaces.encoder.identity}. Bring them again with `perisphere index regions`."
        )
    return Segmenter(spaces.encoder), str(about["layer"])

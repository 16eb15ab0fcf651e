"""Search with one part of a photo among the regions of an index."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.index.filters import Expression
from perisphere.index.kept_regions import Hit
from perisphere.index.planner import condition
from perisphere.index.region_shape import cover_of_box, weighted_direction
from perisphere.search.index_encoder import the_encoder
from perisphere.search.part import Part
from perisphere.search.rerank.galleries import file_of
from perisphere.search.results import Answer, Result, Results
from perisphere.search.selves import own_rows

if TYPE_CHECKING:
    from perisphere.encoder import Encoder
    from perisphere.encoder.segment import Segmenter


def search_parts(
    index: Index,
    parts: Sequence[Part],
    k: int = 5,
    *,
    encoder: "Encoder | None" = None,
    labels: Sequence[str | None] | None = None,
    where: Expression | str | None = None,
    min_score: float | None = None,
    exclude_self: bool = False,
) -> Results:
    """Find for each part of a photo the ``k`` photos that have the nearest regions.

    The point of a part is the mean of the unit features of the index's segmentation encoder in the box, which
    sees the whole photo; so are the points of regions. Each photo comes once, with its best region.

    Args:
        index: an index with vectors of regions.
        parts: boxes of photos; at least one, each with its own results.
        k: how many photos, at most.
        encoder: what made the regions, where the index holds none.
        labels: those of the photos; else a photo that is in the index has its label there.
        where: a filter on the photos, e.g. ``"regions has 'portal'"``.
        min_score: leave out regions whose cosine is lower.
        exclude_self: leave the photo itself out.

    Raises:
        ImageError: a photo cannot be read.
        PerisphereError: no region has a vector, or the encoder is not the one that made them.
        UsageError: there is no part, ``k`` is below 1, ``min_score`` is NaN, or a box holds
            nothing.
    """
    if not parts:
        raise UsageError("there is no query. Name at least one photo and its region.")
    if k < 1:
        raise UsageError(f"k is {k}: ask for at least 1 result.")
    if min_score is not None and np.isnan(min_score):
        raise UsageError("the least score is nan: give a number, or leave it out.")
    segmenter, layer = _segmenter(index, encoder)
    queries = np.stack([part_vector(segmenter, part, layer) for part in parts])
    selves = [own_rows(index, [part.photo]) for part in parts]
    found = index.regions.nearest(
        queries,
        k,
        None if where is None else condition(where),
        [own for own, _ in selves] if exclude_self else (),
    )
    answers = []
    for place, (part, hits) in enumerate(zip(parts, found, strict=True)):
        known = selves[place][1]
        label = known if labels is None or labels[place] is None else labels[place]
        near = [hit for hit in hits if min_score is None or hit[1] >= min_score]
        answers.append(Answer(part, label, _described(index, near)))
    return Results(tuple(answers), "regions", "cosine", min_score)


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


def _segmenter(index: Index, encoder: "Encoder | None") -> "tuple[Segmenter, str]":
    from perisphere.encoder.segment import Segmenter

    about = index.regions.about()
    if about is None or about["encoder"] is None:
        raise PerisphereError(
            f"{index.folder}: keeps no vectors of regions. Bring them with `perisphere index regions INDEX "
            "SEGMENTED`, in an index that was made with a segmentation encoder."
        )
    chosen = the_encoder(index, encoder)
    if chosen.identity != about["encoder"]:
        raise PerisphereError(
            f"{index.folder}: its regions were made by the encoder {about['encoder']}, not by "
            f"{chosen.identity}. Bring them again with `perisphere index regions`."
        )
    return Segmenter(chosen), str(about["layer"])


def _described(index: Index, hits: Sequence[Hit]) -> tuple[Result, ...]:
    """Describe the photos of regions, without those that were removed meanwhile."""
    rows = {
        row["id"]: row
        for row in index.rows([region.image for region, _ in hits], missing_ok=True).iter_rows(named=True)
    }
    results = [
        Result(0, row["id"], score, None, row["label"], row["path"], file_of(row), regions=(region,))
        for region, score in hits
        for row in [rows.get(region.image)]
        if row is not None
    ]
    return tuple(replace(result, rank=rank) for rank, result in enumerate(results, start=1))

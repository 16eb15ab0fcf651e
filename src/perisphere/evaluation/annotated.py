"""Benchmarks whose ground truth lists, for each query, which images are right and which to ignore."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perisphere.catalog.ground_truth import Box, GroundTruth, stem
from perisphere.errors import PerisphereError
from perisphere.evaluation.gallery import Gallery
from perisphere.evaluation.points import Points
from perisphere.metrics.matching import NONE, Positions, Rows
from perisphere.sphere.geometry import check_same_dim

QUERY_SPLITS = ("query",)
"""The splits of the queries, where none are named."""

LEARNT_SPLITS = ("train", "val")
"""What a benchmark offers to learn from is not searched, unless it is named."""


@dataclass(frozen=True)
class Annotated:
    """A benchmark with vectors, where gallery rows stand for the names of the ground truth.

    Attributes:
        asked: the queries, in the order of the ground truth.
        parts: the points that the gallery is made of, and which of their rows it takes.
        lists: name of a list (easy, hard, ok, junk ...) to the gallery rows of each query. An image without a
            vector has a row beyond the gallery's end, so that it is never found but counts as existing.
        named: images of the gallery that the ground truth names; the others are distractors.
        absent: images that the ground truth puts into the gallery and that have no vector.
    """

    asked: Points
    parts: Sequence[tuple[Points, Positions]]
    lists: Mapping[str, Sequence[Positions]]
    named: int
    absent: int

    @property
    def gallery(self) -> Gallery:
        """The vectors of the gallery."""
        return Gallery([(points.vectors, rows) for points, rows in self.parts])

    def rows(self, names: Sequence[str]) -> Rows:
        """Select what any of the lists ``names`` holds for a query."""
        return lambda query: np.unique(np.concatenate([NONE, *(self.lists[name][query] for name in names)]))


def annotate(
    points: Points,
    truth: GroundTruth,
    *,
    query: Sequence[str] | None = None,
    gallery: Sequence[str] | None = None,
    distractors: Sequence[Points] = (),
) -> Annotated:
    """Find the queries and the gallery of a ground truth among embedded images, by the files' stems.

    Args:
        points: the embedded collection.
        truth: its ground truth.
        query: splits of the query photos; ``None`` is the split ``query``.
        gallery: splits that are searched; ``None`` is every row of no query split but those for
            learning, train and val.
        distractors: more images to be searched, wrong for every query.

    Raises:
        PerisphereError: a query has no vector, a right image has two, nothing is left to search, or the
            distractors come from another encoder.
    """
    asking = points.rows["split"].is_in(list(query or QUERY_SPLITS)).fill_null(False)
    points.check_splits(query or QUERY_SPLITS)
    points.check_splits(gallery or ())
    if gallery is None:
        left_out = [*(query or QUERY_SPLITS), *LEARNT_SPLITS]
        searched = ~points.rows["split"].is_in(left_out).fill_null(False)
    else:
        searched = points.rows["split"].is_in(list(gallery)).fill_null(False)
    parts = [(points, _positions(searched.to_numpy()))]
    for other in distractors:
        _check_encoder(points, other)
        parts.append((other, np.arange(len(other))))
    if not sum(len(rows) for _, rows in parts):
        raise PerisphereError(f"{points.source}: no image is left to search; name its splits with --gallery.")
    return _joined(points, truth, _positions(asking.to_numpy()), parts)


def _joined(
    points: Points, truth: GroundTruth, asking: Positions, parts: Sequence[tuple[Points, Positions]]
) -> Annotated:
    wanted = {name for lists in truth.lists for names in lists.values() for name in names}
    everything = wanted.union(truth.gallery or ())
    found: dict[str, int] = {}
    start = 0
    for part, rows in parts:
        for position, path in enumerate(part.rows["path"].gather(rows), start):
            name = stem(path or "")
            if name not in everything:
                continue
            if found.setdefault(name, position) != position and name in wanted:
                raise PerisphereError(
                    f"{part.source}: two images of the gallery are named {name!r}, so the ground truth does "
                    "not say which is meant; leave one out with --gallery."
                )
        start += len(rows)
    if not found:
        raise PerisphereError(
            f"{points.source}: no image of the gallery is named in the ground truth; "
            "name the ground truth of this collection with --truth."
        )
    beyond = {name: start + place for place, name in enumerate(sorted(everything.difference(found)))}
    numbered = found | beyond
    lists = {
        kind: [np.array([numbered[name] for name in each[kind]], np.int64) for each in truth.lists]
        for kind in truth.lists[0]
    }
    return Annotated(points.take(_query_rows(points, truth, asking)), parts, lists, len(found), len(beyond))


def _query_rows(points: Points, truth: GroundTruth, asking: Positions) -> Positions:
    """Return the row of each query; where a photo asks several times, that of the query's box."""
    rows = points.rows[asking]
    boxes = rows["box"].to_list() if "box" in rows.columns else [None] * len(rows)
    by_name: dict[str, list[int]] = {}
    for place, path in enumerate(rows["path"]):
        by_name.setdefault(stem(path or ""), []).append(place)
    lost = [name for name in truth.queries if name not in by_name]
    if lost:
        raise PerisphereError(
            f"{points.source}: {len(lost)} of {len(truth)} queries have no vector, {lost[0]!r} first; "
            "embed them too, or name their splits with --query."
        )
    chosen = [
        min(by_name[name], key=lambda place: _apart(boxes[place], box))
        for name, box in zip(truth.queries, truth.boxes, strict=True)
    ]
    return asking[np.array(chosen, np.int64)]


def _apart(one: Sequence[int] | None, other: Box | None) -> float:
    """Return how far apart the corners of two boxes are; a missing box is far from all."""
    if one is None or other is None:
        return 0.0 if one is None and other is None else float("inf")
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


def _check_encoder(points: Points, other: Points) -> None:
    mine, theirs = points.encoder.get("identity"), other.encoder.get("identity")
    if mine and theirs and mine != theirs:
        raise PerisphereError(
            f"{other.source}: was embedded with the encoder {theirs}, but {points.source} with {mine}; "
            "embed both with the same one."
        )
    check_same_dim(points.vectors, other.vectors)


def _positions(mask: NDArray[np.bool_]) -> Positions:
    return np.flatnonzero(mask).astype(np.int64)

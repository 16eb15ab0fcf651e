"""Matching points of two photos: positions whose features are each other's nearest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.catalog.images import decode, display
from perisphere.encoder.dense_features import DenseFeatures
from perisphere.encoder.feature_matching import nearest_positions
from perisphere.errors import UsageError
from perisphere.search.ingredients import Source
from perisphere.search.query import check_least_score
from perisphere.search.rerank.geometric import ENOUGH, Match, Model, fit

BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class Matching:
    """Two photos and the points that look alike.

    Attributes:
        first: x, y in pixels of the first photo, float32 ``[m, 2]``, the best pair first; the photo spans 0
            to its width and height.
        second: of the same pairs in the second photo.
        scores: cosine of each pair's features, float32 ``[m]``.
        agreeing: which pairs agree with the geometric model, bool ``[m]``; all without one.
        model: the homography or fundamental matrix ``[3, 3]`` from the first photo to the second, if one was
            asked for and found.
        verified: whether one was asked for.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    scores: NDArray[np.float32]
    agreeing: NDArray[np.bool_]
    model: NDArray[np.float64] | None = None
    verified: bool = False

    def __len__(self) -> int:
        """Return how many pairs there are."""
        return len(self.scores)

    @property
    def count(self) -> int:
        """How many pairs agree."""
        return int(self.agreeing.sum())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        rows = zip(self.first, self.second, self.scores, self.agreeing, strict=True)
        return {
            "pairs": len(self),
            "agreeing": self.count if self.verified else None,
            "model": None if self.model is None else self.model.tolist(),
            "points": [
                {
                    "x1": round(float(one[0]), 2),
                    "y1": round(float(one[1]), 2),
                    "x2": round(float(other[0]), 2),
                    "y2": round(float(other[1]), 2),
                    "score": round(float(score), 4),
                    "agrees": bool(agrees) if self.verified else None,
                }
                for one, other, score, agrees in rows
            ],
        }

    def drawn(self) -> Match:
        """Return the pairs as they are drawn, pixel centres at whole numbers."""
        return Match(self.first - 0.5, self.second - 0.5, self.agreeing, self.model)


def match_photos(
    features: DenseFeatures,
    first: Source,
    second: Source,
    *,
    points: int = 50,
    min_score: float | None = None,
    verify: Model | None = None,
    threshold: float | None = None,
) -> Matching:
    """Find the positions of two photos whose features are each other's nearest by cosine.

    Args:
        features: what gives the features.
        first: a file, an open picture or uint8 RGB ``[h, w, 3]``.
        second: the other.
        points: how many pairs, at most; those with the largest cosine.
        min_score: leave out pairs with a lower cosine.
        verify: fit this model to all mutual pairs by MAGSAC, and put the pairs that agree first.
        threshold: pixels that an agreeing pair may lie off; by default a cell of the coarser feature map.

    Raises:
        ImageError: a photo cannot be read.
        UsageError: an option out of range.
    """
    if points < 1 or (threshold is not None and not 0 < threshold < np.inf):
        raise UsageError(f"{points} points within {threshold} pixels: give numbers above 0.")
    check_least_score(min_score)
    if verify is not None and verify not in ENOUGH:
        raise UsageError(f"--verify {verify!r} is unknown: choose one of {', '.join(ENOUGH)}.")
    pictures = [decode(photo) for photo in (first, second)]
    maps = [features(picture) for picture in pictures]
    sizes = [np.array([picture.shape[1], picture.shape[0]], np.float32) for picture in pictures]
    rows, _, scores = mutual_nearest(*(one.reshape(len(one), -1).T for one in maps))
    if min_score is not None:
        good = scores >= min_score
        rows, scores = rows[good], scores[good]
    left = positions(maps[0].shape[1:])[rows] * sizes[0]
    placed = nearest_positions(maps[0].reshape(len(maps[0]), -1).T[rows], maps[1])
    right = placed.points * sizes[1]
    agreeing, model = np.ones(len(scores), bool), None
    if verify is not None:
        cells = [max(size / one.shape[:0:-1]) for size, one in zip(sizes, maps, strict=True)]
        fitted = fit(left, right, verify, float(max(cells)) if threshold is None else threshold)
        agreeing, model = fitted.inliers, fitted.model
    order = np.lexsort((-scores, ~agreeing))[:points]
    return Matching(left[order], right[order], scores[order], agreeing[order], model, verify is not None)


def mutual_nearest(
    first: NDArray[np.float32], second: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return which rows of two matrices are each other's nearest, by inner product.

    A row of zeros has no direction, and is nobody's nearest. The product is made in blocks.

    Args:
        first: float32 ``[n, d]``, unit rows.
        second: float32 ``[m, d]``, unit rows.

    Returns:
        The rows of both, int64 ``[k]``, ascending in the first, and their products, float32 ``[k]``.
    """
    empty = np.empty(0, np.int64)
    if not len(first) or not len(second):
        return empty, empty, np.empty(0, np.float32)
    forth, best = np.empty(len(first), np.int64), np.empty(len(first), np.float32)
    back, largest = np.zeros(len(second), np.int64), np.full(len(second), -np.inf, np.float32)
    step = max(1, BLOCK_BYTES // (4 * len(second)))
    for start in range(0, len(first), step):
        cosines = first[start : start + step] @ second.T
        forth[start : start + step] = cosines.argmax(1)
        best[start : start + step] = cosines.max(1)
        rows, values = cosines.argmax(0), cosines.max(0)
        better = values > largest
        back[better], largest[better] = rows[better] + start, values[better]
    directed = first.any(1) & second[forth].any(1)
    mutual = np.flatnonzero((back[forth] == np.arange(len(first))) & directed)
    return mutual, forth[mutual], best[mutual]


def positions(grid: Sequence[int]) -> NDArray[np.float32]:
    """Return where the cells of a feature map lie in the photo, as in training: corners on corners.

    Args:
        grid: rows and columns.

    Returns:
        float32 ``[rows * columns, 2]``: x, y as fractions of width and height, row after row.
    """
    down, across = (
        np.linspace(0, 1, cells, dtype=np.float32) if cells > 1 else np.full(1, 0.5, np.float32)
        for cells in grid
    )
    x, y = np.meshgrid(across, down)
    return np.column_stack([x.ravel(), y.ravel()])


def title_of(first: Source, second: Source) -> str:
    """Return what stands below the picture of two matched photos."""
    return f"{display(first).rsplit('/', 1)[-1]}  and  {display(second).rsplit('/', 1)[-1]}"

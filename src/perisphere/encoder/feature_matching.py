"""Points of one photo found in another by the features around them."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

_BLOCK = 1 << 24  # similarities in memory at a time


class Found(NamedTuple):
    """Where points of one photo lie in another.

    Attributes:
        points: float32 ``[n, 2]``, x and y as fractions of the width and the height.
        cosines: float32 ``[n]``, with the nearest position's vector.
    """

    points: NDArray[np.float32]
    cosines: NDArray[np.float32]


def features_at(features: NDArray, points: NDArray, *, align_corners: bool = True) -> NDArray[np.float32]:
    """Return the unit vectors at points of a photo, between positions by bilinear interpolation.

    Args:
        features: float32 ``[c, h, w]``.
        points: ``[n, 2]``, x and y as fractions of the width and the height, 0..1.
        align_corners: whether 0 and 1 are the centres of the first and the last position, as in the published
            training; else the outer edges of these.

    Returns:
        float32 ``[n, c]``.
    """
    grid = torch.as_tensor(points, dtype=torch.float32)[None, None] * 2 - 1
    maps = torch.as_tensor(features)[None]
    mode = {"mode": "bilinear", "padding_mode": "border"}
    found = grid_sample(maps, grid, align_corners=align_corners, **mode)[0, :, 0].T
    return normalize(found, dim=1).numpy()


def nearest_positions(vectors: NDArray, features: NDArray, *, align_corners: bool = True) -> Found:
    """Find the position of the largest cosine for each vector.

    Between positions it is placed at the top of the parabola through the cosines of the position and its two
    neighbours, across and down, so at most half a position away; not beyond the border.

    Args:
        vectors: float32 ``[n, c]``, of length one.
        features: float32 ``[c, h, w]``, of length one.
        align_corners: as :func:`features_at`.
    """
    height, width = features.shape[1:]
    keys = torch.as_tensor(features).reshape(len(features), -1)
    asked = torch.as_tensor(vectors)
    points, cosines = np.empty((len(asked), 2), np.float32), np.empty(len(asked), np.float32)
    block = max(1, _BLOCK // keys.shape[1])
    for start in range(0, len(asked), block):
        similar = (asked[start : start + block] @ keys).reshape(-1, height, width)
        best, place = similar.flatten(1).max(1)
        row, column = place // width, place % width
        x = column + _top(similar, row, column, across=True)
        y = row + _top(similar, row, column, across=False)
        some = slice(start, start + len(best))
        points[some, 0] = _fraction(x, width, align_corners)
        points[some, 1] = _fraction(y, height, align_corners)
        cosines[some] = best
    return Found(points, cosines)


def _top(similar: Tensor, row: Tensor, column: Tensor, *, across: bool) -> Tensor:
    """Return how far (-0.5 to 0.5) the top of the parabola lies from the best position; 0 at the border."""
    at = torch.arange(len(similar))
    place, size = (column, similar.shape[2]) if across else (row, similar.shape[1])
    inside = (place > 0) & (place < size - 1)
    before, after = (place - 1).clamp(min=0), (place + 1).clamp(max=size - 1)
    sides = [similar[at, row, side] if across else similar[at, side, column] for side in (before, after)]
    bend = sides[0] - 2 * similar[at, row, column] + sides[1]
    moved = (sides[0] - sides[1]) / (2 * bend)
    return torch.where(inside & (bend < 0), moved.clamp(-0.5, 0.5), torch.zeros_like(moved))


def _fraction(place: Tensor, size: int, align_corners: bool) -> NDArray[np.float32]:
    """Return positions, counted from 0, as fractions of a side."""
    values = place / max(1, size - 1) if align_corners else (place + 0.5) / size
    return values.clamp(0, 1).numpy()

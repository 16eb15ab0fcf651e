"""The shape of a region: its outline, the cells of a feature map that it covers, the mean direction there."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from perisphere.index.regions import Outline

PIECES = 8
"""Polygons that an outline has at most."""

SMALLEST_PIECE = 0.02
"""Of the largest piece; smaller ones are left out of an outline."""

SMOOTHING = 0.004
"""Of the photo's longer side: how far an outline may lie off."""


def outline_of(mask: NDArray[np.bool_]) -> Outline:
    """Return polygons around the larger pieces of a mask ``[h, w]``, in pixels, few points each."""
    pieces, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    pieces = sorted(pieces, key=cv2.contourArea, reverse=True)[:PIECES]
    least = SMALLEST_PIECE * (cv2.contourArea(pieces[0]) if len(pieces) else 0)
    off = max(1.0, SMOOTHING * max(mask.shape))
    polygons = []
    for piece in pieces:
        points = cv2.approxPolyDP(piece, off, closed=True)[:, 0]
        if len(points) > 2 and cv2.contourArea(piece) >= least:
            polygons.append(tuple((int(x), int(y)) for x, y in points))
    return tuple(polygons)


def weighted_direction(
    features: NDArray[np.float32], weights: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """Return the unit mean, ``[c]``, of unit features ``[c, h, w]`` by ``weights [h, w]``.

    ``None`` where they cancel each other, or all weights are zero.
    """
    mean = np.einsum("chw,hw->c", features, weights, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    return None if length < 1e-12 else (mean / length).astype(np.float32)


def cover_of_box(box: Sequence[float], size: tuple[int, int], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Return how much of each cell of a grid lies in a box.

    Args:
        box: ``x0, y0, x1, y1`` in pixels.
        size: height and width of the photo.
        grid: rows and columns over it.

    Returns:
        float32 ``[rows, columns]``, 0..1.
    """

    def covered(start: float, stop: float, length: int, cells: int) -> NDArray[np.float64]:
        edges = np.linspace(0, length, cells + 1)
        return (np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start)).clip(0) / (length / cells)

    rows = covered(box[1], box[3], size[0], grid[0])
    return np.outer(rows, covered(box[0], box[2], size[1], grid[1])).astype(np.float32)

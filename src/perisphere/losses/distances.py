"""Distances between vectors of a batch, from their inner products.

The inner products of linear combinations of vectors (differences, centroids) follow from those of the
vectors, so that one product of the batch with itself serves every loss that compares within it.
"""

from typing import Literal

import torch
from torch import Tensor

Distance = Literal["euclidean", "cosine"]
"""euclidean: |u - v|; cosine: the absolute value of 1 - cos(u, v)."""

FLOOR = 1e-12
"""Of squared Euclidean, and of cosine distances; nothing is learned from nearer ones."""

NEAREST = 1.01 * FLOOR**0.5
"""Above the Euclidean distance of the floor, whose root is rounded."""


def full_precision(vectors: Tensor) -> Tensor:
    """Return float vectors in at least single precision: distances of near vectors drown in half."""
    return vectors if vectors.dtype == torch.float64 else vectors.float()


def distances(products: Tensor, distance: Distance) -> Tensor:
    """Return the distance of every two vectors, ``[..., n, n]``.

    Args:
        products: of the vectors with each other, float ``[..., n, n]``.
        distance: which one.
    """
    squares = products.diagonal(dim1=-2, dim2=-1)
    if distance == "euclidean":
        return (squares[..., :, None] + squares[..., None, :] - 2 * products).clamp(min=FLOOR).sqrt()
    inverse = _inverse(squares)
    return (1 - products * inverse[..., :, None] * inverse[..., None, :]).abs().clamp(min=FLOOR)


def slopes(products: Tensor, others: Tensor, apart: Tensor, distance: Distance) -> tuple[Tensor, ...]:
    """Return how the distances of some pairs grow with inner products.

    Args:
        products: of the vectors with each other, float ``[..., n, n]``.
        others: int ``[..., n]``, the partner of each vector.
        apart: their distance, float ``[..., n]``.
        distance: which one.

    Returns:
        The derivatives by the product of the two, by that of the vector with itself, and by that of its
        partner with itself; each ``[..., n]``.
    """
    if distance == "euclidean":
        half = (apart > NEAREST) / (2 * apart)
        return -2 * half, half, half
    squares = products.diagonal(dim1=-2, dim2=-1)
    theirs = squares.gather(-1, others)
    shrink = _inverse(squares) * _inverse(theirs)
    cosines = products.gather(-1, others[..., None]).squeeze(-1) * shrink
    slope = (cosines - 1).sign() * (apart > 1.01 * FLOOR)
    return slope * shrink, *(-slope * cosines / 2 * _inverse(length) ** 2 for length in (squares, theirs))


def _inverse(squares: Tensor) -> Tensor:
    return squares.clamp(min=FLOOR**2).rsqrt()

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
"""Of squared Euclidean, and of cosine distances: roots have a slope there."""


def full_precision(vectors: Tensor) -> Tensor:
    """Return float vectors in at least single precision: distances of near vectors drown in half."""
    return vectors if vectors.dtype == torch.float64 else vectors.float()


def inner_products(vectors: Tensor) -> Tensor:
    """Return the inner product of every two rows, ``[..., n, n]``, in at least single precision.

    Args:
        vectors: float ``[..., n, d]``.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = full_precision(vectors)
        return vectors @ vectors.mT


def distances(products: Tensor, distance: Distance) -> Tensor:
    """Return the distance of every two vectors, ``[..., n, n]``.

    Args:
        products: of the vectors with each other, float ``[..., n, n]``.
        distance: which one.
    """
    squares = products.diagonal(dim1=-2, dim2=-1)
    if distance == "euclidean":
        squared = squares[..., :, None] + squares[..., None, :] - 2 * products
        return squared.clamp(min=FLOOR).sqrt()
    scale = squares.clamp(min=FLOOR**2).rsqrt()
    cosines = products * scale[..., :, None] * scale[..., None, :]
    return (1 - cosines).abs().clamp(min=FLOOR)

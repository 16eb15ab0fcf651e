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
    """Return the inner product of every two rows, float ``[n, n]``, in at least single precision.

    Args:
        vectors: float ``[n, d]``.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = full_precision(vectors)
        half = vectors @ vectors.detach().T
        # The values are those of half. Its gradient is gathered both ways, and costs one product, not two.
        return half + (half - half.detach()).T


def distances(products: Tensor, distance: Distance) -> Tensor:
    """Return the distance of every two vectors, ``[..., n, n]``.

    Args:
        products: of the vectors with each other, float ``[..., n, n]``.
        distance: which one.
    """
    squares = products.diagonal(dim1=-2, dim2=-1)
    return distance_of(products, squares[..., :, None], squares[..., None, :], distance)


def distance_of(products: Tensor, left: Tensor, right: Tensor, distance: Distance) -> Tensor:
    """Return the distance of pairs of vectors.

    Args:
        products: of the two vectors of each pair.
        left: of the first vector with itself.
        right: of the second vector with itself.
        distance: which one.
    """
    if distance == "euclidean":
        return (left + right - 2 * products).clamp(min=FLOOR).sqrt()
    cosines = products * left.clamp(min=FLOOR**2).rsqrt() * right.clamp(min=FLOOR**2).rsqrt()
    return (1 - cosines).abs().clamp(min=FLOOR)

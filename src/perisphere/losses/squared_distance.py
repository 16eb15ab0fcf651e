"""Squared Euclidean distance to the point of the class.

Source: Barz and Denzler, "Hierarchy-based image embeddings for semantic image retrieval", WACV 2019 (the loss
for class points at given distances, ``mse`` in the published program: a sum, not a mean, over dimensions).
"""

from torch import Tensor


def squared_distance(vectors: Tensor, points: Tensor) -> Tensor:
    """Return the mean over images of |v - p|².

    Args:
        vectors: float ``[n, d]``.
        points: float ``[n, d]``, the class point of each image.
    """
    return ((vectors - points) ** 2).sum(1).mean()

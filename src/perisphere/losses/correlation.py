"""Losses that draw an image's embedding to the point of its class on the unit sphere.

Source: Barz and Denzler, "Hierarchy-based image embeddings for semantic image retrieval", WACV 2019, eq. (6);
with one-hot class points ``inv_corr`` is the cosine loss of Barz and Denzler, "Deep learning on small
datasets without pre-training using cosine loss", WACV 2020.
"""

from torch import Tensor
from torch.nn import functional


def inv_corr(vectors: Tensor, points: Tensor) -> Tensor:
    """Return the mean of 1 - <p, v/|v|>: one minus the cosine to the class point.

    Args:
        vectors: float ``[n, d]``, outputs of the network; any length.
        points: float ``[n, d]``, unit rows, the class point of each image.

    Returns:
        Scalar, 0 where every image lies on its class's point, 2 where all lie opposite to it.
    """
    return unnorm_corr(functional.normalize(vectors, dim=1), points)


def unnorm_corr(vectors: Tensor, points: Tensor) -> Tensor:
    """Return the mean of 1 - <p, v>, which no length of ``v`` bounds from below.

    Args:
        vectors: float ``[n, d]``; probabilities for ``softmax_corr``, whose network ends in a softmax.
        points: float ``[n, d]``, the class point of each image.
    """
    return (1 - (vectors * points).sum(1)).mean()

"""Center loss: an embedding is drawn to a centre of its class that is learned with it.

Source: Wen et al., "A discriminative feature learning approach for deep face recognition", ECCV 2016,
equation (2).
"""

from torch import Tensor


def center(vectors: Tensor, centers: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over images of |v - c|² / 2.

    Args:
        vectors: float ``[n, d]``, not normalised.
        centers: float ``[classes, d]``, learned by the same gradient, or fixed.
        targets: int64 ``[n]``, rows of ``centers``.
    """
    return ((vectors - centers[targets]) ** 2).sum(1).mean() / 2

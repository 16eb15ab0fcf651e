"""Center loss as re-identification programs compute it: squared distances that are not halved, and bounded.

Source: Wen et al., "A discriminative feature learning approach for deep face recognition", ECCV 2016,
equation (2), in the form of Luo et al., "Bag of tricks and a strong baseline for deep person
re-identification", CVPRW 2019: the distances to all centres, those of other classes set to zero, are clamped
one by one.
"""

from torch import Tensor

from perisphere.losses.distances import full_precision

LEAST, MOST = 1e-12, 1e12


def class_centers(vectors: Tensor, centers: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over images of |v - c|², plus what the clamp leaves of the other classes.

    Args:
        vectors: float ``[n, d]``, not normalised.
        centers: float ``[classes, d]``.
        targets: int64 ``[n]``, rows of ``centers``.
    """
    squared = ((full_precision(vectors) - centers[targets]) ** 2).sum(1)
    return squared.clamp(LEAST, MOST).mean() + (len(centers) - 1) * LEAST

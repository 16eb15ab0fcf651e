"""Hinge ranking loss of DeViSE: the own class's word vector must be the most similar one, by a margin.

Source: Frome et al., "DeViSE: a deep visual-semantic embedding model", NIPS 2013, eq. (1).
"""

from torch import Tensor


def devise(vectors: Tensor, points: Tensor, targets: Tensor, *, margin: float = 0.1) -> Tensor:
    """Return the mean over images of the sum over other classes of max(margin - <v, p_own> + <v, p>, 0).

    Args:
        vectors: float ``[n, d]``, not normalised.
        points: float ``[classes, d]``, unit rows: word vectors, or any class points.
        targets: int64 ``[n]``, rows of ``points``.
        margin: by which the own class must lead.
    """
    similarity = vectors @ points.T
    own = similarity.gather(1, targets[:, None])
    # The own class gives exactly the margin, which is no part of the sum.
    return ((margin - own + similarity).clamp(min=0).sum(1) - margin).mean()

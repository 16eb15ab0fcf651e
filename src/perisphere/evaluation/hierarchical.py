"""Hierarchical precision (HP@k) and the area below its curve (AHP).

Of Deng, Berg & Fei-Fei (CVPR 2011) and Barz & Denzler (WACV 2019): the similarity that the first k images'
classes have to the query's class, divided by the most that k images could have.
"""

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import UsageError

Curves = NDArray[np.float64]


def best_sums(similarity: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what the best possible ranking of the whole gallery gathers with its first 1, 2, ... images.

    Args:
        similarity: of each class to the query's, float64 ``[classes]``.
        counts: gallery images of each class, ``[classes]``.

    Returns:
        float64 ``[n]``, where n is the number of images.
    """
    order = np.argsort(-similarity, kind="stable")
    return np.repeat(similarity[order], counts[order]).cumsum()


def hierarchical_precision(
    similarity: NDArray[np.float64],
    best: NDArray[np.float64],
    place: NDArray[np.int64],
    own: float,
    depth: int,
) -> Curves:
    """Return HP@1 ... HP@depth of rankings for queries of one class, with the queries' own images removed.

    The query's own image leaves the ranking, and the best sums, at the place where it stands: ``best`` loses
    that entry, and each later one the query's similarity to itself. That place is not always the first: an
    image equal to the query may stand before it.

    Args:
        similarity: of the class of each image to the query's, in the order of the ranking, ``[m, t]``.
        best: :func:`best_sums`, ``[t]`` or longer.
        place: of the query's own image in the ranking, ``[m]``; ``t`` or more removes nothing.
        own: the similarity of the class to itself; 1 for a leaf, and less for an inner node by LCS height.
        depth: the largest k; at most ``t - 1`` where a query is in its ranking, else ``t``.

    Returns:
        float64 ``[m, depth]``; a row of NaN where nothing in the gallery is similar at all to the query.
    """
    if not place.any():
        gained, most = similarity[:, 1 : depth + 1], best[1 : depth + 1] - own
    else:
        after = np.arange(depth) >= place[:, None]
        columns = np.arange(depth) + after
        gained = np.take_along_axis(similarity, np.minimum(columns, similarity.shape[1] - 1), axis=1)
        most = best[np.minimum(columns, len(best) - 1)] - own * after
    sums = gained.cumsum(axis=1)
    defined = np.broadcast_to((most > 0).all(axis=-1, keepdims=True), sums.shape)
    return np.divide(sums, most, out=np.full(sums.shape, np.nan), where=defined)


def average_hierarchical_precision(curves: Curves, *, normalised: bool = False) -> NDArray[np.float64]:
    """Return the area below HP@1 ... HP@K by the trapezoid rule, float64 ``[m]``.

    Args:
        curves: ``[m, K]``.
        normalised: divide the K - 1 trapezoids by K - 1 rather than K. The published figure divides by K, so
            that a perfect ranking has (K - 1) / K; normalised it has 1.

    Raises:
        UsageError: fewer than two points span no area.

    Example:
        >>> average_hierarchical_precision(np.ones((1, 4))).tolist()
        [0.75]
        >>> average_hierarchical_precision(np.ones((1, 4)), normalised=True).tolist()
        [1.0]
    """
    count = curves.shape[1]
    if count < 2:
        raise UsageError(f"AHP@{count}: the area below a curve needs at least 2 places.")
    area = curves.sum(axis=1) - (curves[:, 0] + curves[:, -1]) / 2
    return area / (count - 1 if normalised else count)

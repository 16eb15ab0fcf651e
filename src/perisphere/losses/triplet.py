"""Triplet loss on squared distances: the positive must be nearer than every negative, by a margin.

Source: Schroff et al., "FaceNet", CVPR 2015; for retrieval Gordo et al., "End-to-end learning of deep visual
representations for image retrieval", IJCV 2017.
"""

from torch import Tensor

from perisphere.errors import PerisphereError
from perisphere.losses.tuples import NEGATIVE, POSITIVE, query_of


def triplet(vectors: Tensor, labels: Tensor, *, margin: float = 0.1) -> Tensor:
    """Return the sum over all negatives of max(|q - p|² - |q - n|² + margin, 0).

    Args:
        vectors: float ``[n, d]``, unit rows.
        labels: ``[n]``, see :mod:`perisphere.losses.tuples`; each tuple has one positive.
        margin: 0.5 in the published runs.

    Returns:
        Scalar, summed and not averaged.

    Raises:
        PerisphereError: a tuple has no positive or several.
    """
    query = query_of(labels)
    positives = labels == POSITIVE
    starts = query.unique()
    if query[positives].tolist() != starts.tolist():
        raise PerisphereError("triplet: every tuple needs exactly one positive (label 1).")
    squared = ((vectors[query] - vectors) ** 2).sum(1)
    of_positive = squared.new_zeros(len(labels)).index_copy(0, starts, squared[positives])
    return (of_positive[query] - squared + margin).clamp(min=0)[labels == NEGATIVE].sum()

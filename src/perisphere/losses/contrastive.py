"""Contrastive loss: a query is drawn to its positive and pushed from its negatives.

Source: Chopra et al., "Learning a similarity metric discriminatively", CVPR 2005; in the form and with the
margins of Radenovic et al., "Fine-tuning CNN image retrieval with no human annotation", PAMI 2019.
"""

import torch
from torch import Tensor

from perisphere.losses.tuples import NEGATIVE, QUERY, query_of

EPSILON = 1e-6


def contrastive(vectors: Tensor, labels: Tensor, *, margin: float = 0.7) -> Tensor:
    """Return the sum over all tuples of half the squared distances that are wrong.

    With D the distance of a row to its query (:data:`EPSILON` added to every coordinate of the difference, so
    that equal vectors have a gradient): D²/2 for a positive, max(margin - D, 0)²/2 for a negative.

    Args:
        vectors: float ``[n, d]``, unit rows.
        labels: ``[n]``, see :mod:`perisphere.losses.tuples`.
        margin: distance from which a negative no longer counts; 0.85 in the published runs.

    Returns:
        Scalar, summed and not averaged.
    """
    others = labels != QUERY
    queries = vectors[query_of(labels)[others]]
    distance = torch.linalg.vector_norm(queries - vectors[others] + EPSILON, dim=1)
    wrong = torch.where(labels[others] == NEGATIVE, (margin - distance).clamp(min=0), distance)
    return (wrong**2).sum() / 2

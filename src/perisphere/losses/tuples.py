"""How tuples lie in a batch: a query, its positive and its negatives, one tuple after another."""

import torch
from torch import Tensor

from perisphere.errors import PerisphereError

QUERY = -1
POSITIVE = 1
NEGATIVE = 0


def query_of(labels: Tensor) -> Tensor:
    """Return for each row the row of its tuple's query.

    Args:
        labels: ``[n]``: :data:`QUERY` begins a tuple, :data:`POSITIVE` and :data:`NEGATIVE` follow.

    Returns:
        int64 ``[n]``.

    Raises:
        PerisphereError: the first row is no query, or a label is none of the three.
    """
    known = (labels == QUERY) | (labels == POSITIVE) | (labels == NEGATIVE)
    if not bool(known.all()):
        raise PerisphereError("tuple labels: give -1 for a query, 1 for its positive, 0 for its negatives.")
    if len(labels) and int(labels[0]) != QUERY:
        raise PerisphereError("tuple labels: the first row must be a query (-1).")
    starts = torch.nonzero(labels == QUERY).flatten()
    return starts[(labels == QUERY).cumsum(0) - 1]

"""Batch-hard triplet loss: for each anchor its farthest positive and its nearest negative in the batch.

Source: Hermans et al., "In defense of the triplet loss for person re-identification", 2017, equation (5),
and its soft margin log(1 + exp(x)); the cosine distance as in Wieczorek et al., "On the unreasonable
effectiveness of centroids in image retrieval", ICONIP 2021.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from perisphere.losses.distances import Distance, full_precision
from perisphere.losses.hard_triplets import hard_triplets


class BatchHard(NamedTuple):
    """What batch-hard mining found.

    Attributes:
        loss: scalar.
        positive: distance of each row to its farthest positive, float ``[n]``; 0 where it is no anchor.
        negative: distance of each row to its nearest negative, float ``[n]``; 0 where it is no anchor.
    """

    loss: Tensor
    positive: Tensor
    negative: Tensor


def batch_hard(
    vectors: Tensor,
    labels: Tensor,
    *,
    margin: float | None = 0.5,
    distance: Distance = "euclidean",
    anchors: Tensor | None = None,
    present: Tensor | None = None,
) -> BatchHard:
    """Return the mean over anchors of max(d_ap - d_an + margin, 0), and the distances.

    An anchor is among its own positives; one without a negative does not count.

    Args:
        vectors: float ``[n, d]``, not normalised.
        labels: int ``[n]``.
        margin: ``None``: the soft margin, log(1 + exp(d_ap - d_an)).
        distance: between vectors.
        anchors: bool ``[n]``, rows that the mean is over; default all.
        present: bool ``[n]``, rows that may be positives and negatives; default all.
    """
    everyone = torch.ones_like(labels, dtype=torch.bool)
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = full_precision(vectors)
        found = hard_triplets(
            vectors,
            vectors.detach() @ vectors.detach().T,
            labels[:, None] == labels[None],
            everyone if anchors is None else anchors,
            everyone if present is None else present,
            margin=margin,
            distance=distance,
        )
    positive, negative = (apart.where(found.counted, 0) for apart in (found.positive, found.negative))
    return BatchHard(found.loss, positive, negative)

"""Batch-hard triplet loss: for each anchor its farthest positive and its nearest negative in the batch.

Source: Hermans et al., "In defense of the triplet loss for person re-identification", 2017, equation (5),
and its soft margin log(1 + exp(x)); the cosine distance as in Wieczorek et al., "On the unreasonable
effectiveness of centroids in image retrieval", ICONIP 2021.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from perisphere.losses.distances import Distance, distances, inner_products


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


class Hardest(NamedTuple):
    """Hardest positive and negative of anchors; zero where an anchor does not count.

    Attributes:
        positive: float ``[..., n]``.
        negative: float ``[..., n]``.
        counted: bool ``[..., n]``, anchors that have both.
    """

    positive: Tensor
    negative: Tensor
    counted: Tensor

    def losses(self, margin: float | None) -> Tensor:
        """Return the triplet loss of each anchor, ``[..., n]``, zero where it does not count."""
        apart = self.positive - self.negative
        each = functional.softplus(apart) if margin is None else (apart + margin).clamp(min=0)
        return each.where(self.counted, 0)


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
    anchors = everyone if anchors is None else anchors
    apart = distances(inner_products(vectors), distance)
    found = hardest(apart, labels[:, None] == labels[None], anchors, everyone if present is None else present)
    loss = found.losses(margin).sum() / found.counted.sum().clamp(min=1)
    return BatchHard(loss, found.positive.detach(), found.negative.detach())


def hardest(apart: Tensor, same: Tensor, anchors: Tensor, present: Tensor) -> Hardest:
    """Find the farthest positive and the nearest negative of each anchor.

    Args:
        apart: distances, float ``[..., n, n]``.
        same: whether two rows have one label, bool ``[n, n]``.
        anchors: bool ``[..., n]``.
        present: rows that may be positives and negatives, bool ``[..., n]``.
    """
    others = present[..., None, :]
    positive = apart.where(same & others, -math.inf).max(-1).values
    negative = apart.where(~same & others, math.inf).min(-1).values
    # An infinity would be a NaN in the gradient of the soft margin, even where the loss leaves it out.
    counted = anchors & (positive > -math.inf) & (negative < math.inf)
    return Hardest(positive.where(counted, 0), negative.where(counted, 0), counted)

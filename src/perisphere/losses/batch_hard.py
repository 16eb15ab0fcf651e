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

from perisphere.losses.distances import Distance, distance_of, distances, inner_products


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
    """Hardest positive and negative of anchors; of no meaning where an anchor does not count.

    Attributes:
        positive: distance, float ``[..., n]``.
        negative: distance, float ``[..., n]``.
        counted: bool ``[..., n]``, anchors that have both.
    """

    positive: Tensor
    negative: Tensor
    counted: Tensor

    def losses(self, margin: float | None) -> Tensor:
        """Return the triplet loss of each anchor, ``[..., n]``, zero where it does not count."""
        apart = self.positive - self.negative
        each = functional.softplus(apart) if margin is None else (apart + margin).clamp(min=0)
        return each * self.counted


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
    same = labels[:, None] == labels[None]
    found = hardest(
        inner_products(vectors),
        same,
        everyone if anchors is None else anchors,
        everyone if present is None else present,
        distance,
    )
    loss = found.losses(margin).sum() / found.counted.sum().clamp(min=1)
    positive, negative = (apart.detach() * found.counted for apart in found[:2])
    return BatchHard(loss, positive, negative)


def hardest(products: Tensor, same: Tensor, anchors: Tensor, present: Tensor, distance: Distance) -> Hardest:
    """Find the farthest positive and the nearest negative of each anchor.

    The search needs no gradient: that flows through the pairs that were found, and through no other.

    Args:
        products: inner products of the rows, float ``[..., n, n]``.
        same: whether two rows have one label, bool ``[n, n]``.
        anchors: bool ``[..., n]``.
        present: rows that may be positives and negatives, bool ``[..., n]``.
        distance: between rows.
    """
    with torch.no_grad():
        apart, others = distances(products, distance), present[..., None, :]
        farthest = apart.where(same & others, -1).max(-1)  # no distance is below zero
        nearest = apart.where(~same & others, math.inf).min(-1)
        counted = anchors & (farthest.values >= 0) & (nearest.values < math.inf)
        found = torch.stack([farthest.indices, nearest.indices])
    squares = products.diagonal(dim1=-2, dim2=-1)
    pairs = products.expand(2, *products.shape).gather(-1, found[..., None]).squeeze(-1)
    ends = squares.expand(2, *squares.shape).gather(-1, found)
    positive, negative = distance_of(pairs, squares, ends, distance).unbind()
    return Hardest(positive, negative, counted)

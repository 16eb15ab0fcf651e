"""Triplet loss over the farthest positive and the nearest negative of each anchor, with its gradient.

All that the loss needs of the vectors are their inner products, so its gradient is a small matrix times the
vectors. Written down instead of recorded, it costs one product of the size of the first, and a dozen small
operations; recording made them four times as many.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from perisphere.losses.distances import Distance, distances, slopes


class HardTriplets(NamedTuple):
    """The loss, and what was mined.

    Attributes:
        loss: scalar, the mean over problems that count of the mean over their anchors that count.
        positive: distance of each anchor to its farthest positive, float ``[..., n]``.
        negative: distance of each anchor to its nearest negative, float ``[..., n]``.
        counted: bool ``[..., n]``, anchors that have both; where not, distances mean nothing.
        shares: what an anchor that counts weighs in the mean, float ``[...]``.
    """

    loss: Tensor
    positive: Tensor
    negative: Tensor
    counted: Tensor
    shares: Tensor


def hard_triplets(
    vectors: Tensor,
    products: Tensor,
    same: Tensor,
    anchors: Tensor,
    present: Tensor,
    *,
    margin: float | None,
    distance: Distance,
    combinations: Tensor | None = None,
) -> HardTriplets:
    """Return the mean over anchors of max(d_ap - d_an + margin, 0), of one problem or several.

    Args:
        vectors: float ``[m, d]`` in at least single precision; the gradient goes to them.
        products: inner products of the rows of each problem, float ``[..., n, n]``; without gradient.
        same: whether two rows have one label, bool ``[n, n]``.
        anchors: bool ``[..., n]``.
        present: rows that may be positives and negatives, bool ``[..., n]``.
        margin: ``None``: the soft margin.
        distance: between rows.
        combinations: float ``[..., n, m]``, the rows as combinations of the vectors; ``None``: the vectors
            themselves.
    """
    with torch.no_grad():
        absent = ~present[..., None, :]
        apart = distances(products, distance)
        barred = torch.stack([absent | ~same, absent | same])
        extreme = torch.stack([apart, -apart]).masked_fill_(barred, -math.inf).max(-1)
        excess = extreme.values.sum(0)
        counted = anchors & (excess != -math.inf)  # what is not a number counts, and shows
        excess.masked_fill_(~counted, -math.inf)
        counts = counted.sum(-1)
        shares = products.new_ones(()) / (counts.clamp(min=1) * (counts > 0).sum().clamp(min=1))
        each, steep = _loss(excess, margin)
        loss = (each * shares[..., None]).sum()
        by_pair = torch.stack([steep, -steep]) * shares[..., None]
        found = extreme.values.abs(), extreme.indices
        pull = _pull(products, *found, by_pair, distance)
        if combinations is not None:
            pull = (combinations.mT @ pull @ combinations).sum(0)
    positive, negative = found[0]
    return HardTriplets(_Pulled.apply(loss, vectors, pull), positive, negative, counted, shares)  # type: ignore[no-untyped-call]


def _loss(excess: Tensor, margin: float | None) -> tuple[Tensor, Tensor]:
    """Return the loss of each anchor and its slope; zero at minus infinity."""
    if margin is None:
        return functional.softplus(excess), excess.sigmoid()
    return (excess + margin).clamp(min=0), (excess + margin > 0).to(excess.dtype)


def _pull(products: Tensor, apart: Tensor, others: Tensor, by_pair: Tensor, distance: Distance) -> Tensor:
    """Return the matrix that turns rows into the gradient, ``[..., n, n]``.

    Args:
        products: inner products of the rows, ``[..., n, n]``.
        apart: distance of each row to its farthest positive and nearest negative, ``[2, ..., n]``.
        others: which rows these are, ``[2, ..., n]``.
        by_pair: derivative of the loss by these distances, ``[2, ..., n]``.
        distance: between rows.
    """
    slope = slopes(products.expand(2, *products.shape), others, apart, distance)
    product, own, theirs = (by_pair * part for part in slope)
    by_product = torch.zeros_like(products).scatter_add_(-1, others.movedim(0, -1), product.movedim(0, -1))
    by_square = own.sum(0)
    for side in (0, 1):
        by_square.scatter_add_(-1, others[side], theirs[side])
    by_product.diagonal(dim1=-2, dim2=-1).add_(by_square)
    return by_product + by_product.mT


class _Pulled(torch.autograd.Function):
    """A value whose gradient by the vectors is ``pull @ vectors``."""

    @staticmethod
    def forward(context: Any, value: Tensor, vectors: Tensor, pull: Tensor) -> Tensor:
        context.save_for_backward(vectors, pull)
        return value.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        vectors, pull = context.saved_tensors
        with torch.autocast(vectors.device.type, enabled=False):
            return None, (outer[0] * pull) @ vectors, None

"""Correspondence losses: features of the same point in two photos are alike.

Source: Wu et al., "Towers of Babel: combining images, language, and 3D geometry for learning multimodal
vision", ICCV 2021, section 4.2.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, relu

from perisphere.errors import PerisphereError
from perisphere.losses.sampled_features import sample_features

Correspondence = Literal["contrastive", "contrastive_within", "triplet", "squared"]
"""contrastive: the partner's point is to be told from random points of all partners; contrastive_within: from
points of the own partner, far from it along one axis; triplet: it is to be nearer, by a margin, than another
point of the partner; squared: mean squared difference."""

EPSILON = 1e-6
"""Added to the length of a vector that is divided by it."""


class Negatives(NamedTuple):
    """Points that are not the query's.

    Attributes:
        images: int ``[B, N]``, the pair whose partner each negative lies in.
        places: float ``[B, K, N, 2]``, row and column of each negative of each point, fractions of the image;
            beyond 0..1 the feature is zero.
    """

    images: Tensor
    places: Tensor


def correspondence(
    features: Tensor,
    points: Tensor,
    real: Tensor,
    *,
    kind: Correspondence = "contrastive",
    negatives: Negatives | None = None,
    tau: float = 0.07,
    normalise: bool = True,
    margin: float = 3.0,
    align_corners: bool = True,
) -> Tensor:
    """Return the sum over the pairs of the mean loss over a pair's points.

    With q the feature of a point in the query photo, p in the partner, and n_j at the j-th negative: cross
    entropy of ``[q.p, q.n_1 ... q.n_N] / tau`` with p as the target (contrastive, of pairs with two points or
    more), ``max(0, margin + |q - p| - |q - n_1|)`` (triplet) or the mean over the channels of ``(q - p)²``
    (squared). Gradients flow into all of them.

    Args:
        features: float ``[2B, c, h, w]``: B queries, then their partners.
        points: float ``[B, K, 4]``: row and column in the query, then in the partner, fractions of the image.
        real: bool ``[B, K]``, false where a place holds no point.
        kind: which loss.
        negatives: see :func:`draw_negatives`; needed but for `squared`.
        tau: temperature of the contrastive losses.
        normalise: divide each feature by its length and :data:`EPSILON` first.
        margin: of the triplet; between unit vectors one above 2 is never met.
        align_corners: see :func:`~perisphere.losses.sampled_features.sample_features`.

    Returns:
        Scalar, at least in single precision; 0 where there is no pair with points.

    Raises:
        PerisphereError: features that are no whole number of pairs, or no negatives where they are needed.
    """
    if len(features) != 2 * len(points):
        raise PerisphereError(
            f"correspondence: {len(features)} images are not two for each of {len(points)} pairs; give the "
            "queries and then their partners."
        )
    if kind != "squared" and negatives is None:
        raise PerisphereError(f"correspondence: {kind} needs negatives; take them from draw_negatives.")
    with torch.autocast(features.device.type, enabled=False):
        least = 2 if kind.startswith("contrastive") else 1
        shares = _shares(real, least, torch.promote_types(features.dtype, torch.float32))
        pair, point = shares.nonzero(as_tuple=True)
        used = None if kind == "squared" else negatives
        query, others = _sampled(features, points, pair, point, used, align_corners)
        if kind.startswith("contrastive"):
            losses = _contrastive(_products(query, others, normalise) / tau)
        else:
            if normalise:
                query, others = query / _lengths(query), others / _lengths(others)
            losses = _squared(query, others) if kind == "squared" else _triplet(query, others, margin)
        return (losses * shares[pair, point]).sum()


def draw_negatives(
    kind: Correspondence, points: Tensor, count: int = 16, *, generator: torch.Generator | None = None
) -> Negatives | None:
    """Draw points that are not the query's; ``None`` for `squared`, which needs none.

    contrastive: each negative of a pair is a point anywhere in one of the B partners, which may be its own.
    contrastive_within: half of them (rounded down) lie a quarter to three quarters of the height from the
    positive and anywhere across, the others likewise across; beyond an edge they go on at the opposite one.
    triplet: one, below and to the right of the positive by up to the whole photo, where it may lie outside.

    Args:
        kind: of loss.
        points: float ``[B, K, 4]``, as of :func:`correspondence`.
        count: N; `triplet` has one.
        generator: draws on the processor, so that a seed says the same on every device.

    Raises:
        PerisphereError: fewer than two negatives for a contrastive loss.
    """
    if kind == "squared":
        return None
    if kind == "triplet":
        count = 1
    elif count < 2:
        raise PerisphereError(f"correspondence: {count} negatives are too few for {kind}; give 2 or more.")
    pairs, most, _ = points.shape
    own = torch.arange(pairs)[:, None].expand(pairs, count)
    drawn = torch.rand(pairs, most, count, 2, generator=generator, dtype=torch.float32)
    if kind == "contrastive":
        own = torch.randint(pairs, (pairs, count), generator=generator)
    drawn = drawn.to(points)
    partner = points[:, :, None, 2:]
    if kind == "triplet":
        drawn = drawn + partner
    elif kind == "contrastive_within":
        drawn = _far(drawn, partner)
    return Negatives(own.to(points.device), drawn)


def _far(drawn: Tensor, partner: Tensor) -> Tensor:
    """Move points, drawn in 0..1, a quarter to three quarters away from the partner's along one axis."""
    away = (partner + 0.25 + drawn / 2) % 1
    half = drawn.shape[2] // 2
    down = torch.stack([away[:, :, :half, 0], drawn[:, :, :half, 1]], 3)
    across = torch.stack([drawn[:, :, half:, 0], away[:, :, half:, 1]], 3)
    return torch.cat([down, across], 2)


def _shares(real: Tensor, least: int, dtype: torch.dtype) -> Tensor:
    """Return each point's share of its pair's mean, ``[B, K]``; 0 in pairs with too few points."""
    counts = real.sum(1, keepdim=True, dtype=dtype)
    return real * (counts >= least) / counts.clamp(min=1)


def _sampled(
    features: Tensor,
    points: Tensor,
    pair: Tensor,
    point: Tensor,
    negatives: Negatives | None,
    align_corners: bool,
) -> tuple[Tensor, Tensor]:
    """Return the features of P points ``[P, c]``, and of each's positive and negatives ``[P, 1 + N, c]``.

    Args:
        features: float ``[2B, c, h, w]``.
        points: float ``[B, K, 4]``.
        pair: int ``[P]``, with ``point`` the index of each point.
        point: int ``[P]``.
        negatives: as drawn.
        align_corners: as of :func:`correspondence`.
    """
    queries, partners = features.chunk(2)
    rows = points[pair, point].view(-1, 2, 2)
    images, places = pair[:, None], rows[:, 1:]
    if negatives is not None:
        images = torch.cat([images, negatives.images[pair]], 1)
        places = torch.cat([places, negatives.places[pair, point]], 1)
    query = sample_features(queries, pair, rows[:, 0], align_corners)
    others = sample_features(partners, images.flatten(), places.flatten(0, 1), align_corners)
    return query, others.view(*images.shape, features.shape[1])


def _lengths(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=-1, keepdim=True) + EPSILON


def _products(query: Tensor, others: Tensor, normalise: bool) -> Tensor:
    """Return the products of ``[p, c]`` with each of ``[p, 1 + N, c]``, ``[p, 1 + N]``."""
    products = torch.bmm(others, query[:, :, None])
    if normalise:  # dividing the products, and not the vectors, spares a copy of them
        products = products / (_lengths(others) * _lengths(query)[:, None])
    return products[..., 0]


def _contrastive(logits: Tensor) -> Tensor:
    return cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long), reduction="none")


def _triplet(query: Tensor, others: Tensor, margin: float) -> Tensor:
    distance = torch.linalg.vector_norm(query[:, None] - others, dim=2)
    return relu(margin + distance[:, 0] - distance[:, 1])


def _squared(query: Tensor, others: Tensor) -> Tensor:
    return (query - others[:, 0]).square().mean(1)

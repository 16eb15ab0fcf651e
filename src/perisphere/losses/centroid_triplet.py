"""Centroid triplet loss: a photo lies nearer to the centroid of its identity than to any other centroid.

Source: Wieczorek, Rychalska and Dabrowski, "On the unreasonable effectiveness of centroids in image
retrieval", ICONIP 2021, equation (3).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from perisphere.errors import PerisphereError
from perisphere.losses.distances import Distance, full_precision
from perisphere.losses.hard_triplets import hard_triplets

NOWHERE = 1e-7
"""A centroid with a length up to this has no direction, and counts as missing."""


class CentroidTriplet(NamedTuple):
    """The loss and what is to be watched beside it, all scalars; means over the problems that count.

    Attributes:
        loss: the loss.
        positive: mean distance of queries and centroids to their farthest positive.
        negative: mean distance of queries and centroids to their nearest negative.
        norm: mean length of the centroids.
    """

    loss: Tensor
    positive: Tensor
    negative: Tensor
    norm: Tensor


def centroid_triplet(
    vectors: Tensor,
    labels: Tensor,
    real: Tensor,
    instances: int,
    *,
    margin: float | None = 0.5,
    distance: Distance = "euclidean",
) -> CentroidTriplet:
    """Return the loss of K problems: in the k-th, the k-th photo of every identity is the query.

    Its identity's centroid is the mean of the other real photos. Each problem is a batch-hard triplet loss
    over queries and centroids together, all of them anchors. A query that is not real, or has no centroid,
    takes no part, and a problem counts where two identities or more do; the loss is the mean over those. It
    is zero where there are none.

    All K problems are computed at once: their vectors are fixed linear combinations of the batch, so the
    products that their distances need follow from those of the batch.

    Args:
        vectors: float ``[identities * K, d]``, the photos of an identity one after another; not normalised.
        labels: int ``[identities * K]``, one label in each run of K.
        real: bool ``[identities * K]``, false where a place has no photo.
        instances: K, at least 2.
        margin: ``None``: the soft margin.
        distance: between vectors.

    Raises:
        PerisphereError: fewer than 2 instances, or rows that are no whole number of identities.
    """
    if instances < 2 or len(vectors) % instances:
        raise PerisphereError(
            f"centroid_triplet: {len(vectors)} vectors are no whole number of identities with {instances} "
            "instances each, two or more; mend the sampler or instances."
        )
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = full_precision(vectors)
        fixed = vectors.detach()
        combinations, present = _problems(real.view(-1, instances), fixed.dtype)
        products = combinations @ (fixed @ fixed.T) @ combinations.mT
        centroids = slice(len(labels) // instances, None)
        norms = products.diagonal(dim1=-2, dim2=-1)[:, centroids].clamp(min=0).sqrt()
        present = present & ~_twice(norms <= NOWHERE)  # what is not a number stays, and shows
        names = _twice(labels[::instances])
        found = hard_triplets(
            vectors,
            products,
            names[:, None] == names[None],
            present,
            present,
            margin=margin,
            distance=distance,
            combinations=combinations,
        )
        watched = torch.stack([found.positive, found.negative, _twice(norms)])
        return CentroidTriplet(found.loss, *(watched.masked_fill_(~found.counted, 0).sum(-1) @ found.shares))


def _problems(real: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Write queries and centroids as combinations of the batch's ``n = identities * K`` vectors.

    Returns:
        float ``[K, 2 * identities, n]``, queries before centroids, and which of them are there, bool
        ``[K, 2 * identities]``: those of identities that have both.
    """
    identities, instances = real.shape
    options: Any = {"dtype": dtype, "device": real.device}
    queries = torch.eye(real.numel(), **options).view(identities, instances, -1).transpose(0, 1)
    own = torch.eye(identities, **options)[..., None].expand(-1, -1, instances).reshape(identities, -1)
    others = (own - queries) * real.flatten()
    counts = others.sum(-1)
    centroids = others / counts.clamp(min=1)[..., None]
    return torch.cat([queries, centroids], 1), _twice(real.T & (counts > 0))


def _twice(values: Tensor) -> Tensor:
    """Say of queries and of centroids what holds for identities, ``[..., 2 * identities]``."""
    return torch.cat([values, values], -1)  # several times as fast as repeat

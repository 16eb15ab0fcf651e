"""Adaptive cosine margin loss: a photo is nearer to its tags than to others, by more the less alike they are.

Source: Wang et al., "Weakly supervised deep hyperspherical quantization for image retrieval", AAAI 2021,
section on the embedding loss; the fixed margin is its comparison.

A hinge for every present and absent tag of a photo makes a table of photos x tags x tags, of which a photo
with five of a thousand tags fills five rows. Only those rows are computed, a block of them at a time, and
with their gradient, which is no more than a count of the hinges that are open.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from perisphere.losses.tag_pairs import TagPairs

Negatives = Literal["all", "hard"]
BLOCK = 2**17
"""Numbers of a block, so that it stays in a processor's cache."""


def tag_margins(tag_vectors: Tensor, gamma: float = 1.0) -> Tensor:
    """Return the margin between any two tags, ``2^(1-gamma) (1 - cos)^gamma``, float ``[t, t]``.

    It is 0 between a tag and itself, and 2 between opposite ones whatever ``gamma`` is.

    Args:
        tag_vectors: float ``[t, d]``, of any length but zero.
        gamma: how the margin grows between the two; above 0.
    """
    with torch.autocast(tag_vectors.device.type, enabled=False):
        unit = functional.normalize(tag_vectors, dim=1)
        return 2 ** (1 - gamma) * (1 - unit @ unit.T).clamp(min=0) ** gamma


def adaptive_margin(
    vectors: Tensor,
    tag_vectors: Tensor,
    pairs: TagPairs,
    margins: Tensor | float,
    *,
    negatives: Negatives = "all",
) -> Tensor:
    """Return the mean over present and absent tags of ``max(0, margin - (cos to present - cos to absent))``.

    With ``hard`` negatives each photo has only the ``k`` absent tags that it is nearest to, ``k`` the largest
    number of present tags in the batch (or of absent ones that every photo has, if that is less). The
    published program could draw a present tag among them, which this does not.

    Args:
        vectors: float ``[b, d]``, photos; not normalised.
        tag_vectors: float ``[t, d]``; not normalised. They are not learned.
        pairs: the present tags; a photo without any counts nothing.
        margins: float ``[t, t]``, see :func:`tag_margins`, or the same margin for all.
        negatives: which absent tags count.
    """
    tag_vectors = tag_vectors.detach().to(torch.promote_types(tag_vectors.dtype, torch.float32))
    with torch.autocast(vectors.device.type, enabled=False):
        unit = functional.normalize(vectors.to(tag_vectors.dtype), dim=1)
        cosines = unit @ functional.normalize(tag_vectors, dim=1).T
        absent = cosines.index_put((pairs.photos, pairs.tags), cosines.new_tensor(-torch.inf))
        own = cosines[pairs.photos, pairs.tags]
        present = torch.bincount(pairs.photos, minlength=len(vectors))
        if negatives == "all":
            count = (present * (len(tag_vectors) - present)).sum()
            return hinges(own, absent, pairs.photos, _rows(margins, pairs.tags)) / count.clamp(min=1)
        most = int(present.max())
        nearest = absent.topk(min(most, len(tag_vectors) - most), dim=1)
        columns = _columns(margins, pairs, nearest.indices)
        return hinges(own, nearest.values, pairs.photos, columns) / max(
            len(pairs.tags) * nearest.indices.shape[1], 1
        )


def _rows(margins: Tensor | float, tags: Tensor) -> "Margins":
    """Return the margins of a block of present tags to all tags."""
    if isinstance(margins, float | int):
        return lambda block: margins
    return lambda block: margins[tags[block]]


def _columns(margins: Tensor | float, pairs: TagPairs, chosen: Tensor) -> "Margins":
    """Return the margins of a block of present tags to those chosen for their photo, ``chosen [b, k]``."""
    if isinstance(margins, float | int):
        return lambda block: margins
    return lambda block: margins[pairs.tags[block, None], chosen[pairs.photos[block]]]


Margins = Callable[[slice], Tensor | float]
"""A block of pairs to their margins, ``[p, k]`` or one for all."""


def hinges(own: Tensor, others: Tensor, photos: Tensor, margins: Margins) -> Tensor:
    """Return the sum over pairs and negatives of ``max(0, margin - own + other)``, with its gradient.

    Args:
        own: float ``[p]``, the cosine of each pair.
        others: float ``[b, k]``, cosines of each photo to its negatives; minus infinity counts nothing.
        photos: int64 ``[p]``, which photo each pair is of.
        margins: a block of pairs to their margins.
    """
    with torch.no_grad():
        total = own.new_zeros((), dtype=torch.float64)
        by_own, by_others = torch.zeros_like(own), torch.zeros_like(others)
        step = max(BLOCK // max(others.shape[1], 1), 1)
        for start in range(0, len(own), step):
            block = slice(start, start + step)
            excess = others[photos[block]].sub_(own[block, None]).add_(margins(block)).clamp_(min=0)
            total += excess.sum(dtype=torch.float64)
            opened = excess.sign_()
            by_own[block] = -opened.sum(1)
            by_others.index_add_(0, photos[block], opened)
    return _Given.apply(total.to(own.dtype), own, others, by_own, by_others)  # type: ignore[no-untyped-call]


class _Given(torch.autograd.Function):
    """A value whose gradient by two tensors is known."""

    @staticmethod
    def forward(context: Any, value: Tensor, own: Tensor, others: Tensor, *by: Tensor) -> Tensor:
        context.save_for_backward(*by)
        return value.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        by_own, by_others = context.saved_tensors
        return None, outer[0] * by_own, outer[0] * by_others, None, None

"""Losses of class scores against the classes that an image shows.

Source: the four that Wu et al., "Towers of Babel", ICCV 2021, offer; all but `separate` are those of PyTorch.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from perisphere.errors import PerisphereError
from perisphere.losses.distances import full_precision

ClassLoss = Literal["cross_entropy", "soft_margin", "hinge", "separate"]
"""cross_entropy: softmax, of the primary class; soft_margin: one logistic loss a class; hinge: every shown
class is to score 1 above every other; separate: as soft_margin, a shown class weighing as its rarity."""

PUBLISHED_COUNTS = (1352, 874, 1050, 629, 1063, 932, 1029, 957, 956, 949)
"""Images of each of the ten concepts, in their order."""

PUBLISHED_IMAGES = 8675


def class_loss(
    scores: Tensor,
    labels: Tensor,
    kind: ClassLoss = "cross_entropy",
    *,
    primary: Tensor | None = None,
    rarity: Tensor | None = None,
) -> Tensor:
    """Return the mean loss over the images that have a label; 0 where none has.

    Args:
        scores: float ``[n, C]``, before softmax or sigmoid.
        labels: ``[n, C]`` multi-hot, in any dtype; images of zeros do not count.
        kind: which loss.
        primary: int ``[n]``, the class of `cross_entropy`; needed where an image has several labels. Images
            without a label may have any value.
        rarity: float ``[C]`` for `separate`, see :func:`rarities`; by default that of the published lists,
            for their ten concepts.

    Raises:
        PerisphereError: an unknown kind, cross entropy of several labels without ``primary``, or `separate`
            of other than ten classes without ``rarity``.
    """
    known = (labels != 0).any(1)
    scores, labels = full_precision(scores[known]), labels[known]
    if not len(scores):
        return scores.sum()
    if kind == "cross_entropy":
        chosen = _only(labels) if primary is None else primary[known]
        return functional.cross_entropy(scores, chosen)
    if kind == "soft_margin":
        return functional.multilabel_soft_margin_loss(scores, labels.to(scores.dtype))
    if kind == "hinge":
        return functional.multilabel_margin_loss(scores, _indices(labels))
    if kind == "separate":
        weight = _published(scores) if rarity is None else rarity.to(scores)
        return functional.binary_cross_entropy_with_logits(scores, labels.to(scores.dtype), pos_weight=weight)
    raise PerisphereError(
        f"class_loss: no loss is named {kind!r}; choose cross_entropy, soft_margin, hinge or separate."
    )


def rarities(counts: Tensor, images: int) -> Tensor:
    """Return how much more images lack a class than show it, float ``[C]``: the weights of `separate`.

    Args:
        counts: ``[C]``, images that show the class; one that none shows weighs as one that a single shows.
        images: how many there are.
    """
    counts = counts.clamp(min=1)
    return (images - counts) / counts


def _published(scores: Tensor) -> Tensor:
    if scores.shape[1] != len(PUBLISHED_COUNTS):
        raise PerisphereError(
            f"class_loss: separate has published counts of {len(PUBLISHED_COUNTS)} classes, not of "
            f"{scores.shape[1]}; give rarity."
        )
    return rarities(scores.new_tensor(PUBLISHED_COUNTS), PUBLISHED_IMAGES)


def _only(labels: Tensor) -> Tensor:
    """Return the class of each row of one label, int ``[n]``."""
    if bool((labels.count_nonzero(1) > 1).any()):
        raise PerisphereError(
            "class_loss: cross_entropy learns one class, and an image has several; give primary, or choose "
            "soft_margin, hinge or separate."
        )
    return labels.to(torch.int8).argmax(1)


def _indices(labels: Tensor) -> Tensor:
    """Write each multi-hot row as its classes and then -1, int ``[n, C]``."""
    numbers = torch.arange(1, labels.shape[1] + 1, device=labels.device)
    return (numbers * (labels != 0)).sort(1, descending=True).values - 1

"""From score maps to the scores of a photo's classes, and to class activation maps.

Sources: normalised global weighted pooling and the focal mask penalty: Araslanov and Roth, CVPR 2020,
section 3.3; class activation maps: Zhou et al., CVPR 2016, brought to one maximum as Ahn and Kwak, CVPR 2018.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

CAM_EPS = 1e-5


def weighted_pool(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the mean score of each channel, weighted by its mask: ``sum(m y) / (1 + sum(m))``.

    Args:
        maps: scores ``[n, c, h, w]``.
        masks: of the same shape, 0 to 1.

    Returns:
        ``[n, c]``.
    """
    return (maps * masks).sum((2, 3)) / (1 + masks.sum((2, 3)))


def focal_penalty(share: Tensor, p: float = 3.0, floor: float = 0.01) -> Tensor:
    """Return ``(1 - a)^p log(floor + a)``: well below zero for a class whose mask covers almost nothing.

    Args:
        share: mean of a mask, 0 to 1, any shape.
        p: how soon the penalty fades as the mask grows.
        floor: lambda in the paper; the penalty of an empty mask is its logarithm.
    """
    return (1 - share) ** p * torch.log(floor + share)


def activation_masks(maps: Tensor, background: float = 0.1) -> Tensor:
    """Return class activation maps over their maximum, behind a constant background.

    Args:
        maps: class scores ``[n, c, h, w]``, without background.
        background: its value everywhere; classes below it lose.

    Returns:
        ``[n, 1 + c, h, w]``, background first.
    """
    positive = F.relu(maps)
    masks = positive / (CAM_EPS + positive.amax((2, 3), keepdim=True))
    return F.pad(masks, (0, 0, 0, 0, 1, 0), value=background)

"""Pseudo ground truth: the confident pixels of a network's own masks.

Source: Araslanov and Roth, "Single-stage semantic segmentation from image labels", CVPR 2020, section 4.3.
"""

import torch
from torch import Tensor


def labelled_masks(masks: Tensor, labels: Tensor) -> Tensor:
    """Return the masks with those of classes that an image does not show set to zero; background stays.

    Args:
        masks: float ``[n, 1 + C, h, w]``, background first.
        labels: ``[n, C]`` multi-hot.
    """
    shown = torch.cat([torch.ones_like(labels[:, :1]), labels], 1)
    return masks * shown[:, :, None, None].to(masks.dtype)


@torch.no_grad()
def pseudo_masks(
    masks: Tensor, background: float = 0.7, foreground: float = 0.6, floor: float = 0.2
) -> Tensor:
    """Say which pixels surely belong to a channel: those above a share of the channel's highest value.

    A pixel that would belong to two channels or more belongs to none. Nothing is learned through it.

    Args:
        masks: float ``[n, c, h, w]``, background first, in 0..1.
        background: share of the highest background value.
        foreground: share of the highest value of each class.
        floor: least value of a threshold, in every channel.

    Returns:
        ``[n, c, h, w]`` like ``masks``, 1 where the pixel belongs to the channel and 0 elsewhere: at most a
        single 1 a pixel; none where nobody can tell.
    """
    thresholds = masks.amax((2, 3), keepdim=True)
    thresholds[:, :1] *= background
    thresholds[:, 1:] *= foreground
    sure = masks > thresholds.clamp_(min=floor)
    sure &= sure.sum(1, keepdim=True) == 1
    return sure.to(masks.dtype)

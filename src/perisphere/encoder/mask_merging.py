"""One set of masks out of those of a picture at several scales, and mirrored."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate


class MaskEntry(NamedTuple):
    """Masks of the picture at one scale.

    Attributes:
        masks: ``[1 + C, h', w']``, the background first, of any size.
        mirrored: whether the picture was.
    """

    masks: Tensor
    mirrored: bool


def merged(entries: Sequence[MaskEntry], kept: Tensor, size: tuple[int, int]) -> Tensor:
    """Average masks at the size of the picture, of the classes that are kept.

    Each is resized by itself (bilinear, corners not aligned), so that memory is that of two sets.

    Args:
        entries: at least one.
        kept: bool ``[C]``; the masks of the others become 0. The background stays.
        size: height and width of the picture in pixels.

    Returns:
        ``[1 + C, h, w]`` of the masks' dtype.
    """
    total: Tensor | None = None
    for masks, mirrored in entries:
        resized = interpolate(masks[None], size=size, mode="bilinear", align_corners=False)[0]
        resized = resized.flip(-1) if mirrored else resized
        total = resized if total is None else total.add_(resized)
    if total is None:
        raise ValueError("no masks to merge")
    total[1:] *= kept.to(total)[:, None, None]
    return total.div_(len(entries))


def raise_background(masks: Tensor, power: float) -> Tensor:
    """Return masks whose background (the first channel) is raised to ``power``; above 1 it shrinks.

    Source: the published inference of "Towers of Babel" (ICCV 2021) uses 4.
    """
    return torch.cat([masks[:1] ** power, masks[1:]])

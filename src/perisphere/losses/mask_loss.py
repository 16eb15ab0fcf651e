"""Mask loss: a network learns its own confident pixels, all classes of an image alike.

Source: Araslanov and Roth, "Single-stage semantic segmentation from image labels", CVPR 2020, section 4.3.
"""

from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from perisphere.losses.distances import full_precision

NOBODY = -1
"""Class of pixels that belong to no channel."""


def mask_loss(maps: Tensor, pseudo: Tensor, labels: Tensor, balanced: bool = True) -> Tensor:
    """Return the cross entropy of the score maps against pseudo masks, image by image.

    Balanced: a pixel weighs ``(T - t) / (1 + T)`` where its channel has t of the T pixels that belong to any;
    the mean is over **all** pixels. An image counts only where every class of its labels, and the background,
    has a pixel: a class that vanished could not come back.

    Args:
        maps: float ``[n, 1 + C, h', w']``, scores with the background first; resized to the pseudo masks,
            bilinearly with aligned corners.
        pseudo: ``[n, 1 + C, h, w]`` of zeros and ones, at most a single one a pixel;
            see :func:`~perisphere.losses.pseudo_masks.pseudo_masks`.
        labels: ``[n, C]`` multi-hot.
        balanced: false: the pixels that belong to a channel weigh alike, and every image counts.

    Returns:
        Float ``[n]``. The mean is the loss of the batch; where not balanced, it is the mean over the pixels
        of the batch that belong to a channel (0 where there are none).
    """
    maps = interpolate(full_precision(maps), pseudo.shape[-2:], mode="bilinear", align_corners=True)
    highest, target = pseudo.max(1)
    target = target.masked_fill(highest == 0, NOBODY)
    losses = cross_entropy(maps, target, ignore_index=NOBODY, reduction="none")
    pixels = pseudo.sum((2, 3), dtype=losses.dtype)  # [n, 1 + C]
    if not balanced:
        return losses.sum((1, 2)) * (len(losses) / pixels.sum().clamp(min=1))
    total = pixels.sum(1, keepdim=True)
    weights = ((total - pixels) / (1 + total)).gather(1, target.clamp(min=0).flatten(1))
    complete = (pixels > 0).sum(1) == labels.sum(1) + 1
    return (losses.flatten(1) * weights).mean(1) * complete

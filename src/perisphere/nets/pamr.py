"""Pixel-adaptive mask refinement: masks are drawn to the edges of the photo.

Source: Araslanov and Roth, "Single-stage semantic segmentation from image labels", CVPR 2020, section 4.2.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from perisphere.errors import PerisphereError

DILATIONS = (1, 2, 4, 8, 12, 24)
"""Distances in pixels at which a pixel has neighbours, eight at each."""

ITERATIONS = 10

SOFTNESS = 0.1
"""Of a standard deviation: the difference of colour at which an affinity has fallen to 1/e."""

EPSILON = 1e-8

BLOCK = 3 << 20
"""Affinities and values of masks that are worked on at a time, to stay in a cache; an image at least."""


@torch.no_grad()
def refine(
    images: Tensor, masks: Tensor, dilations: Sequence[int] = DILATIONS, iterations: int = ITERATIONS
) -> Tensor:
    """Replace every mask value, again and again, by a mean over neighbours of like colour.

    A neighbour's weight is the softmax, over all of the pixel's neighbours, of minus its difference of
    colour: ``|centre - neighbour|`` in units of :data:`SOFTNESS` standard deviations of the windows, averaged
    over the colours. The pixel itself has no weight; beyond the border lies the border's pixel. Nothing is
    learned through it.

    Memory beyond the result: the affinities, ``8 * len(dilations)`` values a pixel, of one block of images.

    Args:
        images: float ``[n, k, h, w]``, colours in 0..1, not normalised.
        masks: float ``[n, c, h', w']``; resized to the images first, bilinearly with aligned corners.
        dilations: distances of neighbours, pixels.
        iterations: how often; 0 only resizes.

    Returns:
        Float ``[n, c, h, w]``, at least in single precision.

    Raises:
        PerisphereError: another number of images than masks, no dilation, or one below 1.
    """
    if len(images) != len(masks) or not dilations or min(dilations) < 1 or iterations < 0:
        raise PerisphereError(
            f"refine: {len(images)} images, {len(masks)} masks, dilations {list(dilations)}, {iterations} "
            "iterations; give as many masks as images, dilations of 1 or more and iterations of 0 or more."
        )
    dtype = torch.promote_types(torch.promote_types(images.dtype, masks.dtype), torch.float32)
    size = images.shape[-2:]
    refined = interpolate(masks.to(dtype), size=size, mode="bilinear", align_corners=True)
    if not iterations:
        return refined
    h, w = size
    block = max(1, BLOCK // ((refined.shape[1] + 8 * len(dilations)) * max(h * w, 1)))
    for at in range(0, len(images), block):
        rows = slice(at, at + block)
        weights = affinities(images[rows].to(dtype), dilations)
        for _ in range(iterations):
            _spread(refined[rows], weights, dilations)
    return refined


def affinities(images: Tensor, dilations: Sequence[int]) -> Tensor:
    """Return the weight of each neighbour of each pixel.

    Args:
        images: float ``[n, k, h, w]``.
        dilations: distances of neighbours, pixels.

    Returns:
        Float ``[n, 8 * len(dilations), h, w]``, which sum to one over the second axis; in the order of
        :func:`neighbours`.
    """
    unit = _deviation(images, dilations).mul_(SOFTNESS).add_(EPSILON).mul_(-images.shape[1])
    n, _, h, w = images.shape
    weights = images.new_empty(n, 8 * len(dilations), h, w)
    for number, shifted in enumerate(neighbours(images, dilations)):
        torch.sum((shifted - images).abs_().div_(unit), 1, out=weights[:, number])
    return torch.softmax(weights, 1)


def _deviation(images: Tensor, dilations: Sequence[int]) -> Tensor:
    """Return the standard deviation over the windows of all dilations, each with its centre.

    It is that of the differences from the centre, which are small where the deviation is: no digits are lost.
    """
    total, squares = torch.zeros_like(images), torch.zeros_like(images)
    for shifted in neighbours(images, dilations):
        difference = shifted - images
        total.add_(difference)
        squares.addcmul_(difference, difference)
    count = 9 * len(dilations)
    return squares.addcmul_(total, total, value=-1 / count).clamp_(min=0).div_(count - 1).sqrt_()


def _spread(masks: Tensor, weights: Tensor, dilations: Sequence[int]) -> None:
    """Replace masks ``[n, c, h, w]``, in place, by the weighted sum over their neighbours."""
    around = neighbours(masks, dilations)
    torch.mul(next(around), weights[:, :1], out=masks)
    for number, shifted in enumerate(around, 1):
        masks.addcmul_(shifted, weights[:, number : number + 1])


def neighbours(planes: Tensor, dilations: Sequence[int]) -> Iterator[Tensor]:
    """Yield ``[n, c, h, w]`` shifted to each of the eight directions at each distance: views of one copy."""
    reach = max(dilations)
    h, w = planes.shape[-2:]
    padded = pad(planes, [reach] * 4, mode="replicate")
    for distance in dilations:
        for down in (-distance, 0, distance):
            for right in (-distance, 0, distance):
                if down or right:
                    yield padded[..., reach + down :, reach + right :][..., :h, :w]

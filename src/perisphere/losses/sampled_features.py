"""Features at points of images, between the positions of a feature map."""

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from perisphere.losses.distances import full_precision


def sample_features(features: Tensor, images: Tensor, places: Tensor, align_corners: bool = True) -> Tensor:
    """Return the features at points, bilinear between the four positions around each; zero beyond the map.

    As :func:`torch.nn.functional.grid_sample` with zeros for padding, but each point has its own image, and
    the channels of a position lie side by side, so that a point costs four reads.

    Args:
        features: float ``[n, c, h, w]``; fastest where they are channels_last.
        images: int ``[p]``, the image of each point.
        places: float ``[p, 2]``, row and column of each point, fractions of the image.
        align_corners: true: 0 and 1 are the centres of the first and the last pixel, as in PyTorch 1.0, with
            which the published networks were trained; false: the outer edges of these pixels.

    Returns:
        Float ``[p, c]``, at least in single precision; gradients flow to the features.
    """
    n, c, h, w = features.shape
    table = full_precision(features).permute(0, 2, 3, 1).reshape(n * h * w, c)
    rows, down = _taps(places[:, 0], h, align_corners)
    columns, right = _taps(places[:, 1], w, align_corners)
    positions = (images[:, None, None] * h + rows[:, :, None]) * w + columns[:, None, :]
    shares = down[:, :, None] * right[:, None, :]
    return embedding_bag(
        positions.flatten(1), table, per_sample_weights=shares.flatten(1).to(table.dtype), mode="sum"
    )


def _taps(fractions: Tensor, length: int, align_corners: bool) -> tuple[Tensor, Tensor]:
    """Return the two pixels around each point of an axis and their shares, int and float ``[p, 2]``.

    A pixel beyond the map has no share, and stands for the nearest one.
    """
    at = fractions * (length - 1) if align_corners else fractions * length - 0.5
    first = at.floor()
    share = at - first
    pixels = torch.stack([first, first + 1], 1)
    inside = (pixels >= 0) & (pixels < length)
    shares = torch.stack([1 - share, share], 1) * inside
    return pixels.clamp(0, length - 1).long(), shares

"""A photo as a network sees it where positions matter: whole, and in its own aspect ratio."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from perisphere.encoder.preprocessing import Preprocessing
from perisphere.errors import PerisphereError

SMALLEST = 32
"""Pixels of a side, below which a backbone's last stage has nothing left: strips are widened to it."""


def whole_picture(
    picture: np.ndarray,
    preprocessing: Preprocessing,
    longer: int,
    *,
    scale: float = 1,
    patch: int = 1,
    device: torch.device,
) -> Tensor:
    """Bring a photo to a network's input without cutting or squashing it.

    Args:
        picture: uint8 RGB ``[h, w, 3]``.
        preprocessing: whose normalisation is applied.
        longer: pixels that a longer side is shrunk to; a smaller photo keeps its own size.
        scale: factor of that size; no side gets less than :data:`SMALLEST` pixels.
        patch: pixels of which each side is a multiple, for networks that cut a photo into patches.
        device: where to.

    Returns:
        float32 ``[1, 3, h', w']``.

    Raises:
        PerisphereError: another dtype or shape.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise PerisphereError(
            f"a picture of {picture.dtype} {list(picture.shape)} cannot be segmented: "
            "give uint8 RGB [h, w, 3]."
        )
    height, width = picture.shape[:2]
    factor = scale * min(1, longer / max(height, width))
    least = -(-SMALLEST // patch) * patch
    across, down = (max(least, round(side * factor / patch) * patch) for side in (width, height))
    target = (across, down)
    if target != (width, height):
        picture = np.array(Image.fromarray(picture).resize(target, Image.Resampling.BICUBIC))
    pixels = torch.from_numpy(np.require(picture, requirements=["C", "W"]))[None].to(device)
    return preprocessing.normalise(pixels)

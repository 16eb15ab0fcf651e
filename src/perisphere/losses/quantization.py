"""Supervised cosine quantization loss: what a code changes of the inner products with the tags.

Source: Wang et al., "Weakly supervised deep hyperspherical quantization for image retrieval", AAAI 2021,
section on the quantization loss.
"""

import torch
from torch import Tensor


def quantization(vectors: Tensor, decoded: Tensor, metric: Tensor) -> Tensor:
    """Return the mean over photos of ``|(z - decoded) S|^2``.

    With ``S`` a square root of ``T'T``, ``T`` the tag vectors, that is ``|(z - decoded) T'|^2``: the sum over
    tags of the squared change of the inner product.

    Args:
        vectors: float ``[n, d]``, as they are coded; none gives 0.
        decoded: float ``[n, d]``, the sums of the words of their codes.
        metric: float ``[d, d]`` or ``[d, t]``: a square root, or the transposed tag vectors.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        apart = (vectors.to(metric.dtype) - decoded) @ metric
        return apart.square().sum() / max(len(vectors), 1)

"""The stochastic gate: deep and shallow features mixed so that neither is relied upon alone.

Source: Araslanov and Roth, CVPR 2020, section 3.5.
"""

import torch
from torch import Tensor, nn


def mixed(deep: Tensor, shallow: Tensor, psi: float, kept: Tensor | None = None) -> Tensor:
    """Mix two maps.

    Args:
        deep: ``[n, c, h, w]``.
        shallow: of the same shape.
        psi: share of the shallow features, 0 to below 1.
        kept: in training, which elements take the deep feature, true with probability ``1 - psi``. It is
            rescaled so that the expected value of an element is the deep feature. ``None`` is the mean
            that networks are used with: ``(1 - psi) deep + psi shallow``.
    """
    if kept is None:
        return torch.lerp(deep, shallow.to(deep.dtype), psi)
    return torch.where(kept.bool(), (deep - psi * shallow) / (1 - psi), shallow)


class StochasticGate(nn.Module):
    """:func:`mixed`, each element on its own in training.

    Args:
        psi: share of the shallow features.
    """

    def __init__(self, psi: float = 0.3) -> None:
        super().__init__()
        self.psi = psi

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        """Return a map of the shape of both."""
        kept = torch.rand(deep.shape, device=deep.device) >= self.psi if self.training else None
        return mixed(deep, shallow, self.psi, kept)

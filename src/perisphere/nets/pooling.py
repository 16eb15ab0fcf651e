"""From a feature map ``[n, c, h, w]`` to one vector ``[n, c]``.

Sources: SPoC: Babenko and Lempitsky, ICCV 2015; MAC and R-MAC: Tolias et al., ICLR 2016; GeM: Radenovic et
al., TPAMI 2018.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

EPS = 1e-6
RMAC_LEVELS = 3
RMAC_OVERLAP = 0.4


def spoc(features: Tensor) -> Tensor:
    """Return the mean of each channel."""
    return features.mean(dim=(-2, -1))


def mac(features: Tensor) -> Tensor:
    """Return the maximum of each channel."""
    return features.amax(dim=(-2, -1))


def gem(features: Tensor, p: float | Tensor = 3.0, eps: float = EPS) -> Tensor:
    """Return the generalised mean of each channel, ``mean(max(x, eps) ** p) ** (1 / p)``.

    Args:
        features: ``[n, c, h, w]``.
        p: the exponent, a number or a tensor of one or of ``c`` numbers; 1 is the mean, infinity the maximum.
        eps: floor of the activations, which keeps the gradient finite.
    """
    exponent = p.reshape(-1, 1, 1) if isinstance(p, Tensor) else p
    powers = features.clamp(min=eps).pow(exponent).mean(dim=(-2, -1))
    return powers.pow(1.0 / (p.reshape(-1) if isinstance(p, Tensor) else p))


def regions(height: int, width: int, levels: int = RMAC_LEVELS) -> list[tuple[int, int, int, int]]:
    """Return R-MAC's square regions of a map as half-open bounds ``(y0, y1, x0, x1)``, the whole map first.

    At level ``l`` the side is ``2 * min(height, width) / (l + 1)`` rounded down; there are ``l`` regions
    along the shorter side and as many more along the longer as bring level 1 nearest to 40 % overlap.
    """
    short, long = sorted((height, width))
    more = _longer_side_regions(short, long) - 1
    down, across = (more, 0) if height > width else (0, more)
    found = [(0, height, 0, width)]
    for level in range(1, levels + 1):
        side = max(1, 2 * short // (level + 1))
        found += [
            (y, y + side, x, x + side)
            for y in _starts(height, side, level + down)
            for x in _starts(width, side, level + across)
        ]
    return found


def _longer_side_regions(short: int, long: int) -> int:
    """Return how many squares of side ``short`` cover ``long`` with an overlap nearest to 40 % (2 to 7)."""
    if short == long:
        return 1
    return min(range(2, 8), key=lambda count: abs(1 - (long - short) / (count - 1) / short - RMAC_OVERLAP))


def _starts(length: int, side: int, count: int) -> list[int]:
    return [position * (length - side) // max(count - 1, 1) for position in range(count)]


def regional(features: Tensor, pool: Callable[[Tensor], Tensor] = mac, levels: int = RMAC_LEVELS) -> Tensor:
    """Return the sum of the L2-normalised vectors of all :func:`regions`; with :func:`mac` this is R-MAC."""
    height, width = features.shape[-2:]
    total = torch.zeros(features.shape[:-2], dtype=features.dtype, device=features.device)
    for y0, y1, x0, x1 in regions(height, width, levels):
        vector = pool(features[..., y0:y1, x0:x1])
        total = total + vector / (vector.norm(dim=-1, keepdim=True) + EPS)
    return total


class Pool(nn.Module):
    """A pooling by name; GeM's exponent is a parameter where it is learned.

    Args:
        name: ``spoc``, ``mac``, ``gem`` or ``rmac``.
        p: GeM's exponent.
        learned: whether ``p`` is a parameter.
    """

    p: Tensor

    def __init__(
        self, name: Literal["spoc", "mac", "gem", "rmac"], p: float = 3.0, learned: bool = False
    ) -> None:
        super().__init__()
        self.name = name
        if name == "gem" and learned:
            self.p = nn.Parameter(torch.tensor([p]))
        elif name == "gem":
            self.register_buffer("p", torch.tensor([p]), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``[n, c]`` of ``[n, c, h, w]``, in float32."""
        features = features.float()
        if self.name == "gem":
            return gem(features, self.p)
        return {"spoc": spoc, "mac": mac, "rmac": regional}[self.name](features)

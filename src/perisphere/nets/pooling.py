"""From a feature map ``[n, c, h, w]`` to one vector ``[n, c]``.

Sources: SPoC: Babenko and Lempitsky, ICCV 2015; MAC and R-MAC: Tolias et al., ICLR 2016; GeM: Radenovic et
al., TPAMI 2018.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Literal, get_args

import torch
from torch import Tensor, nn

EPS = 1e-6
RMAC_LEVELS = 3
RMAC_OVERLAP = Fraction(2, 5)

Pooling = Literal["spoc", "mac", "gem", "gemmp", "rmac"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


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
    along the shorter side and as many more along the longer as bring level 1 nearest to 40 % overlap. On a
    square map level 1 is the whole map again, which therefore counts twice. A level whose side would be zero
    is left out.
    """
    short, long = sorted((height, width))
    more = _longer_side_regions(short, long) - 1
    down, across = (more, 0) if height > width else (0, more)
    found = [(0, height, 0, width)]
    for level in range(1, levels + 1):
        side = 2 * short // (level + 1)
        if side == 0:
            break
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
    # Exact fractions: in floating point two counts that tie would be told apart by rounding.
    return min(
        range(2, 8),
        key=lambda count: abs(1 - Fraction(long - short, (count - 1) * short) - RMAC_OVERLAP),
    )


def _starts(length: int, side: int, count: int) -> list[int]:
    return [position * (length - side) // max(count - 1, 1) for position in range(count)]


def unit(vectors: Tensor) -> Tensor:
    """Return the rows at length one, ``x / (|x| + 1e-6)``, so that a zero row stays zero."""
    return vectors / (vectors.norm(dim=-1, keepdim=True) + EPS)


def regional(
    features: Tensor,
    pool: Callable[[Tensor], Tensor] = mac,
    levels: int = RMAC_LEVELS,
    project: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the sum of the L2-normalised vectors of all :func:`regions`; with :func:`mac` this is R-MAC.

    Args:
        features: ``[n, c, h, w]``.
        pool: from a region's map to a vector.
        levels: see :func:`regions`.
        project: a linear map of each region's unit vector, whose result is normalised again.
    """
    height, width = features.shape[-2:]
    directions = []
    for y0, y1, x0, x1 in regions(height, width, levels):
        vector = unit(pool(features[..., y0:y1, x0:x1]))
        directions.append(vector if project is None else unit(project(vector)))
    return torch.stack(directions).sum(dim=0)


class Pool(nn.Module):
    """A pooling by name; GeM's exponent is a parameter where it is learned.

    Args:
        name: ``spoc``, ``mac``, ``gem``, ``gemmp`` (an exponent for each channel, always a parameter) or
            ``rmac`` (regional ``mac``).
        p: GeM's exponent, or where it starts.
        learned: whether ``gem``'s exponent is a parameter.
        channels: of the map; ``gemmp`` and ``projected`` need it.
        regions: add up the directions of all :func:`regions`, whatever the pooling.
        projected: whether each region's vector passes through a linear layer.
    """

    p: Tensor

    def __init__(
        self,
        name: Pooling,
        p: float = 3.0,
        learned: bool = False,
        *,
        channels: int = 0,
        regions: bool = False,
        projected: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self.regions = regions or name == "rmac"
        self.projection = nn.Linear(channels, channels) if projected else None
        if name == "gemmp":
            self.p = nn.Parameter(torch.full((channels,), p))
        elif name == "gem" and learned:
            self.p = nn.Parameter(torch.tensor([p]))
        elif name == "gem":
            self.register_buffer("p", torch.tensor([p]), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``[n, c]`` of ``[n, c, h, w]``, in float32."""
        features = features.float()
        if self.regions:
            return regional(features, self._pooled, project=self.projection)
        return self._pooled(features)

    def _pooled(self, features: Tensor) -> Tensor:
        if self.name in ("gem", "gemmp"):
            return gem(features, self.p)
        return spoc(features) if self.name == "spoc" else mac(features)

"""Densely connected networks for 32-pixel images (Huang et al., CVPR 2017)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perisphere.nets.activations import Nonlinearity, activation
from perisphere.nets.backbone import Backbone, initialise
from perisphere.nets.same_padding import SameConv2d

BLOCKS = 3
WIDENING = 4  # channels of a bottleneck in multiples of the growth rate


class DenseUnit(nn.Sequential):
    """Normalisation, nonlinearity and a 3 x 3 convolution to ``growth`` channels.

    With ``bottleneck`` a 1 x 1 convolution to four times as many, with its own normalisation and
    nonlinearity, stands before it.
    """

    def __init__(self, inputs: int, growth: int, bottleneck: bool, nonlinearity: Nonlinearity) -> None:
        super().__init__()
        if bottleneck:
            self.extend(_normalised(inputs, nonlinearity))
            self.append(SameConv2d(inputs, WIDENING * growth, 1))
            inputs = WIDENING * growth
        self.extend(_normalised(inputs, nonlinearity))
        self.append(SameConv2d(inputs, growth, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with the new channels behind it."""
        return torch.cat([x, super().forward(x)], dim=1)


def _normalised(channels: int, nonlinearity: Nonlinearity) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), activation(nonlinearity)]


class DenseNet(Backbone):
    """Three blocks in which every layer sees all layers before it, without the classifier.

    Args:
        units: in each block.
        growth: channels that each unit adds.
        stem: channels of the first convolution.
        bottleneck: see :class:`DenseUnit`.
        compression: share of the channels that the 1 x 1 convolution between two blocks keeps.
        nonlinearity: before each convolution but the first, and at the end.
    """

    def __init__(
        self,
        units: int,
        growth: int,
        stem: int,
        bottleneck: bool = False,
        compression: float = 1.0,
        nonlinearity: Nonlinearity = "relu",
    ) -> None:
        super().__init__()
        self.conv1 = SameConv2d(3, stem, 3)
        channels = stem
        for number in range(1, BLOCKS + 1):
            block = nn.Sequential()
            for _ in range(units):
                block.append(DenseUnit(channels, growth, bottleneck, nonlinearity))
                channels += growth
            self.add_module(f"block{number}", block)
            if number < BLOCKS:
                kept = int(channels * compression)
                between = [*_normalised(channels, nonlinearity), SameConv2d(channels, kept, 1)]
                self.add_module(f"transition{number}", nn.Sequential(*between))
                channels = kept
        self.bn = nn.BatchNorm2d(channels)
        self.activation = activation(nonlinearity)
        self.dim = channels
        self.nonnegative = nonlinearity == "relu"
        initialise(self, nn.init.kaiming_normal_)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``conv1``, ``block1`` to ``block3`` with ``transition1`` and ``transition2``, and ``bn``."""
        return [(name, part) for name, part in self.named_children() if name != "activation"]

    def advance(self, name: str, stage: nn.Module, x: Tensor) -> Tensor:
        """See :meth:`Backbone.advance`; the last map is ``[n, dim, h / 4, w / 4]``."""
        x = stage(x)
        if name == "bn":
            return self.activation(x)
        return F.avg_pool2d(x, 2) if name.startswith("transition") else x

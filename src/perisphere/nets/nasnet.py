"""NASNet-A: cells found by search (Zoph et al., "Learning transferable architectures", CVPR 2018).

A cell takes the maps of the two cells before it, brings both to its own width, combines them in five pairs
and joins the results. ``NASNet-A (6 @ 4032)``, the large one, has 18 normal cells and 4 reductions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perisphere.nets.activations import Nonlinearity, activation
from perisphere.nets.backbone import Backbone, initialise
from perisphere.nets.same_padding import SameConv2d, same_avg_pool, same_max_pool

EPS = 1e-3
WIDTH = 24  # the last map has this many times the filters of the first normal cell


class SeparableConv2d(nn.Sequential):
    """A convolution of each channel by itself, then a 1 x 1 convolution over the channels."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = SameConv2d(inputs, inputs, kernel, stride, groups=inputs)
        self.pointwise = SameConv2d(inputs, outputs, 1)


def _separable(
    inputs: int, outputs: int, kernel: int, stride: int, nonlinearity: Nonlinearity
) -> nn.Sequential:
    """Return nonlinearity, separable convolution and normalisation, twice; the first takes the stride."""
    return nn.Sequential(
        activation(nonlinearity, inplace=False),  # others read the argument too
        SeparableConv2d(inputs, outputs, kernel, stride),
        nn.BatchNorm2d(outputs, EPS),
        activation(nonlinearity),
        SeparableConv2d(outputs, outputs, kernel),
        nn.BatchNorm2d(outputs, EPS),
    )


def _projection(inputs: int, outputs: int, nonlinearity: Nonlinearity) -> nn.Sequential:
    return nn.Sequential(
        activation(nonlinearity, inplace=False), SameConv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs, EPS)
    )


class FactorisedReduction(nn.Module):
    """Halve a map by two 1 x 1 convolutions, on the even positions and on the odd ones."""

    def __init__(self, inputs: int, outputs: int, nonlinearity: Nonlinearity) -> None:
        super().__init__()
        self.activation = activation(nonlinearity, inplace=False)
        self.even = SameConv2d(inputs, outputs // 2, 1)
        self.odd = SameConv2d(inputs, outputs // 2, 1)
        self.bn = nn.BatchNorm2d(outputs, EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, outputs, ceil(h / 2), ceil(w / 2)]``; past the edge stand zeros."""
        x = self.activation(x)
        odd = F.pad(x, (0, 1, 0, 1))[:, :, 1::2, 1::2]
        return self.bn(torch.cat([self.even(x[:, :, ::2, ::2]), self.odd(odd)], dim=1))


class Cell(nn.Module):
    """What both kinds of cells share.

    Args:
        inputs: channels of the map of the last cell.
        before: channels of the map of the cell before it; ``None`` where that map is taken as it is.
        width: channels inside.
        halved: whether the map of the cell before has twice the sides.
        nonlinearity: before each convolution.

    Attributes:
        outputs: channels of the cell's map.
    """

    outputs: int

    def __init__(
        self, inputs: int, before: int | None, width: int, halved: bool, nonlinearity: Nonlinearity
    ) -> None:
        super().__init__()
        self.adjust: nn.Module = nn.Identity()
        if before is not None and halved:
            self.adjust = FactorisedReduction(before, width, nonlinearity)
        elif before is not None and before != width:
            self.adjust = _projection(before, width, nonlinearity)
        self.project = _projection(inputs, width, nonlinearity)


class NormalCell(Cell):
    """The cell that keeps the size of the map; six times the width in channels."""

    def __init__(
        self, inputs: int, before: int | None, width: int, halved: bool, nonlinearity: Nonlinearity
    ) -> None:
        super().__init__(inputs, before, width, halved, nonlinearity)
        self.left1 = _separable(width, width, 5, 1, nonlinearity)
        self.right1 = _separable(width, width, 3, 1, nonlinearity)
        self.left2 = _separable(width, width, 5, 1, nonlinearity)
        self.right2 = _separable(width, width, 3, 1, nonlinearity)
        self.left5 = _separable(width, width, 3, 1, nonlinearity)
        self.outputs = 6 * width

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """Return ``[n, outputs, h, w]`` of the last map and of the map before it."""
        p, h = self.adjust(before), self.project(x)
        return torch.cat(
            [
                p,
                self.left1(h) + self.right1(p),
                self.left2(p) + self.right2(p),
                same_avg_pool(h, 3, 1) + p,
                2 * same_avg_pool(p, 3, 1),
                self.left5(h) + h,
            ],
            dim=1,
        )


class ReductionCell(Cell):
    """The cell that halves the map; four times the width in channels."""

    def __init__(
        self, inputs: int, before: int | None, width: int, halved: bool, nonlinearity: Nonlinearity
    ) -> None:
        super().__init__(inputs, before, width, halved, nonlinearity)
        channels = inputs if before is None else width
        self.left1 = _separable(width, width, 5, 2, nonlinearity)
        self.right1 = _separable(channels, width, 7, 2, nonlinearity)
        self.right2 = _separable(channels, width, 7, 2, nonlinearity)
        self.right3 = _separable(channels, width, 5, 2, nonlinearity)
        self.left4 = _separable(width, width, 3, 1, nonlinearity)
        self.outputs = 4 * width

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """Return ``[n, outputs, ceil(h / 2), ceil(w / 2)]`` of the last map and of the map before it."""
        p, h = self.adjust(before), self.project(x)
        largest = same_max_pool(h, 3, 2)
        first = self.left1(h) + self.right1(p)
        second = largest + self.right2(p)
        third = same_avg_pool(h, 3, 2) + self.right3(p)
        fourth = second + same_avg_pool(first, 3, 1)
        fifth = self.left4(first) + largest
        return torch.cat([second, third, fourth, fifth], dim=1)


class NasNet(Backbone):
    """NASNet-A for photos, without its classifier.

    Args:
        cells: normal cells in each of the three stages.
        channels: of the last map.
        stem: channels of the first convolution.
        nonlinearity: before each convolution and at the end.
    """

    def __init__(
        self, cells: int = 6, channels: int = 4032, stem: int = 96, nonlinearity: Nonlinearity = "relu"
    ) -> None:
        super().__init__()
        width = channels // WIDTH
        self.conv1 = nn.Conv2d(3, stem, 3, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(stem, EPS)
        self.stem1 = ReductionCell(stem, None, width // 4, False, nonlinearity)
        self.stem2 = ReductionCell(self.stem1.outputs, stem, width // 2, True, nonlinearity)
        last, before = self.stem2.outputs, self.stem1.outputs
        for number in (1, 2, 3):
            if number > 1:
                # The cell after a reduction looks at what the reduction looked at before, as it halves that.
                self.add_module(f"reduction{number}", ReductionCell(last, before, width, False, nonlinearity))
                last = 4 * width
            stage = nn.ModuleList()
            for position in range(cells):
                cell = NormalCell(last, before, width, position == 0, nonlinearity)
                stage.append(cell)
                last, before = cell.outputs, last
            self.add_module(f"layer{number}", stage)
            width *= 2
        self.activation = activation(nonlinearity)
        self.dim = last
        self.nonnegative = nonlinearity == "relu"
        initialise(self, nn.init.kaiming_normal_)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``stem``, ``layer1`` to ``layer3``, and ``reduction2`` and ``reduction3`` between them."""
        stem = nn.ModuleList([self.conv1, self.bn1, self.stem1, self.stem2])
        names = ("layer1", "reduction2", "layer2", "reduction3", "layer3")
        return [("stem", stem), *((name, self.get_submodule(name)) for name in names)]

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature map, ``[n, channels, h / 32, w / 32]``."""
        x = self.bn1(self.conv1(images))
        before, x = x, self.stem1(x, x)
        before, x = x, self.stem2(x, before)
        for name, stage in self.stages()[1:]:
            if name.startswith("reduction"):
                x = stage(x, before)
                continue
            assert isinstance(stage, nn.ModuleList)
            for cell in stage:
                before, x = x, cell(x, before)
        return self.activation(x)

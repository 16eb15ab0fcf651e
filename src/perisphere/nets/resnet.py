"""Residual networks for ImageNet-sized photos, with the parameter names of the common checkpoints.

Sources: He et al., "Deep residual learning for image recognition", CVPR 2016; Goyal et al. 2017 for the
stride in the 3 x 3 convolution of a bottleneck; Pan et al., "Two at once", ECCV 2018, for IBN-a;
Luo et al., "Bag of tricks", CVPRW 2019, for a last stride of 1.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perisphere.nets.backbone import Backbone, initialise

# Of the four stages, by the pixels a position of the last map.
STRIDES = {8: (1, 2, 1, 1), 16: (1, 2, 2, 1), 32: (1, 2, 2, 2)}


class IBN(nn.Module):
    """Instance normalisation of the first half of the channels, batch normalisation of the others.

    The names ``IN`` and ``BN`` are those of the published IBN-Net weights.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.split = channels // 2
        self.IN = nn.InstanceNorm2d(self.split, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.split)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[n, channels, h, w]``."""
        first, second = x.split([self.split, x.shape[1] - self.split], dim=1)
        return torch.cat([self.IN(first.contiguous()), self.BN(second.contiguous())], dim=1)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut.

    The positions that it looks at lie ``dilation`` apart, before a stride ``entry`` apart.
    """

    expansion = 1

    def __init__(
        self, inputs: int, width: int, stride: int, *, ibn: bool = False, entry: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, entry, entry, bias=False)
        self.bn1 = IBN(width) if ibn else nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``relu(residual(x) + shortcut(x))``."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)), inplace=True)


class Bottleneck(nn.Module):
    """A 1 x 1, a 3 x 3 and a 1 x 1 convolution, and a shortcut.

    The 3 x 3 convolution carries the stride, or with ``early_stride`` the first 1 x 1 convolution. The
    positions that it looks at lie ``dilation`` apart, before a stride ``entry`` apart.
    """

    expansion = 4

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        *,
        ibn: bool = False,
        early_stride: bool = False,
        entry: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        outputs = width * self.expansion
        first, second = (stride, 1) if early_stride else (1, stride)
        reach = dilation if early_stride else entry
        self.conv1 = nn.Conv2d(inputs, width, 1, first, bias=False)
        self.bn1 = IBN(width) if ibn else nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, reach, reach, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``relu(residual(x) + shortcut(x))``."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)), inplace=True)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(Backbone):
    """A ResNet without its classifier.

    Args:
        block: the kind of residual block.
        blocks: number of blocks in each of the four stages.
        last_stride: stride of the last stage.
        ibn: IBN-a: :class:`IBN` as first normalisation of each block of the first three stages.
        early_stride: halve the map in the first convolution of a bottleneck, as in He et al. 2016.
        padded_pool: whether the stem's pooling looks one position beyond the edge.
        eps: added to the variance in each normalisation.
        stem_relu: whether a ReLU follows the stem's normalisation; the plain ResNets of the re-identification
            baselines around Luo et al. 2019 were trained without.
        output_stride: pixels a position of the last map, 8, 16 or 32: the last stages keep the map's sides
            where it is below 32; ``None`` leaves that to ``last_stride``.
        dilated: whether what follows a stride that was taken away dilates its 3 x 3 convolutions, so that
            it looks at the positions that it would have (Chen et al., "Rethinking atrous convolution", 2017).
    """

    def __init__(
        self,
        block: Literal["basic", "bottleneck"],
        blocks: Sequence[int],
        last_stride: int = 2,
        ibn: bool = False,
        early_stride: bool = False,
        padded_pool: bool = True,
        eps: float = 1e-5,
        stem_relu: bool = True,
        output_stride: int | None = None,
        dilated: bool = False,
    ) -> None:
        super().__init__()
        self.stem_relu = stem_relu
        self.early_stride = early_stride
        self.padded_pool = padded_pool
        kind: Callable[..., nn.Module] = (
            BasicBlock if block == "basic" else partial(Bottleneck, early_stride=early_stride)
        )
        expansion = BasicBlock.expansion if block == "basic" else Bottleneck.expansion
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs, dilation = 64, 1
        strides = (1, 2, 2, last_stride) if output_stride is None else STRIDES[output_stride]
        for number, (depth, stride) in enumerate(zip(blocks, strides, strict=True), start=1):
            width = 32 << number
            stage = nn.Sequential()
            entry = dilation
            if dilated and number > 1 and stride == 1:
                dilation *= 2
            for position in range(depth):
                block_stride, before = (1, dilation) if position else (stride, entry)
                reach = {"entry": before, "dilation": dilation}
                stage.append(kind(inputs, width, block_stride, ibn=ibn and number < 4, **reach))
                inputs = width * expansion
            self.add_module(f"layer{number}", stage)
        self.dim = inputs
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = eps
        initialise(self)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``stem`` and ``layer1`` to ``layer4``."""
        layers = [(name, self.get_submodule(name)) for name in ("layer1", "layer2", "layer3", "layer4")]
        return [("stem", nn.ModuleList([self.conv1, self.bn1])), *layers]

    def advance(self, name: str, stage: nn.Module, x: Tensor) -> Tensor:
        """See :meth:`Backbone.advance`; the map is ``h / 32`` high (``/ 16`` with a last stride of 1)."""
        if name != "stem":
            return stage(x)
        x = self.bn1(self.conv1(x))
        if self.stem_relu:
            x = F.relu(x, inplace=True)
        return F.max_pool2d(x, 3, 2, int(self.padded_pool))

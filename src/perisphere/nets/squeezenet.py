"""SqueezeNet 1.0 (Iandola et al. 2016): 735,424 parameters up to the map that makes a usable embedding."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perisphere.nets.backbone import Backbone, initialise

SQUEEZE = (16, 16, 32, 32, 48, 48, 64, 64)
EXPAND = (64, 64, 128, 128, 192, 192, 256, 256)


class Fire(nn.Module):
    """A 1 x 1 convolution to few channels, then 1 x 1 and 3 x 3 convolutions side by side."""

    def __init__(self, inputs: int, squeeze: int, expand: int, dilation: int = 1) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, 2 * expand, h, w]``."""
        x = F.relu(self.squeeze1x1(x), inplace=True)
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1), inplace=True)


class SqueezeNet(Backbone):
    """SqueezeNet 1.0 up to ``fire9``; layers have the names of the original Caffe model.

    Args:
        output_stride: pixels a position of the last map; 8 takes the stride off the pooling after ``fire8``.
        dilated: whether ``fire9`` looks at the positions that it would have with that stride.
        padded: whether convolution and pooling look beyond the edge, so that position ``i`` of a map of
            stride ``s`` lies on pixel ``i * s``, as in a ResNet; the original lies some pixels inside.
    """

    def __init__(self, output_stride: int = 16, dilated: bool = False, padded: bool = False) -> None:
        super().__init__()
        self.padded = padded
        self.strides = {"conv1": 2, "fire4": 2, "fire8": 2 if output_stride == 16 else 1}
        self.conv1 = nn.Conv2d(3, 96, 7, 2, 3 if padded else 0)
        inputs = 96
        for number, (squeeze, expand) in enumerate(zip(SQUEEZE, EXPAND, strict=True), start=2):
            dilation = 2 if dilated and number == 9 and output_stride == 8 else 1
            self.add_module(f"fire{number}", Fire(inputs, squeeze, expand, dilation))
            inputs = 2 * expand
        self.dim = inputs
        initialise(self)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``conv1`` and ``fire2`` to ``fire9``."""
        return list(self.named_children())

    def advance(self, name: str, stage: nn.Module, x: Tensor) -> Tensor:
        """See :meth:`Backbone.advance`; of 227 pixels ``fire9`` gives ``[n, 512, 13, 13]``."""
        x = F.relu(stage(x), inplace=True) if name == "conv1" else stage(x)
        if name not in self.strides:
            return x
        stride = self.strides[name]
        return F.max_pool2d(x, 3, stride, 1) if self.padded else F.max_pool2d(x, 3, stride, ceil_mode=True)

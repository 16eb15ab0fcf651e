"""SqueezeNet 1.0 (Iandola et al. 2016): 735,424 parameters up to the map that makes a usable embedding."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perisphere.nets.backbone import Backbone, initialise

SQUEEZE = (16, 16, 32, 32, 48, 48, 64, 64)
EXPAND = (64, 64, 128, 128, 192, 192, 256, 256)


class Fire(nn.Module):
    """A 1 x 1 convolution to few channels, then 1 x 1 and 3 x 3 convolutions side by side."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, 2 * expand, h, w]``."""
        x = F.relu(self.squeeze1x1(x), inplace=True)
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1), inplace=True)


class SqueezeNet(Backbone):
    """SqueezeNet 1.0 up to ``fire9``; layers have the names of the original Caffe model."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 7, 2)
        inputs = 96
        for number, (squeeze, expand) in enumerate(zip(SQUEEZE, EXPAND, strict=True), start=2):
            self.add_module(f"fire{number}", Fire(inputs, squeeze, expand))
            inputs = 2 * expand
        self.dim = inputs
        initialise(self)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``conv1`` and ``fire2`` to ``fire9``."""
        return list(self.named_children())

    def advance(self, name: str, stage: nn.Module, x: Tensor) -> Tensor:
        """See :meth:`Backbone.advance`; of 227 pixels ``fire9`` gives ``[n, 512, 13, 13]``."""
        x = F.relu(stage(x), inplace=True) if name == "conv1" else stage(x)
        return F.max_pool2d(x, 3, 2, ceil_mode=True) if name in ("conv1", "fire4", "fire8") else x

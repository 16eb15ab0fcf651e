"""The residual networks for CIFAR-10's 32-pixel images (He et al., CVPR 2016, section 4.2)."""

from torch import Tensor, nn
from torch.nn import functional as F

from perisphere.nets.backbone import Backbone, initialise


class CifarBlock(nn.Module):
    """Two 3 x 3 convolutions; the shortcut has no parameters (the paper's option A)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.padding = (width - inputs) // 2
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``relu(residual(x) + x)``, ``x`` subsampled, zero channels added on both sides."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        shortcut = F.pad(shortcut, (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(out + shortcut, inplace=True)


class CifarResNet(Backbone):
    """A ResNet of ``6 * blocks + 2`` layers without its classifier; the feature map has 64 channels."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, 1, blocks)
        self.layer2 = _stage(16, 32, 2, blocks)
        self.layer3 = _stage(32, 64, 2, blocks)
        self.dim = 64
        initialise(self)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``stem`` and ``layer1`` to ``layer3``."""
        stem = nn.ModuleList([self.conv1, self.bn1])
        return [("stem", stem), ("layer1", self.layer1), ("layer2", self.layer2), ("layer3", self.layer3)]

    def advance(self, name: str, stage: nn.Module, x: Tensor) -> Tensor:
        """See :meth:`Backbone.advance`; the last map is ``[n, 64, h / 4, w / 4]``."""
        return F.relu(self.bn1(self.conv1(x)), inplace=True) if name == "stem" else stage(x)


def _stage(inputs: int, width: int, stride: int, blocks: int) -> nn.Sequential:
    first = CifarBlock(inputs, width, stride)
    return nn.Sequential(first, *(CifarBlock(width, width, 1) for _ in range(blocks - 1)))

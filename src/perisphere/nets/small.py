"""A small residual network that trains on a processor: 32 to 128 pixel images, about a million parameters."""

from torch import Tensor, nn

from perisphere.nets.backbone import Backbone, initialise
from perisphere.nets.resnet import BasicBlock

WIDTHS = (32, 48, 96, 192)


class SmallNet(Backbone):
    """A stem and three stages, each one convolution of stride 2 and one residual block.

    The early halving keeps most of the work in wide convolutions on small maps, which processors do fastest.

    Args:
        stem_stride: 1 for images of about 32 pixels, 4 for 96 to 128.
    """

    def __init__(self, stem_stride: int) -> None:
        super().__init__()
        kernel = 3 if stem_stride == 1 else 7
        self.stem = _convolution(3, WIDTHS[0], kernel, stem_stride)
        self.stage1 = _convolution(WIDTHS[0], WIDTHS[1], 3, 2)
        self.stage2 = nn.Sequential(
            *_convolution(WIDTHS[1], WIDTHS[2], 3, 2), BasicBlock(WIDTHS[2], WIDTHS[2], 1)
        )
        self.stage3 = nn.Sequential(
            *_convolution(WIDTHS[2], WIDTHS[3], 3, 2), BasicBlock(WIDTHS[3], WIDTHS[3], 1)
        )
        self.dim = WIDTHS[3]
        initialise(self)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``stem`` and ``stage1`` to ``stage3``."""
        return list(self.named_children())

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature map, ``[n, 192, h / 8 / stem_stride, w / 8 / stem_stride]``."""
        return self.stage3(self.stage2(self.stage1(self.stem(images))))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )

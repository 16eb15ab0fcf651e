"""A small residual network that trains on a processor: 32 to 128 pixel images, about a million parameters."""

from torch import nn

from perisphere.nets.backbone import Backbone, initialise
from perisphere.nets.resnet import BasicBlock


class SmallNet(Backbone):
    """A stem and three stages: a convolution of stride 2 each, and a residual block in the last two.

    The early halving keeps most of the work in wide convolutions on small maps, which processors do fastest;
    large maps with many channels are bound by memory, so the first layers are narrow.

    Args:
        stem_stride: 1 for images of about 32 pixels, 4 for 96 to 128.
        widths: channels of the stem and of the three stages.
    """

    def __init__(self, stem_stride: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        kernel = 3 if stem_stride == 1 else 7
        first, *_, last = widths
        self.stem = _convolution(3, first, kernel, stem_stride)
        self.stage1 = _convolution(first, widths[1], 3, 2)
        self.stage2 = nn.Sequential(
            *_convolution(widths[1], widths[2], 3, 2), BasicBlock(widths[2], widths[2], 1)
        )
        self.stage3 = nn.Sequential(*_convolution(widths[2], last, 3, 2), BasicBlock(last, last, 1))
        self.dim = last
        initialise(self)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``stem`` and ``stage1`` to ``stage3``, each of half the sides."""
        return list(self.named_children())


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )

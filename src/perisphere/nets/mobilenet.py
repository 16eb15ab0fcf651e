"""MobileNetV2: 2.2 million parameters, with the names of the common checkpoints.

Source: Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018.
"""

from torch import Tensor, nn

from perisphere.nets.backbone import Backbone, initialise

# Of each stage: expansion, channels, blocks, stride.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM, LAST = 32, 1280


def _layer(
    inputs: int, outputs: int, side: int = 1, stride: int = 1, groups: int = 1, dilation: int = 1
) -> nn.Sequential:
    padding = side // 2 * dilation
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expansion, a 3 x 3 convolution of each channel, and a projection that no ReLU follows."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, dilation: int = 1) -> None:
        super().__init__()
        width = inputs * expansion
        expand = [] if expansion == 1 else [_layer(inputs, width)]
        self.shortcut = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            *expand,
            _layer(width, width, 3, stride, width, dilation),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, outputs, h / stride, w / stride]``."""
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(Backbone):
    """MobileNetV2 without its classifier.

    Args:
        output_stride: pixels a position of the last map, 8, 16 or 32: the last stages that halve the map
            keep its sides where it is below 32.
        dilated: whether what follows a stride that was taken away looks at the positions that it would have.
    """

    def __init__(self, output_stride: int = 32, dilated: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [_layer(3, STEM, 3, 2)]
        inputs, reduced, dilation, self._ends = STEM, 2, 1, [1]
        for expansion, outputs, blocks, stride in STAGES:
            entry = dilation
            if reduced * stride > output_stride:
                dilation, stride = (dilation * stride if dilated else dilation), 1
            reduced *= stride
            for position in range(blocks):
                taken, reach = (1, dilation) if position else (stride, entry)
                layers.append(InvertedResidual(inputs, outputs, taken, expansion, reach))
                inputs = outputs
            self._ends.append(len(layers))
        self.features = nn.Sequential(*layers, _layer(inputs, LAST))
        self._ends.append(len(self.features))
        self.dim = LAST
        initialise(self)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``stem``, ``stage1`` to ``stage7``, and ``last``, which widens the map."""
        names = ["stem", *(f"stage{number + 1}" for number in range(len(STAGES))), "last"]
        parts = zip([0, *self._ends], self._ends, strict=False)
        return [(name, self.features[a:b]) for name, (a, b) in zip(names, parts, strict=True)]

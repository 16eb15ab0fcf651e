"""Wide residual networks for 32-pixel images (Zagoruyko and Komodakis, BMVC 2016)."""

from torch import Tensor, nn

from perisphere.nets.activations import Nonlinearity, activation
from perisphere.nets.backbone import Backbone, initialise
from perisphere.nets.same_padding import SameConv2d

STEM = 16


class WideBlock(nn.Module):
    """Normalisation and nonlinearity before each of two 3 x 3 convolutions.

    Where the channels change, the shortcut is a 1 x 1 convolution that starts after the first nonlinearity.
    """

    def __init__(self, inputs: int, width: int, stride: int, nonlinearity: Nonlinearity) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = SameConv2d(inputs, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = SameConv2d(width, width, 3)
        self.shortcut = SameConv2d(inputs, width, 1, stride) if inputs != width else None
        self.activation = activation(nonlinearity)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, width, ceil(h / stride), ceil(w / stride)]`` of ``[n, inputs, h, w]``."""
        active = self.activation(self.bn1(x))
        out = self.conv2(self.activation(self.bn2(self.conv1(active))))
        return out + (x if self.shortcut is None else self.shortcut(active))


class WideResNet(Backbone):
    """A residual network of ``6 * blocks + 4`` layers, ``factor`` times as wide as the usual one.

    Args:
        blocks: in each of the three stages.
        factor: of the channels 16, 32 and 64.
        nonlinearity: after each normalisation.
    """

    def __init__(self, blocks: int, factor: int, nonlinearity: Nonlinearity = "relu") -> None:
        super().__init__()
        self.conv1 = SameConv2d(3, STEM, 3)
        inputs = STEM
        for number in (1, 2, 3):
            stage = nn.Sequential()
            for position in range(blocks):
                width = factor * STEM << (number - 1)
                stride = 2 if number > 1 and position == 0 else 1
                stage.append(WideBlock(inputs, width, stride, nonlinearity))
                inputs = width
            self.add_module(f"layer{number}", stage)
        self.bn = nn.BatchNorm2d(inputs)
        self.activation = activation(nonlinearity)
        self.dim = inputs
        self.nonnegative = nonlinearity == "relu"
        initialise(self, nn.init.kaiming_normal_)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``conv1``, ``layer1`` to ``layer3`` and ``bn``."""
        return [(name, self.get_submodule(name)) for name in ("conv1", "layer1", "layer2", "layer3", "bn")]

    def advance(self, name: str, stage: nn.Module, x: Tensor) -> Tensor:
        """See :meth:`Backbone.advance`; the last map is ``[n, dim, h / 4, w / 4]``."""
        return self.activation(stage(x)) if name == "bn" else stage(x)

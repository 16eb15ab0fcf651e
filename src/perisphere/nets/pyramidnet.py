"""Pyramidal residual networks for 32-pixel images (Han et al., CVPR 2017, additive PyramidNets)."""

from torch import Tensor, nn
from torch.nn import functional as F

from perisphere.nets.activations import Nonlinearity, activation
from perisphere.nets.backbone import Backbone, initialise
from perisphere.nets.same_padding import SameConv2d

STEM = 16
EPS = 1e-3  # of the batch normalisations in the published weights


class PyramidBlock(nn.Module):
    """Normalisation first and last, no nonlinearity before the first convolution or after the sum.

    The shortcut has no parameters: the mean of 2 x 2 positions where the map is halved, zero channels behind.

    Args:
        inputs: channels.
        width: channels of the 3 x 3 convolutions.
        stride: of the (first) 3 x 3 convolution.
        bottleneck: 1 x 1, 3 x 3 and 1 x 1 to four times the channels, instead of 3 x 3 twice.
        nonlinearity: between the convolutions.
    """

    def __init__(
        self, inputs: int, width: int, stride: int, bottleneck: bool, nonlinearity: Nonlinearity
    ) -> None:
        super().__init__()
        self.stride = stride
        self.outputs = 4 * width if bottleneck else width
        plan = [(1, width, 1), (3, width, stride), (1, self.outputs, 1)]
        self.residual = nn.Sequential(nn.BatchNorm2d(inputs, EPS))
        for position, (kernel, outputs, step) in enumerate(
            plan if bottleneck else [*plan[1:2], (3, width, 1)]
        ):
            if position:
                self.residual.append(activation(nonlinearity))
            self.residual.append(SameConv2d(inputs, outputs, kernel, step))
            self.residual.append(nn.BatchNorm2d(outputs, EPS))
            inputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, outputs, h / stride, w / stride]`` of ``[n, inputs, h, w]``."""
        shortcut = x if self.stride == 1 else F.avg_pool2d(x, self.stride)
        return self.residual(x) + F.pad(shortcut, (0, 0, 0, 0, 0, self.outputs - x.shape[1]))


class PyramidNet(Backbone):
    """A residual network whose every block has a few more channels than the one before.

    Args:
        blocks: in each of the three stages: ``(depth - 2) / 9`` with bottlenecks, else ``(depth - 2) / 6``.
        widening: what the last block has more channels than the stem (the paper's alpha).
        bottleneck: see :class:`PyramidBlock`.
        nonlinearity: between the convolutions and at the end.
    """

    def __init__(
        self, blocks: int, widening: int, bottleneck: bool, nonlinearity: Nonlinearity = "relu"
    ) -> None:
        super().__init__()
        self.conv1 = SameConv2d(3, STEM, 3)
        self.bn1 = nn.BatchNorm2d(STEM, EPS)
        inputs, count = STEM, 0
        for number in (1, 2, 3):
            stage = nn.Sequential()
            for position in range(blocks):
                count += 1
                width = round(STEM + widening * count / (3 * blocks))
                stride = 2 if number > 1 and position == 0 else 1
                block = PyramidBlock(inputs, width, stride, bottleneck, nonlinearity)
                stage.append(block)
                inputs = block.outputs
            self.add_module(f"layer{number}", stage)
        self.bn = nn.BatchNorm2d(inputs, EPS)
        self.activation = activation(nonlinearity)
        self.dim = inputs
        self.nonnegative = nonlinearity == "relu"
        initialise(self, nn.init.xavier_normal_)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``stem``, ``layer1`` to ``layer3`` and ``bn``."""
        names = ("layer1", "layer2", "layer3", "bn")
        stem = nn.Sequential(self.conv1, self.bn1)
        return [("stem", stem), *((name, self.get_submodule(name)) for name in names)]

    def advance(self, name: str, stage: nn.Module, x: Tensor) -> Tensor:
        """See :meth:`Backbone.advance`; for sides that 4 divides the map is ``[n, dim, h / 4, w / 4]``."""
        return self.activation(stage(x)) if name == "bn" else stage(x)

"""The residual networks for 32-pixel images with shortcuts that average where they halve the map.

Source: He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2, as Barz and Denzler
(WACV 2019) trained it; ``wide`` doubles the channels. :mod:`perisphere.nets.cifar_resnet` takes every other
position instead, as the paper does.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from perisphere.nets.activations import Nonlinearity, activation
from perisphere.nets.backbone import Backbone, initialise
from perisphere.nets.same_padding import SameConv2d

EPS = 1e-3  # of the batch normalisations in the published weights


class PooledBlock(nn.Module):
    """Two 3 x 3 convolutions; a shortcut without parameters: the mean of 2 x 2 positions, zero channels."""

    def __init__(self, inputs: int, width: int, stride: int, nonlinearity: Nonlinearity) -> None:
        super().__init__()
        self.stride = stride
        self.before = (width - inputs) // 2
        self.after = width - inputs - self.before
        self.conv1 = SameConv2d(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width, EPS)
        self.conv2 = SameConv2d(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width, EPS)
        self.activation = activation(nonlinearity)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, width, h / stride, w / stride]`` of ``[n, inputs, h, w]``."""
        out = self.bn2(self.conv2(self.activation(self.bn1(self.conv1(x)))))
        shortcut = x if self.stride == 1 else F.avg_pool2d(x, self.stride)
        shortcut = F.pad(shortcut, (0, 0, 0, 0, self.before, self.after))
        return self.activation(out + shortcut)


class PooledResNet(Backbone):
    """A ResNet of ``6 * blocks + 2`` layers without its classifier.

    Args:
        blocks: in each of the three stages; 5 for ResNet-32, 18 for ResNet-110.
        widths: channels of the stages.
        nonlinearity: after each normalisation.
    """

    def __init__(
        self, blocks: int, widths: tuple[int, int, int] = (16, 32, 64), nonlinearity: Nonlinearity = "relu"
    ) -> None:
        super().__init__()
        inputs = widths[0]
        self.conv1 = SameConv2d(3, inputs, 3)
        self.bn1 = nn.BatchNorm2d(inputs, EPS)
        self.activation = activation(nonlinearity)
        for number, width in enumerate(widths, start=1):
            stage = nn.Sequential()
            for position in range(blocks):
                stride = 2 if number > 1 and position == 0 else 1
                stage.append(PooledBlock(inputs, width, stride, nonlinearity))
                inputs = width
            self.add_module(f"layer{number}", stage)
        self.dim = inputs
        self.nonnegative = nonlinearity == "relu"
        initialise(self, nn.init.xavier_uniform_)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``stem`` and ``layer1`` to ``layer3``."""
        layers = [(name, self.get_submodule(name)) for name in ("layer1", "layer2", "layer3")]
        return [("stem", nn.ModuleList([self.conv1, self.bn1])), *layers]

    def advance(self, name: str, stage: nn.Module, x: Tensor) -> Tensor:
        """See :meth:`Backbone.advance`; the last map is ``[n, dim, h / 4, w / 4]``."""
        return self.activation(self.bn1(self.conv1(x))) if name == "stem" else stage(x)

"""Plain-11: eleven layers in a row without shortcuts, for 32-pixel images.

Source: Barz and Denzler, "Deep learning is not a matter of depth but of good training", ICPRAI 2018.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from perisphere.nets.activations import Nonlinearity, activation
from perisphere.nets.backbone import Backbone, initialise

WIDTHS = ((64, 64), (128, 128, 128), (256, 256, 256), (512,))
FC = 512
EPS = 1e-3  # of the batch normalisations in the published weights


class PlainLayer(nn.Module):
    """A 3 x 3 convolution, the nonlinearity, then batch normalisation, in this order."""

    def __init__(self, inputs: int, width: int, nonlinearity: Nonlinearity) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, width, 3, padding=1)
        self.bn = nn.BatchNorm2d(width, EPS)
        self.activation = activation(nonlinearity)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, width, h, w]`` of ``[n, inputs, h, w]``."""
        return self.bn(self.activation(self.conv(x)))


class DenseLayer(nn.Module):
    """A dense layer, the nonlinearity, then batch normalisation."""

    def __init__(self, inputs: int, width: int, nonlinearity: Nonlinearity) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, width)
        self.bn = nn.BatchNorm1d(width, EPS)
        self.activation = activation(nonlinearity)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, width]`` of ``[n, inputs]``."""
        return self.bn(self.activation(self.fc(x)))


class PlainNet(Backbone):
    """Nine convolutions with average pooling between the widths, the mean of the map, and a dense layer.

    The eleventh layer is the projection of the embedding or the classifier on top. Normalisation comes last,
    so features have both signs.
    """

    nonnegative = False

    def __init__(self, nonlinearity: Nonlinearity = "relu") -> None:
        super().__init__()
        inputs = 3
        for number, widths in enumerate(WIDTHS, start=1):
            layers = nn.Sequential()
            for width in widths:
                layers.append(PlainLayer(inputs, width, nonlinearity))
                inputs = width
            self.add_module(f"layer{number}", layers)
        self.fc = DenseLayer(inputs, FC, nonlinearity)
        self.dim = FC
        initialise(self, nn.init.xavier_uniform_)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``layer1`` to ``layer4`` and ``fc``."""
        return list(self.named_children())

    def advance(self, name: str, stage: nn.Module, x: Tensor) -> Tensor:
        """See :meth:`Backbone.advance`; ``fc`` gives ``[n, 512, 1, 1]`` of sides of 8 pixels or more."""
        x = stage(x)
        if name == "fc":
            return x[:, :, None, None]
        return x.mean(dim=(-2, -1)) if name == "layer4" else F.avg_pool2d(x, 2)

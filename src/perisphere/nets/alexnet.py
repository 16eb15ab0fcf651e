"""AlexNet in the layout of Caffe's published weights, up to ``fc7``.

Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks",
NIPS 2012. Two towers of the first machine live on as groups; pooling comes before normalisation.
"""

from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perisphere.errors import PerisphereError
from perisphere.nets.backbone import Backbone, initialise

SIDE = 227
"""Pixels of a side of the usual input."""

MAP, CHANNELS, WIDTH = 6, 256, 4096
"""Sides and channels of the last map, and outputs of each dense layer."""

RADIUS, ALPHA, BETA = 2, 2e-5, 0.75
"""Of the normalisation; ALPHA multiplies each square, where torch's ``alpha`` is of their mean."""


class AlexNet(Backbone):
    """Five convolutions and two dense layers, ``[n, 3, 227, 227]`` to ``[n, 4096, 1, 1]``.

    Layers have the names of the Caffe model; most of its 57 million numbers lie in the two dense ones, which
    drop half of their outputs in training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, 4)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, CHANNELS, 3, padding=1, groups=2)
        self.fc6 = nn.Linear(CHANNELS * MAP**2, WIDTH)
        self.fc7 = nn.Linear(WIDTH, WIDTH)
        self.dim = WIDTH
        initialise(self)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return ``conv1`` to ``conv5``, ``fc6`` and ``fc7``."""
        return list(self.named_children())

    def advance(self, name: str, stage: nn.Module, x: Tensor) -> Tensor:
        """See :meth:`Backbone.advance`; ``conv5`` gives ``[n, 256, 6, 6]`` and ``fc6`` ``[n, 4096, 1, 1]``.

        Raises:
            PerisphereError: ``fc6`` gets a map of another size.
        """
        if name.startswith("fc"):
            return self._dense(stage, x)
        x = F.relu(stage(x), inplace=True)
        if name in ("conv1", "conv2"):
            return normalised(F.max_pool2d(x, 3, 2))
        return F.max_pool2d(x, 3, 2) if name == "conv5" else x

    def _dense(self, stage: nn.Module, x: Tensor) -> Tensor:
        if stage is self.fc6 and x.shape[2:] != (MAP, MAP):
            raise PerisphereError(
                f"alexnet's fc6 takes a map of {MAP} x {MAP} and got {x.shape[2]} x {x.shape[3]}: give "
                f"images of {SIDE} x {SIDE} pixels (preprocessing.size)."
            )
        x = F.relu(stage(x.flatten(1)), inplace=True)
        return F.dropout(x, 0.5, self.training)[:, :, None, None]


def normalised(x: Tensor) -> Tensor:
    """Return local response normalisation across channels (section 3.3 of the paper), float ``[n, c, h, w]``.

    Torch's own pools in three dimensions, which takes three times as long on a processor.
    """
    squares = F.pad(x.square(), (0, 0, 0, 0, RADIUS, RADIUS))
    slices = (squares[:, first : first + x.shape[1]] for first in range(2 * RADIUS + 1))
    around = reduce(torch.add, slices)
    return x * (1 + ALPHA * around).pow(-BETA)

"""What every backbone offers, and how every backbone is initialised."""

from torch import Tensor, nn


class Backbone(nn.Module):
    """A network from images ``[n, 3, h, w]`` to a feature map ``[n, dim, h', w']``.

    Attributes:
        dim: channels of the feature map.
    """

    dim: int

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return the named stages from the input to the output; each parameter is in exactly one."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature map of a preprocessed batch."""
        raise NotImplementedError


def initialise(backbone: Backbone) -> None:
    """Draw the convolutions from He et al.'s (2015) normal distribution; normalisations start as identity."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)

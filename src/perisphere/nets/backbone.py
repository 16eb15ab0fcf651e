"""What every backbone offers, and how every backbone is initialised."""

from collections.abc import Callable

from torch import Tensor, nn


class Backbone(nn.Module):
    """A network from images ``[n, 3, h, w]`` to a feature map ``[n, dim, h', w']``.

    Attributes:
        dim: channels of the feature map.
        nonnegative: whether no number of the feature map is ever below zero.
    """

    dim: int
    nonnegative: bool = True

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return the named stages from the input to the output; each parameter is in exactly one."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature map of a preprocessed batch."""
        raise NotImplementedError


def he_fan_out(weight: Tensor) -> Tensor:
    """Draw a layer's weights from He et al.'s (2015) normal distribution, by its outputs."""
    return nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


def initialise(backbone: Backbone, draw: Callable[[Tensor], Tensor] = he_fan_out) -> None:
    """Draw the weights; offsets start at zero, normalisations as identity."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if not module.weight.is_meta:  # drawing what is not there takes longest
                draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.InstanceNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)

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
        return self.run(images)

    def run(self, x: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Pass ``x`` through the stages from the ``start``-th up to, and without, the ``stop``-th.

        Args:
            x: images, or what the stage before ``start`` gave.
            start: 0 is the first stage.
            stop: ``None`` runs to the end.
        """
        for name, stage in self.stages()[start:stop]:
            x = self.advance(name, stage, x)
        return x

    def advance(self, name: str, stage: nn.Module, x: Tensor) -> Tensor:
        """Return what a stage makes of ``x``, with what stands between it and the next one."""
        return stage(x)

    @property
    def splits(self) -> bool:
        """Whether :meth:`run` can begin at any stage, since one tensor is all that passes to the next."""
        return type(self).forward is Backbone.forward


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

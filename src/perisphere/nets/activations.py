"""The nonlinearities by name."""

from typing import Literal, get_args

from torch import nn

Nonlinearity = Literal["relu", "selu"]
NONLINEARITIES: tuple[Nonlinearity, ...] = get_args(Nonlinearity)


def activation(name: Nonlinearity, inplace: bool = True) -> nn.Module:
    """Return the nonlinearity of this name.

    Source: SELU: Klambauer et al., "Self-normalizing neural networks", NIPS 2017.

    Args:
        name: one of :data:`NONLINEARITIES`.
        inplace: whether it overwrites its argument.
    """
    return nn.ReLU(inplace) if name == "relu" else nn.SELU(inplace)

"""The nonlinearities by name."""

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional as F

Activation = Literal["relu", "selu"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


def activation(name: Activation) -> Callable[[Tensor], Tensor]:
    """Return the function of this name, which may overwrite its argument.

    Source: SELU: Klambauer et al., "Self-normalizing neural networks", NIPS 2017.
    """
    return _relu if name == "relu" else _selu


def _relu(x: Tensor) -> Tensor:
    return F.relu(x, inplace=True)


def _selu(x: Tensor) -> Tensor:
    return F.selu(x, inplace=True)

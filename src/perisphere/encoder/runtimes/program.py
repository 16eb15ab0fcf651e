"""An encoder's network as a graph that no longer needs its Python code (``torch.export``)."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from perisphere.codes import VladNet
from perisphere.errors import PerisphereError

if TYPE_CHECKING:
    from perisphere.encoder.encoder import Encoder

Sides: TypeAlias = tuple[int, int]


class Samples(Protocol):
    """What a network is given for some photos, float32 ``[1, 3, h, w]`` each; can be gone through again."""

    def __len__(self) -> int:
        """Return how many there are at most."""
        ...

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield them."""
        ...


INPUT = "images"


def one_size(encoder: "Encoder") -> Sides | None:
    """Return height and width of whatever the network is given; ``None`` where pictures differ in them."""
    single = encoder.preprocessing.one_size and encoder.scales.factors == (1.0,)
    return encoder.preprocessing.size if single else None


def exported_program(encoder: "Encoder") -> ExportedProgram:
    """Return the graph from float32 ``[n, 3, h, w]`` to float32 ``[n, net.dim]``, ``n`` any number.

    Height and width are those of the encoder's input where all pictures have one size, and else any.

    Raises:
        PerisphereError: torch cannot tell what the network does apart from its Python code.
    """
    if isinstance(encoder.net, VladNet):
        raise PerisphereError(
            f"the encoder {encoder.name!r} is SIFT + VLAD and has no network to export. Leave --runtime out."
        )
    net = copy.deepcopy(encoder.net).cpu().eval().requires_grad_(False)
    sides = one_size(encoder)
    # Sides that differ, so that no rule of square pictures slips into a graph for any.
    height, width = sides or (_even(encoder.preprocessing.size[0]), _even(encoder.preprocessing.size[1]) + 32)
    moving = {0: Dim.DYNAMIC} if sides else {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    try:
        with silent(), torch.no_grad():
            return torch.export.export(
                _Images(net), (torch.zeros(2, 3, height, width),), dynamic_shapes=(moving,)
            )
    except Exception as error:  # torch.export has no base class of its own for what it cannot do
        reason = str(error).strip().split("\n")[0][:200]
        raise PerisphereError(
            f"the network of the encoder {encoder.name!r} cannot be exported "
            f"({type(error).__name__}: {reason}). Leave --runtime out; torch runs it."
        ) from error


class _Images(nn.Module):
    """The network under one name of its input."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = self.net(images)
        return rows.float()


def _even(side: int) -> int:
    return max(64, min(side, 256) // 32 * 32)


@contextmanager
def silent() -> Iterator[None]:
    """Keep what exporters say while they try things to themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

"""A network as another runtime than torch runs it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from perisphere.encoder.runtimes.names import Engine


@dataclass(frozen=True)
class Compiled:
    """What takes the place of a network.

    Attributes:
        runtime: that runs it.
        dtype: of its products.
        run: float32 ``[n, 3, h, w]`` to float32 ``[n, d]``.
    """

    runtime: Engine
    dtype: torch.dtype
    run: Callable[[torch.Tensor], torch.Tensor]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 ``[n, d]`` of preprocessed images, float32 ``[n, 3, h, w]``."""
        return self.run(images)

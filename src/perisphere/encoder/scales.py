"""One descriptor of a picture seen at several scales.

Source: Radenovic, Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation", TPAMI 2018,
sections 3.4 and 4.1.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

Factor = Annotated[float, Field(ge=0.05, le=8, allow_inf_nan=False)]


class Scales(BaseModel):
    """The scales at which a picture is embedded, and how their unit vectors become one.

    Attributes:
        factors: of the sides of the preprocessed picture.
        power: of the power mean; 1 is the plain mean. Any other needs embeddings without negative numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    factors: tuple[Factor, ...] = Field(default=(1.0,), min_length=1, max_length=16)
    power: float = Field(default=1.0, ge=1e-2, le=100, allow_inf_nan=False)

    @property
    def single(self) -> bool:
        """Whether the picture is embedded once, as it is."""
        return self.factors == (1.0,)

    def __call__(self, net: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Embed normalised images, float32 ``[n, 3, h, w]``, as float32 ``[n, d]``.

        At one scale these are the network's own vectors; at several, the power mean of the scales' unit
        vectors, itself of length one. A zero stays zero.
        """
        if self.single:
            return net(images).float()
        return power_mean([unit(net(scaled(images, factor)).float()) for factor in self.factors], self.power)


def scaled(images: Tensor, factor: float) -> Tensor:
    """Resize ``[n, c, h, w]`` bilinearly to the sides times ``factor``, rounded down.

    The step between samples is exactly ``1 / factor`` and corners are not aligned, as published descriptors
    were computed.
    """
    if factor == 1:
        return images
    return F.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)


def power_mean(vectors: Sequence[Tensor], power: float) -> Tensor:
    """Return ``mean(v ** power) ** (1 / power)`` of unit rows ``[n, d]``, at length one."""
    stacked = torch.stack(list(vectors))
    if power == 1:
        return unit(stacked.mean(dim=0))
    return unit(stacked.pow(power).mean(dim=0).pow(1 / power))


def unit(vectors: Tensor) -> Tensor:
    """Return the rows at length one; a zero row stays zero."""
    lengths = vectors.norm(dim=-1, keepdim=True)
    return vectors / torch.where(lengths > 0, lengths, 1)

"""One descriptor of a picture seen at several scales, and in several views.

Source: Radenovic, Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation", TPAMI 2018,
sections 3.4 and 4.1; ten views: Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.1.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

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
        views: ``ten`` takes the mean of what the network gives for ten views: the corners and the middle of a
            larger picture, and their mirror images.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    factors: tuple[Factor, ...] = Field(default=(1.0,), min_length=1, max_length=16)
    power: float = Field(default=1.0, ge=1e-2, le=100, allow_inf_nan=False)
    views: Literal["one", "ten"] = "one"

    @property
    def single(self) -> bool:
        """Whether the picture is embedded once, as it is."""
        return self.factors == (1.0,) and self.views == "one"

    def __call__(
        self, net: Callable[[Tensor], Tensor], images: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        """Embed normalised images, float32 ``[n, 3, h, w]``, as float32 ``[n, d]``.

        At one scale these are the network's own vectors, or the mean of those of ten views; at several, the
        power mean of the scales' unit vectors, itself of length one. A zero stays zero.

        Args:
            net: what embeds them.
            images: as large as the preprocessing says, or with ten views as large as it is uncut.
            size: height and width of a view; ``None``: of the images.
        """
        if self.single:
            return net(images).float()
        size = size or (images.shape[2], images.shape[3])
        rows = [self._seen(net, images, factor, size) for factor in self.factors]
        return rows[0] if self.factors == (1.0,) else power_mean([unit(row) for row in rows], self.power)

    def _seen(
        self, net: Callable[[Tensor], Tensor], images: Tensor, factor: float, size: tuple[int, int]
    ) -> Tensor:
        """Return the mean over views of what the network gives at one scale."""
        views = [images] if self.views == "one" else ten_views(images, size)
        rows = [net(scaled(view, factor)).float() for view in views]
        return rows[0] if len(rows) == 1 else torch.stack(rows).mean(dim=0)


def ten_views(images: Tensor, size: tuple[int, int]) -> Iterator[Tensor]:
    """Yield corners and middle of ``[n, c, h, w]``, ``size`` each, and the same of the mirror images.

    Where the margin is odd, the far corners lie one pixel inside, twice as far as the middle, as published
    with WSDHQ.
    """
    height, width = size
    down, across = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
    for turned in (images, images.flip(3)):
        for row, column in ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1)):
            top, left = row * down, column * across
            yield turned[:, :, top : top + height, left : left + width]


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

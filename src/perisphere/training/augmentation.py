"""Random crops, flips, colours and erasing on whole batches.

Plain batched tensor operations: one resampling does crop, scale and flip together. Every draw comes from a
generator seeded by (seed, epoch, step), so that a resumed run sees the same pictures, and the draws are made
for the whole batch before it is shared out among devices, so that their number changes nothing.
"""

import math
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional

REDRAWS = 15
"""Further draws of a rectangle that does not fit into the picture."""

GREY = (0.299, 0.587, 0.114)
"""What red, green and blue count for in grey."""

CROPS = 10
"""Draws of a crop that has to fit into the picture."""


class Windows(NamedTuple):
    """What is seen of pictures, in shares of their sides; it may reach beyond them.

    Attributes:
        top: float ``[n]``, of the upper edge.
        left: float ``[n]``.
        height: float ``[n]``.
        width: float ``[n]``.
        mirrored: bool ``[n]``, left and right are exchanged afterwards.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    mirrored: Tensor

    def points(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Move points of the pictures along.

        Args:
            points: float ``[n, k, 2]``, row and column in 0..1 of each picture.

        Returns:
            The same within the windows, float ``[n, k, 2]``, and whether each point is seen, bool ``[n, k]``;
            the edges are.
        """
        rows = (points[..., 0] - self.top[:, None]) / self.height[:, None]
        columns = (points[..., 1] - self.left[:, None]) / self.width[:, None]
        columns = torch.where(self.mirrored[:, None], 1 - columns, columns)
        moved = torch.stack((rows, columns), -1)
        return moved, ((moved >= 0) & (moved <= 1)).all(-1)

    @classmethod
    def whole(cls, count: int, device: torch.device) -> "Windows":
        """See all of ``count`` pictures."""
        zero, one = torch.zeros(count, device=device), torch.ones(count, device=device)
        return cls(zero, zero, one, one, zero.bool())


class Varied(NamedTuple):
    """Changed pictures float32 ``[n, 3, h, w]`` in 0..1, and what they show of the given ones."""

    images: Tensor
    windows: Windows


class Augmentation(BaseModel):
    """What is changed at random in a training picture; everything off is plain resizing.

    With ``shorter`` the whole photo is scaled so that its shorter side has a random number of pixels of that
    range, and the network's input is cut out of it anywhere (``preprocessing.size``, aspect ratio kept). This
    is done while decoding, so that photos are decoded anew in every epoch and not kept in memory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop_area: tuple[float, float] = Field(default=(1.0, 1.0), description="share of the picture's area kept")
    crop_ratio: tuple[float, float] = Field(default=(3 / 4, 4 / 3), description="width / height of the crop")
    crop_draw: Literal["clamped", "redrawn"] = Field(
        default="clamped",
        description="redrawn: a crop that reaches beyond the picture is drawn again; clamped: it is cut off",
    )
    shorter: tuple[Annotated[int, Field(ge=1, le=8192)], Annotated[int, Field(ge=1, le=8192)]] | None = Field(
        default=None, description="pixels of the shorter side, from and to, before a random place is cut out"
    )
    shift: float = Field(default=0.0, ge=0, le=0.5, description="share of the side")
    zoom: float = Field(
        default=0.0, ge=0, lt=1, description="width and height each seen at 1 - zoom to 1 + zoom"
    )
    pad: int = Field(
        default=0,
        ge=0,
        le=256,
        description="black pixels added on each side before the input is cut out again",
    )
    border: Literal["reflection", "edge"] = Field(default="reflection", description="beyond the picture")
    flip: float = Field(default=0.0, ge=0, le=1, description="probability of a left-right mirror")
    brightness: float = Field(default=0.0, ge=0, lt=1)
    contrast: float = Field(default=0.0, ge=0, lt=1)
    saturation: float = Field(default=0.0, ge=0, lt=1)
    hue: float = Field(default=0.0, ge=0, le=0.5, description="turns, to either side")
    colours: float = Field(default=1.0, gt=0, le=1, description="probability that the colours change at all")
    erase: float = Field(default=0.0, ge=0, le=1, description="probability of an erased rectangle")
    erase_area: tuple[float, float] = (0.02, 0.2)
    erase_ratio: tuple[float, float] = Field(
        default=(1 / 3, 3.0), description="width / height of the rectangle, in pixels"
    )
    erase_spread: Literal["log", "even"] = Field(
        default="log", description="how ratios are drawn; even: height / width evenly, as first published"
    )
    erase_fill: Literal["grey", "mean", "noise"] = Field(
        default="grey", description="mean: the colour that becomes 0 for the network"
    )
    margin: float = Field(default=1.0, ge=1, le=2, description="pictures are decoded this much larger")

    @model_validator(mode="after")
    def _ranges(self) -> "Augmentation":
        for name in ("crop_area", "crop_ratio", "erase_area", "erase_ratio", "shorter"):
            low, high = getattr(self, name) or (1, 1)
            area = name.endswith("area")
            if not 0 < low <= high < math.inf or (area and high > 1):
                limit = " <= 1" if area else ""
                raise ValueError(f"{name} is [{low}, {high}]: give two numbers, 0 < low <= high{limit}")
        if self.shorter is not None and (self.crop_area != (1.0, 1.0) or self.margin != 1):
            raise ValueError("shorter cuts at random already; leave crop_area and margin out")
        if self.border != "reflection" and not (self.shift or self.zoom):
            raise ValueError("border is for shift and zoom; set one, or leave border out")
        for name in ("erase_area", "erase_ratio", "erase_spread", "erase_fill"):
            if not self.erase and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} needs erase above 0; set it, or leave {name} out")
        if self.colours < 1 and not (self.brightness or self.contrast or self.saturation or self.hue):
            raise ValueError(
                "colours is for brightness, contrast, saturation and hue: set one, or leave it out"
            )
        if self.crop_area[0] == 1 and self.crop_draw != "clamped":
            raise ValueError("crop_draw needs a crop: set crop_area, e.g. [0.9, 1.0], or leave crop_draw out")
        if self.crop_area[0] == 1 and self.crop_ratio != (3 / 4, 4 / 3):
            raise ValueError(
                "crop_ratio needs a crop: set crop_area, e.g. [0.5, 1.0], or leave crop_ratio out"
            )
        return self

    @property
    def active(self) -> bool:
        """Whether a picture may come out changed."""
        return self != Augmentation()

    def __call__(
        self,
        images: Tensor,
        size: tuple[int, int],
        seed: int,
        rank: int = 0,
        world: int = 1,
        mean: tuple[float, float, float] = (0.5, 0.5, 0.5),
    ) -> Tensor:
        """Return changed pictures, float32 ``[n, 3, *size]`` in 0..1; see :meth:`varied`."""
        return self.varied(images, size, seed, rank, world, mean).images

    def varied(
        self,
        images: Tensor,
        size: tuple[int, int],
        seed: int,
        rank: int = 0,
        world: int = 1,
        mean: tuple[float, float, float] = (0.5, 0.5, 0.5),
        aspects: Tensor | None = None,
    ) -> Varied:
        """Change pictures, and say what is seen of them.

        Args:
            images: float32 ``[n, 3, h, w]`` in 0..1.
            size: ``(height, width)`` of the result.
            seed: of this batch; the same seed gives the same pictures.
            rank: these are the ``rank``-th of ``world`` equal parts of the batch (several devices).
            world: number of parts.
            mean: colour of ``erase_fill: mean``, red, green and blue in 0..1.
            aspects: float ``[n]``, width / height of the photos, where the pictures are distorted;
                ``crop_draw: redrawn`` gives its crops their ratio there.

        Returns:
            The pictures, ``[n, 3, *size]``. Windows do not tell what ``pad`` moves.
        """
        draws = torch.Generator().manual_seed(seed)
        count = len(images)

        def draw(numbers: int) -> Tensor:
            whole = torch.rand(count * world, numbers, generator=draws)
            return whole[rank * count : (rank + 1) * count].to(images.device)

        place, colours, hole, zoom = draw(5), draw(3), draw(5), draw(2)
        again = draw(2 * CROPS) if self.crop_draw == "redrawn" else None
        given = images.shape[3] / images.shape[2]
        windows = self._windows(place, zoom, again, aspects if aspects is not None else given)
        images = self._resample(images, size, windows)
        if self.pad:
            images = self._cut_out(images, draw(2))
        images = self._colour(images, colours, draw(2) if self.hue or self.colours < 1 else None)
        if not self.erase:
            return Varied(images, windows)
        aspect = size[1] / size[0]
        hole = self._holes(size, hole, draw(2 * REDRAWS) if self._may_not_fit(aspect) else draw(0))
        return Varied(self._erase(images, hole, draws, mean), windows)

    def _windows(self, u: Tensor, zoom: Tensor, again: Tensor | None, aspects: Tensor | float) -> Windows:
        """Return what is seen of each picture."""
        mirrored = u[:, 4] < self.flip
        if self.crop_area == (1.0, 1.0) and not (self.shift or self.zoom):
            return Windows.whole(len(u), u.device)._replace(mirrored=mirrored)
        width, height = self._crop(u) if again is None else self._fitting_crop(again, aspects)
        x = (2 * u[:, 2] - 1) * (1 - width + 2 * self.shift)
        y = (2 * u[:, 3] - 1) * (1 - height + 2 * self.shift)
        width, height = torch.stack((width, height)) * (1 + self.zoom * (2 * zoom.T - 1))
        return Windows((y + 1 - height) / 2, (x + 1 - width) / 2, height, width, mirrored)

    def _crop(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return width and height of crops, cut off where they reach beyond the picture."""
        area = self.crop_area[0] + u[:, 0] * (self.crop_area[1] - self.crop_area[0])
        low, high = (math.log(ratio) for ratio in self.crop_ratio)
        ratio = torch.exp(low + u[:, 1] * (high - low)) if self.crop_area[0] < 1 else torch.ones_like(area)
        return (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)

    def _fitting_crop(self, u: Tensor, aspects: Tensor | float) -> tuple[Tensor, Tensor]:
        """Return width and height of the first of several crops that fits into its picture.

        Where none does, it is the whole picture, cut to the nearest ratio that is allowed.

        Args:
            u: float ``[n, 2 * CROPS]`` in 0..1.
            aspects: width / height of the pictures, float ``[n]``.
        """
        low, high = self.crop_ratio
        area = self.crop_area[0] + u[:, 0::2] * (self.crop_area[1] - self.crop_area[0])
        ratio = torch.exp(math.log(low) + u[:, 1::2] * (math.log(high) - math.log(low)))
        aspect = torch.as_tensor(aspects, dtype=u.dtype, device=u.device).expand(len(u))
        width, height = (area * ratio / aspect[:, None]).sqrt(), (area / ratio * aspect[:, None]).sqrt()
        fits = (width <= 1) & (height <= 1)
        first = fits.int().argmax(1, keepdim=True)
        width, height = (side.gather(1, first).squeeze(1) for side in (width, height))
        some = fits.any(1)
        whole = aspect.clamp(low, high) / aspect
        return whole.clamp(max=1).where(~some, width), (1 / whole).clamp(max=1).where(~some, height)

    def _resample(self, images: Tensor, size: tuple[int, int], windows: Windows) -> Tensor:
        """Crop, shift, zoom, mirror and resize in one bilinear resampling."""
        if self.crop_area == (1.0, 1.0) and not (self.shift or self.zoom):
            if images.shape[2:] != size:
                images = functional.interpolate(images, size, mode="area")
            mirrored = windows.mirrored[:, None, None, None]
            return torch.where(mirrored, images.flip(3), images) if self.flip else images
        top, left, height, width, _ = windows
        x, y = 2 * left + width - 1, 2 * top + height - 1
        mirrored = torch.where(windows.mirrored, -1.0, 1.0)
        zero = torch.zeros_like(x)
        rows = (torch.stack((width * mirrored, zero, x), 1), torch.stack((zero, height, y), 1))
        grid = functional.affine_grid(torch.stack(rows, 1), [len(images), 3, *size], align_corners=False)
        border = "reflection" if self.border == "reflection" and (self.shift or self.zoom) else "border"
        return functional.grid_sample(images, grid, padding_mode=border, align_corners=False)

    def _colour(self, images: Tensor, u: Tensor, further: Tensor | None) -> Tensor:
        """Change the colours of some pictures: brightness, contrast and saturation, then the hue."""
        changed = self._shade(images, u)
        if further is None:
            return changed
        if self.hue:
            changed = _turned(changed, self.hue * (2 * further[:, 0] - 1))
        return changed.where((further[:, 1] < self.colours)[:, None, None, None], images)

    def _shade(self, images: Tensor, u: Tensor) -> Tensor:
        """Scale brightness, contrast (about the mean grey) and saturation (about each pixel's grey)."""
        if not (self.brightness or self.contrast or self.saturation):
            return images
        spread = torch.tensor([self.brightness, self.contrast, self.saturation], device=u.device)
        brightness, contrast, saturation = (1 + (2 * u - 1) * spread)[:, :, None, None, None].unbind(1)
        weights = torch.tensor(GREY, device=images.device, dtype=images.dtype)
        grey = (images * weights[:, None, None]).sum(1, keepdim=True)
        mean = grey.mean((2, 3), keepdim=True)
        # One affine map: b * (c * (s * x + (1 - s) * grey) + (1 - c) * mean).
        shade = (brightness * contrast * (1 - saturation)) * grey + brightness * (1 - contrast) * mean
        return (images * (brightness * contrast * saturation) + shade).clamp_(0, 1)

    def _cut_out(self, images: Tensor, u: Tensor) -> Tensor:
        """Add black pixels around each picture and cut a window of the old size out, anywhere."""
        height, width = images.shape[2:]
        top, left = (u * (2 * self.pad + 1)).long().clamp(max=2 * self.pad).T
        rows = top[:, None, None] + torch.arange(height, device=u.device)[:, None]
        columns = left[:, None, None] + torch.arange(width, device=u.device)
        padded = functional.pad(images, [self.pad] * 4)
        numbers = torch.arange(len(images), device=u.device)[:, None, None]
        return padded[numbers, :, rows, columns].permute(0, 3, 1, 2)

    def _may_not_fit(self, aspect: float) -> bool:
        """Return whether a rectangle can be longer than a side of pictures of this width / height."""
        low, high = self.erase_ratio
        return self.erase_area[1] * max(high / aspect, aspect / low) > 1

    def _holes(self, size: tuple[int, int], u: Tensor, again: Tensor) -> Tensor:
        """Return which pixels are erased, bool ``[n, h, w]``: a rectangle in some of the pictures.

        Where one does not fit, the next draw is taken (Zhong et al. 2020).
        """
        aspect = size[1] / size[0]
        area = torch.cat((u[:, 1:2], again[:, 0::2]), 1)
        area = self.erase_area[0] + area * (self.erase_area[1] - self.erase_area[0])
        ratio = self._ratios(torch.cat((u[:, 2:3], again[:, 1::2]), 1))
        width, height = (area * ratio / aspect).sqrt(), (area / ratio * aspect).sqrt()
        fitting = ((width <= 1) & (height <= 1)).int().argmax(1, keepdim=True)
        width, height = (side.gather(1, fitting).squeeze(1).clamp(max=1) for side in (width, height))
        left, top = u[:, 3] * (1 - width), u[:, 4] * (1 - height)
        rows = (torch.arange(size[0], device=u.device) + 0.5) / size[0]
        columns = (torch.arange(size[1], device=u.device) + 0.5) / size[1]
        within_y = (rows >= top[:, None]) & (rows < (top + height)[:, None])
        within_x = (columns >= left[:, None]) & (columns < (left + width)[:, None])
        return within_y[:, :, None] & within_x[:, None, :] & (u[:, 0] < self.erase)[:, None, None]

    def _ratios(self, u: Tensor) -> Tensor:
        """Return width / height of rectangles, in pixels."""
        low, high = self.erase_ratio
        if self.erase_spread == "even":
            return 1 / (1 / high + u * (1 / low - 1 / high))
        return torch.exp(math.log(low) + u * (math.log(high) - math.log(low)))

    def _erase(
        self, images: Tensor, hole: Tensor, draws: torch.Generator, mean: tuple[float, float, float]
    ) -> Tensor:
        """Fill the holes (random erasing, Zhong et al. 2020)."""
        if self.erase_fill == "grey":
            return images.masked_fill(hole[:, None], 0.5)
        if self.erase_fill == "mean":
            return torch.where(hole[:, None], torch.tensor(mean).to(images)[:, None, None], images)
        # One picture of noise for the batch: each hole shows another part of it, on any number of devices.
        noise = torch.rand(images.shape[1:], generator=draws).to(images)
        return torch.where(hole[:, None], noise, images)


def _turned(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of pictures in 0..1 by shares of a whole turn ``[n]``, about the axis of greys.

    A rotation of the two colour differences of YIQ: linear, and grey stays what it is.
    """
    to_yiq = torch.tensor(
        [GREY, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)], device=images.device, dtype=images.dtype
    )
    cos, sin = (2 * math.pi * turns).cos(), (2 * math.pi * turns).sin()
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    rows = (torch.stack(row, 1) for row in ((one, zero, zero), (zero, cos, -sin), (zero, sin, cos)))
    turn = torch.linalg.inv(to_yiq) @ torch.stack(tuple(rows), 1).to(images.dtype) @ to_yiq
    return torch.einsum("nij,njhw->nihw", turn, images).clamp_(0, 1)

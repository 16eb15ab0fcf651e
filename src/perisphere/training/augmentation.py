"""Random crops, flips, colours and erasing on whole batches.

Plain batched tensor operations: one resampling does crop, scale and flip together. Every draw comes from a
generator seeded by (seed, epoch, step), so that a resumed run sees the same pictures, and the draws are made
for the whole batch before it is shared out among devices, so that their number changes nothing.
"""

import math
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional


class Augmentation(BaseModel):
    """What is changed at random in a training picture; everything off is plain resizing.

    With ``shorter`` the whole photo is scaled so that its shorter side has a random number of pixels of that
    range, and the network's input is cut out of it anywhere (``preprocessing.size``, aspect ratio kept). This
    is done while decoding, so that photos are decoded anew in every epoch and not kept in memory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop_area: tuple[float, float] = Field(default=(1.0, 1.0), description="share of the picture's area kept")
    crop_ratio: tuple[float, float] = Field(default=(3 / 4, 4 / 3), description="width / height of the crop")
    shorter: tuple[Annotated[int, Field(ge=1, le=8192)], Annotated[int, Field(ge=1, le=8192)]] | None = Field(
        default=None, description="pixels of the shorter side, from and to, before a random place is cut out"
    )
    shift: float = Field(default=0.0, ge=0, le=0.5, description="share of the side")
    zoom: float = Field(
        default=0.0, ge=0, lt=1, description="width and height each seen at 1 - zoom to 1 + zoom"
    )
    border: Literal["reflection", "edge"] = Field(default="reflection", description="beyond the picture")
    flip: float = Field(default=0.0, ge=0, le=1, description="probability of a left-right mirror")
    brightness: float = Field(default=0.0, ge=0, lt=1)
    contrast: float = Field(default=0.0, ge=0, lt=1)
    saturation: float = Field(default=0.0, ge=0, lt=1)
    erase: float = Field(default=0.0, ge=0, le=1, description="probability of an erased rectangle")
    erase_area: tuple[float, float] = (0.02, 0.2)
    erase_ratio: tuple[float, float] = Field(
        default=(1 / 3, 3.0), description="width / height of the rectangle"
    )
    erase_fill: Literal["grey", "noise"] = "grey"
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
        for name in ("erase_area", "erase_ratio", "erase_fill"):
            if not self.erase and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} needs erase above 0; set it, or leave {name} out")
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
        self, images: Tensor, size: tuple[int, int], seed: int, rank: int = 0, world: int = 1
    ) -> Tensor:
        """Return changed pictures.

        Args:
            images: float32 ``[n, 3, h, w]`` in 0..1.
            size: ``(height, width)`` of the result.
            seed: of this batch; the same seed gives the same pictures.
            rank: these are the ``rank``-th of ``world`` equal parts of the batch (several devices).
            world: number of parts.

        Returns:
            float32 ``[n, 3, *size]`` in 0..1.
        """
        draws = torch.Generator().manual_seed(seed)
        count = len(images)

        def draw(numbers: int) -> Tensor:
            whole = torch.rand(count * world, numbers, generator=draws)
            return whole[rank * count : (rank + 1) * count].to(images.device)

        place, colours, hole, zoom = draw(5), draw(3), draw(5), draw(2)
        images = self._resample(images, size, place, zoom)
        images = self._colour(images, colours)
        return self._erase(images, hole, draws)

    def _resample(self, images: Tensor, size: tuple[int, int], u: Tensor, zoom: Tensor) -> Tensor:
        """Crop, shift, zoom, mirror and resize in one bilinear resampling."""
        if self.crop_area == (1.0, 1.0) and not (self.shift or self.flip or self.zoom):
            return images if images.shape[2:] == size else functional.interpolate(images, size, mode="area")
        area = self.crop_area[0] + u[:, 0] * (self.crop_area[1] - self.crop_area[0])
        low, high = (math.log(ratio) for ratio in self.crop_ratio)
        ratio = torch.exp(low + u[:, 1] * (high - low)) if self.crop_area[0] < 1 else torch.ones_like(area)
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        x = (2 * u[:, 2] - 1) * (1 - width + 2 * self.shift)
        y = (2 * u[:, 3] - 1) * (1 - height + 2 * self.shift)
        width, height = torch.stack((width, height)) * (1 + self.zoom * (2 * zoom.T - 1))
        mirrored = torch.where(u[:, 4] < self.flip, -1.0, 1.0)
        zero = torch.zeros_like(x)
        rows = (torch.stack((width * mirrored, zero, x), 1), torch.stack((zero, height, y), 1))
        grid = functional.affine_grid(torch.stack(rows, 1), [len(images), 3, *size], align_corners=False)
        border = "reflection" if self.border == "reflection" and (self.shift or self.zoom) else "border"
        return functional.grid_sample(images, grid, padding_mode=border, align_corners=False)

    def _colour(self, images: Tensor, u: Tensor) -> Tensor:
        """Scale brightness, contrast (about the mean grey) and saturation (about each pixel's grey)."""
        if not (self.brightness or self.contrast or self.saturation):
            return images
        spread = torch.tensor([self.brightness, self.contrast, self.saturation], device=u.device)
        brightness, contrast, saturation = (1 + (2 * u - 1) * spread)[:, :, None, None, None].unbind(1)
        weights = torch.tensor([0.299, 0.587, 0.114], device=images.device, dtype=images.dtype)
        grey = (images * weights[:, None, None]).sum(1, keepdim=True)
        mean = grey.mean((2, 3), keepdim=True)
        # One affine map: b * (c * (s * x + (1 - s) * grey) + (1 - c) * mean).
        shade = (brightness * contrast * (1 - saturation)) * grey + brightness * (1 - contrast) * mean
        return (images * (brightness * contrast * saturation) + shade).clamp_(0, 1)

    def _erase(self, images: Tensor, u: Tensor, draws: torch.Generator) -> Tensor:
        """Erase one rectangle (random erasing, Zhong et al. 2020)."""
        if not self.erase:
            return images
        area = self.erase_area[0] + u[:, 1] * (self.erase_area[1] - self.erase_area[0])
        low, high = (math.log(ratio) for ratio in self.erase_ratio)
        ratio = torch.exp(low + u[:, 2] * (high - low))
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        left, top = u[:, 3] * (1 - width), u[:, 4] * (1 - height)
        rows = (torch.arange(images.shape[2], device=u.device) + 0.5) / images.shape[2]
        columns = (torch.arange(images.shape[3], device=u.device) + 0.5) / images.shape[3]
        within_y = (rows >= top[:, None]) & (rows < (top + height)[:, None])
        within_x = (columns >= left[:, None]) & (columns < (left + width)[:, None])
        chosen = (u[:, 0] < self.erase)[:, None, None]
        hole = within_y[:, :, None] & within_x[:, None, :] & chosen
        if self.erase_fill == "grey":
            return images.masked_fill(hole[:, None], 0.5)
        # One picture of noise for the batch: each hole shows another part of it, on any number of devices.
        noise = torch.rand(images.shape[1:], generator=draws).to(images)
        return torch.where(hole[:, None], noise, images)

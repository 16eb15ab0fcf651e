"""What happens to a picture between its decoded pixels and the network."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

import cv2
import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from perisphere.encoder.published import published_fields
from perisphere.errors import PerisphereError, UsageError

_INTERPOLATION = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "bicubic": cv2.INTER_CUBIC}
# Pillow's filters grow with the shrinking and so leave nothing to alias; OpenCV's do not.
_SMOOTH = {
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
}
Triple = tuple[float, float, float]
STRIP = 4
Box = Sequence[float]


class View(NamedTuple):
    """A part of a picture to train with, of the network's input size once scaled.

    Attributes:
        shorter: pixels that the picture's shorter side is scaled to.
        x: share (0..1) of the free width that lies left of the part.
        y: share (0..1) of the free height that lies above it.
    """

    shorter: int
    x: float
    y: float


class Preprocessing(BaseModel):
    """Resizing of one picture (OpenCV, uint8) and normalisation of a batch (torch, float32).

    The two halves are apart because the first runs in the decoding threads on a quarter of the bytes, and
    the second on the network's device.

    Attributes:
        size: height and width of the network's input, in pixels.
        shorter: ``crop`` and ``squash`` scale the shorter side to this many pixels, so that the centre that
            is cut out shows less than the whole of it; ``None``: the least that fills ``size``.
        resize: ``squash`` ignores the aspect ratio: the picture gets that of ``size``, before any centre is
            cut out; ``crop`` scales the shorter side and cuts the centre;
            ``pad`` scales the longer side and fills the rest with the mean colour; ``long`` shrinks to a
            longer side of at most ``size``, keeps the aspect ratio and never enlarges, so that pictures
            differ in size (the protocol of landmark retrieval).
        interpolation: of the last step; a shrinking of two times or more is first halved by box averages,
            as the reduced decoding of a JPEG does, so that both give nearly the same pixels. ``long`` takes
            the anti-aliasing filter of this name.
        smooth: ``squash`` and ``crop`` decode at full size and take the anti-aliasing filter of this name in
            one step, as programs that resize with Pillow do, to the same pixels; slower for large photos.
        channels: order of the channels that the network was trained with.
        scale: factor of the uint8 values, before ``mean`` and ``std``.
        mean: subtracted, in the order of ``channels``, in scaled units.
        std: divisor, in the order of ``channels``, in scaled units.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: tuple[int, int]
    shorter: Annotated[int, Field(ge=1, le=8192)] | None = None
    resize: Literal["squash", "crop", "pad", "long"] = "crop"
    interpolation: Literal["bilinear", "area", "bicubic"] = "bilinear"
    smooth: bool = False
    channels: Literal["RGB", "BGR"] = "RGB"
    scale: float = Field(default=1 / 255, gt=0, allow_inf_nan=False)
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        """Take ``NAME`` or ``{published: NAME, ...}`` with other fields laid over it."""
        given = {"published": given} if isinstance(given, str) else given
        if not isinstance(given, dict) or "published" not in given:
            return given
        return published_fields(str(given["published"])) | {
            k: v for k, v in given.items() if k != "published"
        }

    @field_validator("size")
    @classmethod
    def _positive_size(cls, size: tuple[int, int]) -> tuple[int, int]:
        if not all(1 <= side <= 8192 for side in size):
            raise ValueError(f"height and width must lie between 1 and 8192, not {size}")
        return size

    @field_validator("mean", "std")
    @classmethod
    def _finite(cls, values: Triple) -> Triple:
        if not np.isfinite(values).all():
            raise ValueError(f"three finite numbers are needed, not {values}")
        return values

    @field_validator("std")
    @classmethod
    def _positive_std(cls, std: Triple) -> Triple:
        if min(std) <= 0:
            raise ValueError(f"a standard deviation must be above 0, not {std}")
        return std

    @model_validator(mode="after")
    def _one_long_side(self) -> Self:
        if self.resize == "long" and self.size[0] != self.size[1]:
            raise ValueError(
                f"resize long has one limit for the longer side, so size is S, S, not {self.size}"
            )
        return self

    @model_validator(mode="after")
    def _smooth_in_one_step(self) -> Self:
        if self.smooth and self.resize not in ("squash", "crop"):
            raise ValueError(f"smooth is for resize: squash or crop, not {self.resize}; leave it out")
        if self.smooth and self.resize == "squash" and self.shorter is not None:
            raise ValueError("smooth squashes in one step, straight to size; leave shorter out")
        return self

    @model_validator(mode="after")
    def _shorter_side(self) -> Self:
        if self.shorter is not None and self.resize not in ("crop", "squash"):
            raise ValueError(f"shorter is for resize: crop or squash, not {self.resize}; leave it out")
        if self.shorter is not None and self.shorter < max(self.size):
            raise ValueError(
                f"shorter is {self.shorter}; it must be at least the larger side of size {self.size}"
            )
        return self

    @classmethod
    def published(cls, name: str) -> Self:
        """Return the preprocessing of a published system (:mod:`perisphere.encoder.published`).

        Args:
            name: ``DATASET[-large][-ilsvrcmean|-caffe]``, e.g. ``cifar-100``, ``nab-large``, ``cub-caffe``.

        Raises:
            UsageError: there is no such name.
        """
        try:
            return cls(**published_fields(name))
        except ValueError as error:
            raise UsageError(str(error).rstrip(".") + ".") from None

    @classmethod
    def legacy(cls) -> Self:
        """Return the preprocessing of older landmark checkpoints: 600 x 600, values 0 to 1, no mean or std.

        Their features were divided by their sum. Unit rows point in the same direction: ``v / v.sum()``
        gives those features back for L1 and L2 distances.
        """
        return cls(size=(600, 600), resize="squash", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    @classmethod
    def for_architecture(cls, input_spec: Any, *, size: int | tuple[int, int] | None = None) -> Self:
        """Take over the input that an architecture is meant for (:func:`perisphere.nets.input_spec`).

        Args:
            input_spec: the specification; the fields that it shares with this class are taken.
            size: another size than its own; one number means a square.
        """
        given = input_spec.model_dump() if isinstance(input_spec, BaseModel) else dict(vars(input_spec))
        made = cls(**{name: given[name] for name in cls.model_fields if name in given})
        if size is None:
            return made
        return made.at_size(size, size) if isinstance(size, int) else made.at_size(*size)

    def at_size(self, height: int, width: int) -> Self:
        """Return the same for another size; the part of a picture that ``crop`` shows stays."""
        if self.shorter is None:
            return self.model_copy(update={"size": (height, width)})
        shorter = max(height, width, round(self.shorter * min(height, width) / min(self.size)))
        return self.model_copy(update={"size": (height, width), "shorter": shorter})

    def uncut(self) -> Self:
        """Return the same without the last cut: ``size`` is then what several views are cut out of.

        Raises:
            UsageError: nothing is cut off.
        """
        if self.shorter is None:
            raise UsageError(
                "several views are cut out of a picture larger than the input, and this preprocessing cuts "
                "nothing off. Set preprocessing.shorter, or leave --views out."
            )
        return self.model_copy(update={"size": self._scaled, "shorter": None})

    @property
    def at_least(self) -> int | None:
        """Shorter side, in pixels, below which decoding must not reduce a picture; ``None``: not at all."""
        if self.smooth:
            return None
        return self.shorter or max(self.size)

    @property
    def _scaled(self) -> tuple[int, int]:
        """Height and width of ``size`` enlarged until its shorter side has ``shorter`` pixels."""
        height, width = self.size
        factor = (self.shorter or min(self.size)) / min(self.size)
        return round(height * factor), round(width * factor)

    @property
    def one_size(self) -> bool:
        """Whether every picture comes out at ``size``."""
        return self.resize != "long"

    @property
    def mean_colour(self) -> Triple:
        """The colour that becomes 0: red, green and blue in 0..1."""
        red, green, blue = (min(max(value / self.scale / 255, 0.0), 1.0) for value in self.mean)
        return (red, green, blue) if self.channels == "RGB" else (blue, green, red)

    def __call__(self, image: np.ndarray, box: Box | None = None) -> np.ndarray:
        """Bring one picture to ``size``; ``resize: long`` to its own size below it.

        Args:
            image: uint8 RGB ``[h, w, 3]``.
            box: ``x0, y0, x1, y1`` in pixels of ``image``: only what lies in it is taken. ``long`` then
                limits it in proportion, so that an object has the same size cut out as in the whole picture.

        Returns:
            uint8 RGB ``[size[0], size[1], 3]``, or ``[h, w, 3]`` for ``long``.

        Raises:
            PerisphereError: another dtype or shape, or a box that is not in the picture.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise PerisphereError(
                f"a picture of {image.dtype} {list(image.shape)} cannot be encoded: give uint8 RGB [h, w, 3]."
            )
        part = image if box is None else cut(image, box)
        if self.resize == "long":
            return self._limited(part, self.size[0] * max(part.shape[:2]) / max(image.shape[:2]))
        return self._filled(part)

    def seen(self, image: np.ndarray, view: View) -> np.ndarray:
        """Cut ``view`` out of a picture, whose aspect ratio is kept unless ``resize`` is ``squash``.

        Args:
            image: uint8 RGB ``[h, w, 3]``.
            view: ``shorter`` is at least the larger side of ``size``.

        Returns:
            uint8 RGB ``[size[0], size[1], 3]``.
        """
        image = self._halved(image, view.shorter)
        scale = view.shorter / min(self.size if self.resize == "squash" else image.shape[:2])
        (top, height), (left, width) = (
            (round(share * max(0.0, whole - part)), max(1, min(whole, round(part))))
            for share, whole, part in zip(
                (view.y, view.x), image.shape[:2], self._parts(scale, image), strict=True
            )
        )
        return self._resized(image[top : top + height, left : left + width], *self.size)

    def normalise(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn resized pictures into the network's input, on the device that they lie on.

        Args:
            batch: uint8 RGB ``[n, h, w, 3]``.

        Returns:
            float32 ``[n, 3, h, w]``, channels last in memory.
        """
        if self.channels == "BGR":
            batch = batch.flip(-1)
        std = torch.tensor(self.std, device=batch.device)
        mean = torch.tensor(self.mean, device=batch.device)
        images = batch.to(torch.float32).mul_(self.scale / std).sub_(mean / std)
        return images.permute(0, 3, 1, 2)

    def _parts(self, scale: float, image: np.ndarray) -> tuple[float, float]:
        """Return how many of its pixels a view has down and across, ``image`` scaled by ``scale``.

        For ``squash``, ``scale`` is that of ``size``, to which the whole picture is brought.
        """
        if self.resize == "squash":
            return image.shape[0] / scale, image.shape[1] / scale
        return self.size[0] / scale, self.size[1] / scale

    def _limited(self, image: np.ndarray, limit: float) -> np.ndarray:
        """Shrink to a longer side of at most ``limit``."""
        h, w = image.shape[:2]
        long = max(1, int(limit))
        if max(h, w) <= long:
            return image
        width, height = (max(1, round(side * long / max(h, w))) for side in (w, h))
        picture = Image.fromarray(image)
        return np.asarray(picture.resize((width, height), _SMOOTH[self.interpolation]))

    def _filled(self, image: np.ndarray) -> np.ndarray:
        height, width = self.size
        if self.smooth:
            return self._smoothed(image, height, width) if self.resize == "squash" else self._middle(image)
        image = self._halved(image, self.shorter or max(self.size))
        h, w = image.shape[:2]
        if self.resize == "squash":
            return self._cropped(self._resized(image, *self._scaled))
        if self.resize == "crop":
            image = self._shortened(image)
            h, w = image.shape[:2]
        scales = (height / h, width / w)
        scale = max(scales) if self.resize == "crop" else min(scales)
        if self.shorter is not None:
            scale = self.shorter / min(h, w)
        inner = self._resized(image, max(1, round(h * scale)), max(1, round(w * scale)))
        return self._cropped(inner) if self.resize == "crop" else self._padded(inner)

    def _smoothed(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        return np.asarray(Image.fromarray(image).resize((width, height), _SMOOTH[self.interpolation]))

    def _middle(self, image: np.ndarray) -> np.ndarray:
        """Scale the shorter side, the longer one rounded down as torchvision does, and cut the centre."""
        # The ends of a strip go first, or a photo of one row would take gigabytes for its middle.
        top, left = (max(0, side - STRIP * min(image.shape[:2])) // 2 for side in image.shape[:2])
        image = image[top : image.shape[0] - top, left : image.shape[1] - left]
        h, w = image.shape[:2]
        shorter = self.shorter or max(self.size)
        height, width = (max(int(shorter * side / min(h, w)), shorter) for side in (h, w))
        return self._cropped(self._smoothed(image, height, width))

    def _halved(self, image: np.ndarray, at_least: int) -> np.ndarray:
        """Average boxes of 2, 4, 8 ... pixels while the shorter side stays long enough."""
        h, w = image.shape[:2]
        factor = 1
        while min(h, w) // (2 * factor) >= at_least:
            factor *= 2
        if factor == 1:
            return image
        return cv2.resize(image, (-(-w // factor), -(-h // factor)), interpolation=cv2.INTER_AREA)

    def _shortened(self, image: np.ndarray) -> np.ndarray:
        """Cut the ends off a strip: enlarged whole, a picture of one row would take gigabytes for its middle.

        What is left is still ``STRIP`` times as long as the crop, so that a photo of usual shape stays whole.
        """
        height, width = self.size
        h, w = image.shape[:2]
        down, across = (
            max(0, (long - STRIP * -(-short * side // other)) // 2)
            for long, short, side, other in ((h, w, height, width), (w, h, width, height))
        )
        return image[down : h - down, across : w - across]

    def _resized(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        if image.shape[:2] == (height, width):
            return image
        return cv2.resize(image, (width, height), interpolation=_INTERPOLATION[self.interpolation])

    def _cropped(self, image: np.ndarray) -> np.ndarray:
        height, width = self.size
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        return image[top : top + height, left : left + width]

    def _padded(self, image: np.ndarray) -> np.ndarray:
        colour = np.round(np.array(self.mean_colour) * 255).astype(np.uint8)
        canvas = np.empty((*self.size, 3), np.uint8)
        canvas[:] = colour
        h, w = image.shape[:2]
        top, left = (self.size[0] - h) // 2, (self.size[1] - w) // 2
        canvas[top : top + h, left : left + w] = image
        return canvas


def cut(image: np.ndarray, box: Box) -> np.ndarray:
    """Return the part of ``image [h, w, 3]`` in ``x0, y0, x1, y1``, rounded to pixels and clipped to it.

    Raises:
        PerisphereError: nothing of the box lies in the picture.
    """
    h, w = image.shape[:2]
    if len(box) != 4 or not np.isfinite(box).all():
        raise PerisphereError(f"the box {list(box)} is not x0, y0, x1, y1 in pixels.")
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, w), min(y1, h)
    if x0 >= x1 or y0 >= y1:
        raise PerisphereError(
            f"the box {list(box)} holds nothing of a picture of {w} x {h} pixels; correct it."
        )
    return image[y0:y1, x0:x1]

"""A part of a photo as a query."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from perisphere.catalog.images import decode
from perisphere.errors import PerisphereError, UsageError
from perisphere.search.row import Row

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Part:
    """What lies in a box of a photo.

    Attributes:
        photo: a file, an open picture, uint8 RGB ``[h, w, 3]``, or a photo of the index, which is left out of
            the results.
        box: ``x0, y0, x1, y1``, ``x1`` and ``y1`` outside: shares of width and height where all lie within
            0 to 1, else pixels.

    Raises:
        UsageError: the box is empty or not finite.
    """

    photo: Path | str | PIL.Image.Image | np.ndarray | Row
    box: Box

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if not (np.isfinite(self.box).all() and x0 < x1 and y0 < y1):
            raise UsageError(
                f"the region {_written(self.box)} is not x0,y0,x1,y1 with x0 below x1 and y0 below y1: give "
                "pixels (40,10,200,180) or shares (0.1,0,0.5,0.6)."
            )

    @cached_property
    def whole(self) -> NDArray[np.uint8]:
        """The whole photo, uint8 RGB ``[h, w, 3]``.

        Raises:
            ImageError: it cannot be read.
            PerisphereError: the index does not know where it lies.
        """
        photo = self.photo.photo if isinstance(self.photo, Row) else self.photo
        return decode(Path(photo) if isinstance(photo, str) else photo)

    @cached_property
    def pixels(self) -> Box:
        """The box in pixels, as far as it lies in the photo.

        Raises:
            ImageError: the photo cannot be read.
            UsageError: nothing of the box lies in it.
        """
        height, width = self.whole.shape[:2]
        shares = min(self.box) >= 0 and max(self.box) <= 1
        across, down = (width, height) if shares else (1, 1)
        x0, x1 = (min(max(value * across, 0.0), width) for value in self.box[::2])
        y0, y1 = (min(max(value * down, 0.0), height) for value in self.box[1::2])
        if x0 >= x1 or y0 >= y1:
            raise UsageError(
                f"the region {_written(self.box)} holds nothing of a photo of {width} x {height} pixels: "
                "correct it."
            )
        return x0, y0, x1, y1

    @cached_property
    def picture(self) -> NDArray[np.uint8]:
        """What lies in the box, uint8 RGB ``[h, w, 3]``.

        Raises:
            ImageError: the photo cannot be read.
            UsageError: less than a pixel of it lies in the box.
        """
        from perisphere.encoder.preprocessing import cut

        box = self.pixels
        try:
            return np.ascontiguousarray(cut(self.whole, box))
        except PerisphereError as error:
            raise UsageError(f"the region {_written(self.box)} is less than a pixel: enlarge it.") from error

    @property
    def name(self) -> str:
        """The box, to be shown beside the photo's name."""
        return f"[{_written(self.box)}]"


def parse_box(text: str) -> Box:
    """Read ``x0,y0,x1,y1``.

    Raises:
        UsageError: these are not four numbers.
    """
    try:
        x0, y0, x1, y1 = (float(word) for word in text.split(","))
    except ValueError:
        raise UsageError(
            f"--region {text!r}: give four numbers x0,y0,x1,y1, in pixels (40,10,200,180) or as shares of "
            "width and height (0.1,0,0.5,0.6)."
        ) from None
    return x0, y0, x1, y1


def _written(box: Box) -> str:
    return ",".join(f"{value:g}" for value in box)

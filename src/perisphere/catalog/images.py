"""Image files to upright 8-bit RGB, with limits that hold before anything is decoded.

Every other room decodes through :func:`decode`, so that a photo has the same pixels while it is checked,
embedded, trained on and shown. Ordinary JPEGs go through OpenCV, which gives the same pixels as Pillow in
about half the time; everything else, and every JPEG that does not end as one should, goes through Pillow.
"""

import io
import os
import re
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from perisphere.errors import PerisphereError

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "MPO")
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in "jpg jpeg jpe jfif mpo png apng webp bmp dib tif tiff gif".split()  # noqa: SIM905
)
MAX_PIXELS = 100_000_000
MAX_BYTES = 256 * 1024 * 1024

Decoded = tuple[np.ndarray, str, int]  # upright pixels, format, orientation
Source = Path | str | bytes | Image.Image

_TOO_MANY_PIXELS = f"more than the limit of {MAX_PIXELS:,} pixels"
_TOO_MANY_BYTES = f"more than the limit of {MAX_BYTES:,} bytes"
# Pillow warns from 89 million pixels on; it is MAX_PIXELS that counts.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_ORIENTATION = 0x0112
# Pillow opens an MPO (several JPEGs in one file) as a JPEG first and has no opener of that name.
_OPENERS = tuple(name for name in FORMATS if name != "MPO")
# The greyscale flags are those that may stand beside IMREAD_COLOR_RGB, which then decides the channels.
_REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


class ImageError(PerisphereError):
    """A source is not an image that can be used.

    Attributes:
        reason: why, without the name of the source.
        group: the reason without what belongs to this one source, to count by.
    """

    def __init__(self, name: str, reason: str, group: str = "") -> None:
        super().__init__(f"{name}: {reason}.")
        self.reason = reason
        self.group = group or reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str, str]]:
        """Survive the way back from a worker process."""
        return ImageError, (str(self).removesuffix(f": {self.reason}."), self.reason, self.group)


@dataclass(frozen=True)
class ImageInfo:
    """Width and height in pixels once upright, Pillow's name of the format, the EXIF orientation tag."""

    width: int
    height: int
    format: str
    orientation: int


def probe(source: Path | bytes) -> ImageInfo:
    """Check an image by decoding it whole.

    Raises:
        ImageError: it is missing, unreadable, empty, too large, not of :data:`FORMATS`, truncated or broken.
    """
    name = display(source)
    pixels, format, orientation = _decode_bytes(_read(source, name), name, None)
    return ImageInfo(pixels.shape[1], pixels.shape[0], format, orientation)


def header(source: Path | bytes) -> tuple[int, int]:
    """Return the width and height that a file's header tells, as stored, without decoding it.

    Raises:
        ImageError: the file cannot be read, or its header not be understood.
    """
    name = display(source)
    with _open(_read(source, name), name) as image:
        _check_pixels(*image.size, name)
        return image.size


def decode(source: Source | np.ndarray, *, at_least: int | None = None) -> np.ndarray:
    """Return uint8 RGB ``[h, w, 3]``, upright.

    Transparent pixels are laid on white, 16-bit grey is scaled to 8 bit, CMYK and palettes become RGB, and of
    an animation or a multi-page file the first picture is taken.

    Args:
        source: a file, its bytes, an open Pillow image, or uint8 ``[h, w]``, ``[h, w, 1]``, RGB ``[h, w, 3]``
            or RGBA ``[h, w, 4]``.
        at_least: a shorter side in pixels that is enough; a larger JPEG may then be decoded at a half, a
            quarter or an eighth of its size, never below ``at_least``.

    Raises:
        ImageError: see :func:`probe`.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    name = display(source)
    if isinstance(source, Image.Image):
        return _decode_pillow(source, name, None)[0]
    return _decode_bytes(_read(source, name), name, at_least)[0]


def display(source: object) -> str:
    r"""Return a printable name of a source; bytes of a file name that are not UTF-8 are shown as ``\xNN``."""
    if isinstance(source, str | os.PathLike):
        return os.fsencode(source).decode("utf-8", "backslashreplace")
    return "image"


def _read(source: Path | str | bytes, name: str) -> bytes:
    if isinstance(source, bytes):
        _check_bytes(len(source), name)
        return source
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        with open(source, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(name, "not a regular file")
            _check_bytes(status.st_size, name)
            return file.read()
    except (OSError, ValueError) as error:
        raise ImageError(name, f"cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _check_bytes(size: int, name: str) -> None:
    if size == 0:
        raise ImageError(name, "empty file (0 bytes)", "empty file")
    if size > MAX_BYTES:
        raise ImageError(name, f"{size:,} bytes, {_TOO_MANY_BYTES}", _TOO_MANY_BYTES)


def _check_pixels(width: int, height: int, name: str) -> None:
    if width < 1 or height < 1:
        raise ImageError(name, f"{width} x {height} pixels: there is nothing to see", "without a pixel")
    if width * height > MAX_PIXELS:
        raise ImageError(name, f"{width:,} x {height:,}, {_TOO_MANY_PIXELS}", _TOO_MANY_PIXELS)


def _decode_bytes(data: bytes, name: str, at_least: int | None) -> Decoded:
    with _open(data, name) as image:
        _check_pixels(*image.size, name)
        if image.format == "JPEG" and image.mode in ("L", "RGB") and data.rstrip(b"\0").endswith(b"\xff\xd9"):
            fast = _decode_opencv(data, image, at_least)
            if fast is not None:
                return fast
        format = image.format or ""
        if at_least is not None:
            _reduce_jpeg(image, at_least)
        pixels, orientation = _decode_pillow(image, name, _orientation(image) if format == "TIFF" else None)
        return pixels, format, orientation


def _open(data: bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_OPENERS)
    except UnidentifiedImageError as error:
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise ImageError(name, f"not a {known} image, whatever its name says") from error
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d+", str(error))
        count = f"{int(pixels.group()):,} pixels, " if pixels else ""
        raise ImageError(name, count + _TOO_MANY_PIXELS, _TOO_MANY_PIXELS) from error
    except MemoryError:
        raise
    except Exception as error:  # a decoder fed with foreign bytes can raise anything
        raise _broken(name, error) from error


def _decode_opencv(data: bytes, image: Image.Image, at_least: int | None) -> Decoded | None:
    """Decode a JPEG that Pillow has opened; ``None`` where OpenCV will not, or sees another size."""
    reduction = _reduction(image.size, at_least)
    flags = _REDUCED[reduction] | cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    expected = tuple(-(-side // reduction) for side in reversed(image.size))
    if pixels is None or pixels.shape[:2] != expected:
        return None
    orientation = _orientation(image)
    return _upright(pixels, orientation), "JPEG", orientation


def _reduction(size: tuple[int, int], at_least: int | None) -> int:
    if at_least is None:
        return 1
    return next((by for by in (8, 4, 2) if min(size) // by >= at_least), 1)


def _reduce_jpeg(image: Image.Image, at_least: int) -> None:
    by = _reduction(image.size, at_least)
    if by > 1 and image.format in ("JPEG", "MPO"):
        image.draft(image.mode, (image.width // by, image.height // by))


def _decode_pillow(image: Image.Image, name: str, orientation: int | None) -> tuple[np.ndarray, int]:
    """Decode and turn upright; Pillow itself turns a TIFF while loading, so its tag is given from before."""
    _check_pixels(*image.size, name)
    try:
        image.load()
        pixels = _rgb(image)
        left = _orientation(image)
    except (MemoryError, ImageError):
        raise
    except Exception as error:  # a decoder fed with foreign bytes can raise anything
        raise _broken(name, error) from error
    return _upright(pixels, left), left if orientation is None else orientation


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        return _from_deep(np.asarray(image))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed white; save it with 8 or 16 bits")
    if image.has_transparency_data:
        return _on_white(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _from_deep(grey: np.ndarray) -> np.ndarray:
    """Scale grey of 16 bits, which Pillow may hand over in 32, to 8 bits: 65535 becomes 255."""
    if grey.size and (grey.min() < 0 or grey.max() > 0xFFFF):
        raise ValueError("grey of more than 16 bits; save it with 8 or 16 bits")
    eight = ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.repeat(eight[..., None], 3, axis=2)


def _on_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(np.uint32)
    mixed = rgba[..., :3] * alpha + 255 * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8:
        raise ImageError("array", f"pixels of type {array.dtype}; give uint8 from 0 to 255")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ImageError("array", f"shape {array.shape}; give [h, w], [h, w, 3] RGB or [h, w, 4] RGBA")
    _check_pixels(array.shape[1], array.shape[0], "array")
    if array.shape[2] == 4:
        return _on_white(array)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; a broken EXIF block does not make a photo unusable."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except MemoryError:
        raise
    except Exception:  # EXIF is foreign data inside foreign data
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def upright_box(box: list[int], info: ImageInfo) -> list[int]:
    """Return where a box of the pixels as they are stored lies in the upright photo.

    Args:
        box: x0, y0, x1, y1 in stored pixels, x1 and y1 outside.
        info: of the photo.
    """
    x0, y0, x1, y1 = box
    if info.orientation >= 5:
        x0, y0, x1, y1 = y0, x0, y1, x1
    if info.orientation in (2, 3, 6, 7):
        x0, x1 = info.width - x1, info.width - x0
    if info.orientation in (3, 4, 7, 8):
        y0, y1 = info.height - y1, info.height - y0
    return [x0, y0, x1, y1]


def _broken(name: str, error: Exception) -> ImageError:
    text = " ".join(str(error).split()) or type(error).__name__
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return ImageError(name, "truncated")
    return ImageError(name, f"cannot be decoded ({text})", "cannot be decoded")

"""Label images: one picture a photo whose pixels are class numbers, in the colours of a palette."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from perisphere.catalog.images import MAX_BYTES, MAX_PIXELS
from perisphere.errors import PerisphereError
from perisphere.tags.architecture import AMBIGUOUS

BACKGROUND = (0, 0, 0)
UNSURE = (255, 255, 255)
# Paul Tol's "muted" scheme, which people who see few colours can tell apart, and one orange beside it.
_COLOURS = (
    (204, 102, 119),
    (136, 204, 238),
    (221, 204, 119),
    (170, 68, 153),
    (68, 170, 153),
    (51, 34, 136),
    (153, 153, 51),
    (238, 119, 51),
    (136, 34, 85),
    (17, 119, 51),
)


def colours(classes: int) -> np.ndarray:
    """Return one colour a class, the background first: uint8 ``[1 + classes, 3]``.

    Beyond ten classes the colours come again.

    Raises:
        PerisphereError: there are more classes than a label image of 8 bits can hold.
    """
    if classes >= AMBIGUOUS:
        raise PerisphereError(
            f"{classes} classes do not fit a label image of 8 bits; segment into at most {AMBIGUOUS - 1}."
        )
    return np.array([BACKGROUND, *(_COLOURS[place % len(_COLOURS)] for place in range(classes))], np.uint8)


def write_labels(file: Path, labels: np.ndarray, classes: int) -> None:
    """Write a palette PNG.

    Args:
        file: its name.
        labels: uint8 ``[h, w]``; 255 is ambiguous.
        classes: whose colours go into the palette.
    """
    palette = np.zeros((256, 3), np.uint8)
    palette[: classes + 1] = colours(classes)
    palette[AMBIGUOUS] = UNSURE
    picture = Image.fromarray(np.ascontiguousarray(labels, np.uint8))
    picture.putpalette(palette.tobytes())  # "L" becomes "P"; the numbers stay
    picture.save(file, "PNG")


def read_labels(file: Path) -> np.ndarray:
    """Return the class numbers of a label image, uint8 ``[h, w]``.

    Raises:
        PerisphereError: the file is missing, damaged, too large, or no PNG with one channel of 8 bits.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            raise _unusable(file, f"has more than {MAX_BYTES:,} bytes")
        with Image.open(io.BytesIO(file.read_bytes()), formats=("PNG",)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise _unusable(file, f"has more than {MAX_PIXELS:,} pixels")
            if picture.mode not in ("L", "P"):
                raise _unusable(file, f"has pixels of kind {picture.mode}, not one channel of 8 bits")
            return np.array(picture)
    except FileNotFoundError as error:
        raise PerisphereError(f"{file}: no such mask.") from error
    except Image.DecompressionBombError as error:  # Pillow's own bound, far above ours
        raise _unusable(file, f"has more than {MAX_PIXELS:,} pixels") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise _unusable(file, f"cannot be read ({' '.join(str(error).split())})") from error


def _unusable(file: Path, reason: str) -> PerisphereError:
    return PerisphereError(f"{file}: {reason}; a mask is a PNG of class numbers, grey or with a palette.")

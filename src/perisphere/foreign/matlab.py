"""Arrays of a MATLAB file (version 5 to 7.2), with bounds on what it may unpack to.

SciPy reads the format and calls nothing that a file names; what is added here are the bounds, and errors of
one line. Source of the layout: "MAT-File Format", The MathWorks.
"""

import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perisphere.errors import PerisphereError

MAX_BYTES = 64 << 20
MAX_UNPACKED = 512 << 20
MAX_ELEMENTS = 20_000_000

_HEADER, _TAG, _COMPRESSED = 128, 8, 15
_CHUNK = 1 << 20
_HDF5 = b"MATLAB 7.3"


def read_mat(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the named variables as SciPy reads them, dimensions of size 1 taken away.

    A structure array becomes a structured array of objects.

    Raises:
        PerisphereError: the file is missing, damaged, too large, of version 7.3, or lacks a variable.
    """
    path = Path(path)
    try:
        _check_size(path)
        found = _load(path, names)
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except PerisphereError:
        raise
    except Exception as error:  # SciPy raises nearly anything of a damaged file
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PerisphereError(f"{path}: damaged or no MATLAB file ({reason}). Get it again.") from error
    for name in names:
        if name not in found:
            raise PerisphereError(f"{path}: holds no variable {name!r}. Is it another data set's file?")
    return found


def _load(path: Path, names: Sequence[str]) -> dict[str, Any]:
    import scipy.io

    for name, shape, _ in scipy.io.whosmat(path):
        if name in names and math.prod(shape) > MAX_ELEMENTS:
            raise PerisphereError(f"{path}: {name!r} has more than {MAX_ELEMENTS:,} elements.")
    found = scipy.io.loadmat(path, squeeze_me=True, variable_names=list(names))
    return {name: np.atleast_1d(found[name]) for name in names if name in found}


def _check_size(path: Path) -> None:
    """Refuse a file that is too large, before or after its compressed parts are unpacked."""
    if path.stat().st_size > MAX_BYTES:
        raise PerisphereError(f"{path}: over {MAX_BYTES >> 20} MiB, too large for lists of photos.")
    data = path.read_bytes()
    if data.startswith(_HDF5):
        raise PerisphereError(f"{path}: is a MATLAB 7.3 file. Save it again with `save -v7`.")
    order = ">" if data[126:128] == b"MI" else "<"
    left, at = MAX_UNPACKED, _HEADER
    while at + _TAG <= len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        at += _TAG
        if kind == _COMPRESSED:
            left -= _unpacked(memoryview(data)[at : at + size], left)
        at += size
    if left <= 0:
        raise PerisphereError(f"{path}: unpacks to over {MAX_UNPACKED >> 20} MiB, too large for lists.")


def _unpacked(data: memoryview, most: int) -> int:
    """Return how many bytes a zlib stream holds, counting no further than ``most``."""
    stream = zlib.decompressobj()
    count, rest = 0, bytes(data)
    while count < most and not stream.eof:
        part = stream.decompress(rest, _CHUNK)
        if not part:
            break
        count, rest = count + len(part), stream.unconsumed_tail
    return count

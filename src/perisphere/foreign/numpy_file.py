"""``.npy`` files from outside: numbers, texts and plain values, read without running anything they name."""

from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.foreign.plain_pickle import check_characters, read_plain_pickle

MAX_BYTES = 4 << 30
"""Of a file whose values are pickled; arrays of numbers and texts are mapped, and may be of any size."""


def read_npy(path: Path) -> NDArray[Any]:
    """Return the array of a ``.npy`` file; numbers and texts stay on the disk until they are touched.

    An array of objects, which NumPy writes as a pickle, is read by an interpreter of plain values (texts,
    numbers, lists, dicts, arrays).

    Raises:
        PerisphereError: the file is missing, damaged or no ``.npy``, or its pickle asks for something else.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else _later_header
            shape, _, dtype = read(file)
            start = file.tell()
        if not dtype.hasobject:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            check_characters(array)
            return array
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, EOFError, SyntaxError, TypeError, TokenError) as error:
        reason = " ".join(str(error).split())[:200]
        raise PerisphereError(f"{path}: is damaged or no .npy file ({reason}). Get it again.") from error
    found = read_plain_pickle(path, start=start, limit=MAX_BYTES, objects=True)
    if not isinstance(found, np.ndarray) or found.shape != shape:
        raise PerisphereError(f"{path}: does not hold the array that its header speaks of. Get it again.")
    return found


def _later_header(file: Any) -> Any:
    return np.lib.format.read_array_header_2_0(file)


def texts(array: NDArray[Any], path: Path) -> list[str]:
    """Return the texts of a one-dimensional array that :func:`read_npy` read from ``path``.

    Raises:
        PerisphereError: it holds something else.
    """
    found = array.tolist() if array.ndim == 1 else None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise PerisphereError(f"{path}: holds {array.dtype} {list(array.shape)}, not one list of texts.")
    return found

"""NumPy arrays as a pickle describes them: nothing is built until somebody asks for one array.

A pickle may mention the same bytes a million times; so a description only points at them, and
:meth:`ArrayReference.array` copies them once.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {"f2", "f4", "f8", "i4", "i8"}
MAX_DIMENSIONS = 64


@dataclass(frozen=True)
class Latin1:
    """Bytes that a pickle of protocol 2 holds as text, a character each."""

    text: str


class DtypeReference:
    """A dtype by name; its byte order arrives after it was made."""

    def __init__(self, name: Any) -> None:
        self.name = name
        self.order = "<"

    def set_state(self, state: Any) -> None:
        """Take the byte order out of ``(version, order, ...)``."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.order = state[1]


class ArrayReference:
    """An array whose shape, dtype and bytes arrive after it was made."""

    def __init__(self) -> None:
        self.state: Any = None

    def set_state(self, state: Any) -> None:
        """Keep ``(version, shape, dtype, fortran, bytes)``."""
        self.state = state

    def array(self) -> NDArray:
        """Return the array.

        Raises:
            ValueError, TypeError: the description is damaged, or of something else than numbers.
        """
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            raise ValueError("an array has no shape or no numbers")
        _, shape, dtype, fortran, data = self.state
        if not isinstance(dtype, DtypeReference) or dtype.name not in DTYPES:
            raise TypeError("an array holds something else than numbers")
        if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
            raise TypeError("the shape of an array is no tuple of numbers")
        if not all(type(side) is int and side >= 0 for side in shape):
            raise TypeError("the shape of an array is no tuple of numbers")
        content = data.text.encode("latin-1") if isinstance(data, Latin1) else data
        kind = np.dtype(dtype.order + dtype.name)
        if not isinstance(content, bytes) or len(content) != math.prod(shape) * kind.itemsize:
            raise ValueError("an array is not as large as its shape says")
        flat = np.frombuffer(content, kind).astype(kind.newbyteorder("="))
        return flat.reshape(shape, order="F" if fortran else "C")


def latin1(text: Any = "", *_: Any) -> Latin1:
    """Return what ``codecs.encode(text, "latin1")``, the one way in which bytes are pickled so, describes."""
    if not isinstance(text, str):
        raise TypeError("something else than a text is encoded")
    return Latin1(text)

"""Variables of a MATLAB file (version 5 to 7.2): numbers, texts, cells and structures.

SciPy reads the format too, but a few damaged bytes crash its reader and the process with it, so that it is no
reader for files from outside. Here every length is checked against the bytes that are there, and time and
memory are linear in what the file unpacks to, which is bounded. Source: "MAT-File Format", The MathWorks.
"""

import math
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perisphere.errors import PerisphereError

MAX_BYTES = 64 << 20
MAX_UNPACKED = 256 << 20
MAX_DEPTH = 16

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR, _NUMBERS = 1, 2, 4, range(6, 16)
_COMPLEX = 0x08
_DTYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}


def read_mat(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return the named variables as plain values.

    Numbers are arrays of the type that they are stored in (MATLAB stores small whole numbers of any class in
    few bytes), a single number is an ``int`` or ``float``; a text is a ``str``; a cell array is a list and a
    structure array a list of dicts, both column by column.

    Raises:
        PerisphereError: the file is missing, damaged, too large, of version 7.3, or lacks a variable.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PerisphereError(f"{path}: over {MAX_BYTES >> 20} MiB, too large for lists of photos.")
        data = path.read_bytes()
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if data.startswith(b"MATLAB 7.3"):
        raise PerisphereError(f"{path}: is a MATLAB 7.3 file. Save it again with `save -v7`.")
    try:
        found = _variables(data, frozenset(names))
    except (ValueError, struct.error, zlib.error) as error:
        raise PerisphereError(f"{path}: damaged or no MATLAB file ({error}). Get it again.") from error
    for name in names:
        if name not in found:
            raise PerisphereError(f"{path}: holds no variable {name!r}. Is it another data set's file?")
    return found


def _variables(data: bytes, names: frozenset[str]) -> dict[str, Any]:
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER])
    if order is None:
        raise ValueError("no byte order in its head")
    found: dict[str, Any] = {}
    elements = _Elements(memoryview(data)[_HEADER:], order)
    left = MAX_UNPACKED
    while elements.more():
        kind, content = elements.next()
        if kind == _COMPRESSED:
            unpacked = _unpacked(content, left)
            left -= len(unpacked)
            kind, content = _Elements(memoryview(unpacked), order).next()
        if kind == _MATRIX:
            matrix = _Matrix(content, order)
            if matrix.name in names:
                found[matrix.name] = matrix.value(0)
    return found


def _unpacked(content: memoryview, most: int) -> bytes:
    stream = zlib.decompressobj()
    data = stream.decompress(content, most + 1)
    if len(data) > most:
        raise ValueError(f"it unpacks to over {MAX_UNPACKED >> 20} MiB")
    if not stream.eof:
        raise ValueError("a compressed part is truncated")
    return data


class _Elements:
    """Elements one after another: a type, a length and as many bytes, up to the next multiple of eight."""

    def __init__(self, data: memoryview, order: str) -> None:
        self.data, self.order, self.at = data, order, 0

    def more(self) -> bool:
        return self.at < len(self.data)

    def next(self) -> tuple[int, memoryview]:
        """Return the type and the content of the next element."""
        kind, size = struct.unpack_from(self.order + "II", self.data, self.at)
        start = self.at + 8
        if kind >> 16:  # up to four bytes, within the tag
            kind, size, start = kind & 0xFFFF, kind >> 16, self.at + 4
            if size > 4:
                raise ValueError("a short element is longer than four bytes")
            self.at += 8
        else:
            self.at = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > len(self.data):
            raise ValueError("it is truncated")
        return kind, self.data[start : start + size]

    def numbers(self) -> np.ndarray:
        """Return the next element as an array, in the type that it is stored in."""
        kind, content = self.next()
        if kind not in _DTYPES:
            raise ValueError(f"an element of type {kind} stands where numbers belong")
        dtype = np.dtype(self.order + _DTYPES[kind])
        if len(content) % dtype.itemsize:
            raise ValueError("numbers are truncated")
        return np.frombuffer(content, dtype).astype(dtype.newbyteorder("="), copy=False)

    def text(self) -> str:
        """Return the next element as a text."""
        kind, content = self.next()
        if kind not in _TEXTS:
            raise ValueError(f"an element of type {kind} stands where a text belongs")
        wide = {"<": "-le", ">": "-be"}[self.order] if _TEXTS[kind] == "utf-16" else ""
        return bytes(content).decode(_TEXTS[kind] + wide)


class _Matrix:
    """An array of any class: its head is read at once, its value when it is asked for."""

    def __init__(self, content: memoryview, order: str) -> None:
        self.parts = _Elements(content, order)
        self.name, self.kind, self.flags = "", 0, 0
        self.shape: tuple[int, ...] = (0, 0)
        if not len(content):  # an empty cell
            return
        head = self.parts.numbers()
        if len(head) < 1:
            raise ValueError("an array has no flags")
        self.kind, self.flags = int(head[0]) & 0xFF, int(head[0]) >> 8 & 0xFF
        self.shape = tuple(self.parts.numbers().tolist())
        if not 2 <= len(self.shape) <= 32 or not all(type(side) is int and side >= 0 for side in self.shape):
            raise ValueError("an array has no shape")
        self.name = self.parts.text()

    def value(self, depth: int) -> Any:
        """Return the plain value.

        Raises:
            ValueError: it is damaged, nested too deeply, or of a class that is no plain value.
        """
        if depth > MAX_DEPTH:
            raise ValueError(f"cells are nested more than {MAX_DEPTH} deep")
        if self.kind in _NUMBERS:
            return self._numbers()
        readers: dict[int, Callable[[int], Any]] = {
            0: lambda _: [],
            _CHAR: self._text,
            _CELL: self._cells,
            _STRUCT: self._structures,
        }
        if self.kind not in readers:
            raise ValueError(f"{self.name[:40]!r} is of class {self.kind}, which is no plain value")
        return readers[self.kind](depth)

    def _numbers(self) -> Any:
        if self.flags & _COMPLEX:
            raise ValueError("numbers are complex")
        values = self.parts.numbers()
        if math.prod(self.shape) != len(values):
            raise ValueError("an array is not as large as its shape says")
        return values[0].item() if len(values) == 1 else values.reshape(self.shape, order="F").squeeze()

    def _text(self, _: int) -> str:
        if self.shape[0] > 1 or len(self.shape) > 2:
            raise ValueError(f"{self.name[:40]!r} is a text of several rows; a cell array of texts is read")
        return self.parts.text() if self.parts.more() else ""

    def _cells(self, depth: int) -> list[Any]:
        return [self._inner(depth) for _ in range(math.prod(self.shape))]

    def _structures(self, depth: int) -> list[dict[str, Any]]:
        (length,) = self.parts.numbers().tolist() or [0]
        kind, content = self.parts.next()
        if kind != 1 or type(length) is not int or length < 1 or len(content) % length:
            raise ValueError("a structure has no names of fields")
        names = [
            bytes(content[start : start + length]).split(b"\0")[0].decode("latin-1")
            for start in range(0, len(content), length)
        ]
        if not names:  # else many structures could claim to be there without a byte
            return []
        return [{name: self._inner(depth) for name in names} for _ in range(math.prod(self.shape))]

    def _inner(self, depth: int) -> Any:
        kind, content = self.parts.next()
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} stands where an array belongs")
        return _Matrix(content, self.parts.order).value(depth + 1)

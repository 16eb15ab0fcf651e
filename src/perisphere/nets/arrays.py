"""Named arrays in the formats that hold nothing but arrays: ``.npz`` and ``.safetensors``."""

import io
import math
import zipfile
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch
from torch import Tensor

MAX_RATIO = 200
MAX_UNPACKED = 4 << 30
ROOM = 1 << 20


def read_npz(archive: zipfile.ZipFile, file_size: int) -> dict[str, Tensor]:
    """Return the arrays of a NumPy archive.

    Args:
        archive: the open archive.
        file_size: its size in bytes, by which the unpacked size is bounded.

    Raises:
        ValueError: an entry is no plain numeric array, or the archive unpacks to over 200 times its size or
            4 GiB.
    """
    entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_RATIO * file_size + ROOM:
        raise ValueError(f"it would unpack to over {MAX_RATIO} times its size")
    if unpacked > MAX_UNPACKED:
        raise ValueError(f"it would unpack to {unpacked:,} bytes, more than the limit of {MAX_UNPACKED:,}")
    tensors: dict[str, Tensor] = {}
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("it is compressed in a way that NumPy never uses")
        name = entry.filename.removesuffix(".npy")
        if name == entry.filename or name in tensors:
            raise ValueError(f"the entry {entry.filename[:100]!r} is no array, or is there twice")
        tensors[name] = torch.from_numpy(_array(archive.read(entry), name))
    return tensors


def _array(data: bytes, name: str) -> np.ndarray:
    """Return the array of an ``.npy`` file whose size was checked against its header."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    try:
        shape, fortran, dtype = read(stream)
    except (SyntaxError, TokenError) as error:  # a header is Python's own notation
        raise ValueError(f"the array {name[:100]!r} has a damaged header") from error
    if dtype.kind not in "biufc":
        raise ValueError(f"the array {name[:100]!r} holds {dtype}, not numbers")
    start = stream.tell()
    if any(side < 0 for side in shape) or len(data) - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the array {name[:100]!r} is not as large as its header says")
    flat = np.frombuffer(data, dtype, offset=start).astype(dtype.newbyteorder("="))
    return flat.reshape(shape, order="F" if fortran else "C")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error

"""Weights out of files that others made, without running anything that the files contain.

Reads what ``torch.save`` writes (the zip format, and the legacy format before torch 1.6), safetensors, NumPy
archives, and dictionaries of layers in one ``.npy`` (:mod:`perisphere.nets.layer_lists`). Pickles go through
:mod:`perisphere.nets.opcodes`; every slice is checked against the file's size.
"""

import io
import math
import mmap
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from perisphere.errors import PerisphereError
from perisphere.nets.arrays import read_npz, read_safetensors
from perisphere.nets.layer_lists import read_layers
from perisphere.nets.opcodes import ForbiddenGlobalError, Storage, TensorReference, interpret

MAGIC = 0x1950A86A20F9469CFC6C
MAX_ENTRIES = 200_000
MAX_PICKLE = 512 << 20  # whitenings lie among the settings as arrays
NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "params", "weights", "module")
DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        tensors: the weights by name.
        about: what lies beside them, such as ``epoch`` or ``meta``: numbers, texts, lists, tuples, dicts,
            with references in place of everything else; empty where the file has nothing but weights.
    """

    tensors: dict[str, Tensor]
    about: dict[Any, Any] = field(default_factory=dict)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a file of weights; see :func:`read_training_checkpoint`."""
    return read_training_checkpoint(path).tensors


def read_training_checkpoint(path: Path) -> Checkpoint:
    """Return the named tensors of a file of weights, and what lies beside them.

    The format is told by the content: ``torch.save`` (``.pth``, ``.pt``, ``.ckpt``, ``.pth.tar``),
    safetensors, ``.npz`` or ``.npy``. In a training checkpoint the weights are found under ``state_dict``,
    ``model`` and the like.

    Raises:
        PerisphereError: the file is missing, damaged, of another format, or asks for more than weights need;
            the message says which and how to mend it.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(512)
        checkpoint = _reader(start)(path)
    except ForbiddenGlobalError as error:
        raise PerisphereError(
            f"{path}: {error}. Nothing of it was run. Trust another source, or ask its author for "
            f"the weights as .safetensors."
        ) from None
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PerisphereError(
            f"{path}: is damaged or no file of weights ({reason}). Get it again, or save it as .safetensors."
        ) from error
    if not checkpoint.tensors:
        raise PerisphereError(
            f"{path}: holds no named tensors. Save the model's state_dict with torch.save or safetensors."
        )
    return checkpoint


def _reader(start: bytes) -> Callable[[Path], Checkpoint]:
    if start.startswith(b"PK"):
        return _read_zip
    if start.startswith(b"\x80"):
        return _read_legacy
    if start[8:9] == b"{":
        return lambda path: Checkpoint(read_safetensors(path))
    if not start:
        raise ValueError("it is empty")
    if start.startswith(b"\x93NUMPY"):
        return lambda path: Checkpoint(*read_layers(path))
    if start.startswith(b"\x89HDF"):
        raise ValueError("it is HDF5")
    raise ValueError("it is neither torch.save's, nor safetensors, nor .npz")


# --- zip: torch.save since 1.6, and numpy.savez ---


def _read_zip(path: Path) -> Checkpoint:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        _check_names(archive, entries)
        programs = [name for name in entries if PurePosixPath(name).name == "data.pkl"]
        if not programs:
            return Checkpoint(read_npz(archive, size))
        if len(programs) > 1:
            raise ValueError("it has several data.pkl")
        _check_stored(entries, size)
        folder = programs[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in entries:
            raise ValueError("it is a TorchScript program; its state_dict is what is needed")
        order = f"{folder}byteorder"
        if order in entries and archive.read(order) != b"little":
            raise ValueError("its numbers are big-endian")
        if entries[programs[0]].file_size > MAX_PICKLE:
            raise ValueError("its data.pkl is too large")
        with archive.open(programs[0]) as file:
            described = interpret(io.BytesIO(file.read())).value
        return _checkpoint(described, lambda storage: archive.read(f"{folder}data/{storage.key}"))


def _check_names(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]) -> None:
    if len(entries) != len(archive.infolist()):
        raise ValueError("two entries have the same name")
    if len(entries) > MAX_ENTRIES:
        raise ValueError(f"it has over {MAX_ENTRIES} entries")
    for name in entries:
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
            raise ValueError(f"the entry {name[:100]!r} leads out of the archive")


def _check_stored(entries: dict[str, zipfile.ZipInfo], size: int) -> None:
    """Refuse what ``torch.save`` never writes: compressed entries, and more bytes than the file has."""
    for name, entry in entries.items():
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise ValueError(f"the entry {name[:100]!r} is compressed")
    if sum(entry.file_size for entry in entries.values()) > size:
        raise ValueError("its entries claim more bytes than the file has")


# --- legacy: torch.save before 1.6 ---


def _read_legacy(path: Path) -> Checkpoint:
    """Read magic number, protocol, system, object and storage keys (a pickle each), then the storages."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as source:
        if interpret(source).value != MAGIC:
            raise ValueError("it is a pickle that torch.save did not write")
        interpret(source)
        system = interpret(source).value
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise ValueError("its numbers are big-endian")
        described = interpret(source)
        blocks = _legacy_blocks(source, interpret(source).value, described.storages)
        return _checkpoint(described.value, lambda storage: source[blocks[storage.key]])


def _legacy_blocks(source: mmap.mmap, keys: Any, dtypes: dict[str, str]) -> dict[str, slice]:
    """Return where each storage lies: one after another, each an int64 length and that many elements."""
    if not isinstance(keys, list):
        raise TypeError("its storages have no keys")
    blocks = {}
    position = source.tell()
    for key in keys:
        length = int.from_bytes(source[position : position + 8], "little", signed=True)
        start = position + 8
        position = start + length * _itemsize(dtypes[key])
        if length < 0 or position > len(source) or key in blocks:
            raise ValueError(f"the storage {key[:100]!r} reaches beyond the end of the file")
        blocks[key] = slice(start, position)
    return blocks


# --- tensors out of storages ---


def _checkpoint(described: Any, read: Callable[[Storage], bytes]) -> Checkpoint:
    about = described if isinstance(described, dict) else {}
    beside = {key: value for key, value in about.items() if not isinstance(value, TensorReference)}
    return Checkpoint(_tensors(described, read), {key: beside[key] for key in beside if key not in NESTED})


def _tensors(described: Any, read: Callable[[Storage], bytes]) -> dict[str, Tensor]:
    blocks: dict[str, Tensor] = {}
    tensors = {}
    for name, reference in _named(described).items():
        storage = reference.storage
        if storage.key not in blocks:
            # A copy: tensors need memory that may be written to, and that is aligned.
            blocks[storage.key] = torch.frombuffer(bytearray(read(storage) or b"\0"), dtype=torch.uint8)
        tensors[name] = _slice(blocks[storage.key], reference, name)
    return tensors


def _named(described: Any, depth: int = 2) -> dict[str, TensorReference]:
    """Return the weights of a state dict, or of the first state dict that a training checkpoint nests."""
    if not isinstance(described, dict):
        return {}
    for key in NESTED if depth else ():
        found = _named(described.get(key), depth - 1)
        if found:
            return found
    items = described.items()
    return {k: v for k, v in items if isinstance(k, str) and isinstance(v, TensorReference)}


def _slice(block: Tensor, reference: TensorReference, name: str) -> Tensor:
    """Return the strided view that ``reference`` describes, once it is known to lie within ``block``."""
    storage, shape, stride = reference.storage, reference.shape, reference.stride
    size = _itemsize(storage.dtype)
    if (storage.start + storage.length) * size > len(block):
        raise ValueError(f"the storage of {name[:100]!r} is larger than its part of the file")
    if len(shape) != len(stride) or min((*shape, *stride, 0)) < 0:
        raise ValueError(f"the shape and stride of {name[:100]!r} do not fit together")
    count = math.prod(shape)
    reach = sum((side - 1) * step for side, step in zip(shape, stride, strict=True)) + 1 if count else 0
    if reference.offset < 0 or reference.offset + reach > storage.length or count > storage.length:
        raise ValueError(f"{name[:100]!r} reaches beyond its storage")
    if count == 0:
        return torch.empty(shape, dtype=getattr(torch, storage.dtype))
    part = block[storage.start * size : (storage.start + storage.length) * size]
    # Any byte but 0 and 1 is undefined in a torch.bool.
    flat = part != 0 if storage.dtype == "bool" else part.view(getattr(torch, storage.dtype))
    return flat.as_strided(shape, stride, reference.offset + flat.storage_offset())


def _itemsize(dtype: str) -> int:
    size: int = getattr(torch, dtype).itemsize
    return size

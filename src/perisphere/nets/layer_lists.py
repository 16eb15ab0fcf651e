"""Weights as programs that took them over from Caffe keep them: layer -> weights and bias, in one ``.npy``.

Kernels lie as height x width x inputs x outputs, dense layers as inputs x outputs, and a dense layer behind a
map counts its places before its channels. ``alexnet.npy`` is such a file; the checkpoints of WSDHQ (Wang et
al., AAAI 2021) hold ``fc8``, the layer of the embedding, and ``C``, the codebooks, besides.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perisphere.foreign.numpy_file import read_npy
from perisphere.nets.alexnet import CHANNELS, MAP

CODEBOOKS = "codebooks"
"""Key of the codebooks beside the weights, float32 ``[books, 256, d]``."""

BOOKS, WORDS, EMBEDDING = "C", 256, "fc8"
_NAMES = ("weights", "biases")


def read_layers(path: Path) -> tuple[dict[str, Tensor], dict[Any, Any]]:
    """Return the weights as torch lays them out, and beside them the codebooks, if the file has any.

    Where it has, ``fc8`` is called ``projection``: it makes the embedding. Nothing in the file is run.

    Raises:
        PerisphereError: the file cannot be read, or asks for more than plain values.
        ValueError: it holds something else.
    """
    found = read_npy(path)
    layers = found.item() if found.shape == () and found.dtype.hasobject else None
    if not isinstance(layers, dict):
        raise ValueError("it is a single array without a name; numpy.savez gives arrays names")
    parts = {str(name): _parts(str(name), layer) for name, layer in layers.items() if name != BOOKS}
    words = layers.get(BOOKS)
    _check_size([*(part for pair in parts.values() for part in pair), words], path)
    tensors = {}
    for name, (weights, bias) in parts.items():
        place = "projection" if name == EMBEDDING and words is not None else name
        tensors[f"{place}.weight"] = _tensor(_turned(name, weights))
        tensors[f"{place}.bias"] = _tensor(bias)
    return tensors, {} if words is None else {CODEBOOKS: _codebooks(words, tensors)}


def _parts(name: str, layer: Any) -> tuple[NDArray, NDArray]:
    """Return weights and bias of a layer, which are a pair, or named."""
    pair = [layer.get(part) for part in _NAMES] if isinstance(layer, dict) else layer
    if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(map(_numeric, pair)):
        raise ValueError(f"the layer {name[:60]!r} is no pair of weights and bias")
    return pair[0], pair[1]


def _numeric(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _check_size(arrays: list[Any], path: Path) -> None:
    """Refuse a file that mentions its bytes many times over; each mention would be copied."""
    if sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)) > path.stat().st_size:
        raise ValueError("its layers are larger than the file")


def _turned(name: str, weights: NDArray) -> NDArray:
    if weights.ndim == 4:
        return weights.transpose(3, 2, 0, 1)
    if name == "fc6" and weights.ndim == 2 and weights.shape[0] == MAP * MAP * CHANNELS:
        places = weights.reshape(MAP, MAP, CHANNELS, -1)
        return places.transpose(3, 2, 0, 1).reshape(weights.shape[1], -1)
    return weights.T


def _tensor(array: NDArray) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32, order="C"))


def _codebooks(words: Any, tensors: dict[str, Tensor]) -> NDArray[np.float32]:
    """Return ``[books, 256, d]`` of ``[books * 256, d]``."""
    if not _numeric(words) or words.ndim != 2 or not len(words) or len(words) % WORDS:
        raise ValueError(f"{BOOKS!r} is no table of whole books of {WORDS} words")
    head = tensors.get("projection.weight")
    if head is None or head.ndim != 2 or len(head) != words.shape[1]:
        raise ValueError(f"{BOOKS!r} has words of {words.shape[1]} numbers, and {EMBEDDING} gives others")
    return np.array(words, np.float32).reshape(-1, WORDS, words.shape[1])

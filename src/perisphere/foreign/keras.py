"""What a Keras ``.h5`` file holds: the weights of each layer by name, and its settings as plain values.

Nothing of the file is run: the description of the model, which may carry code of lambda layers, is read as
JSON and only its numbers and texts are looked at. Links to other files are not followed.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_LAYERS = 20_000
MAX_DESCRIPTION = 64 << 20


@dataclass(frozen=True)
class KerasLayer:
    """A layer that has weights.

    Attributes:
        name: as in the file.
        weights: by kind, such as ``kernel``, ``bias``, ``gamma``, ``moving_mean``; float32.
        settings: of the layer as the file describes them, such as ``epsilon``; empty where it does not.
    """

    name: str
    weights: dict[str, NDArray[np.float32]]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class KerasModel:
    """A model's layers.

    Attributes:
        layers: those with weights, by name.
        names: of all layers, those without weights too.
    """

    layers: dict[str, KerasLayer]
    names: frozenset[str]


def is_hdf5(path: Path) -> bool:
    """Return whether a file starts as HDF5 does; ``False`` where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def read_keras(path: Path) -> KerasModel:
    """Read what ``model.save`` and ``model.save_weights`` of Keras 2 write.

    Raises:
        PerisphereError: h5py is not installed; or the file is missing, damaged, of another layout, compressed
            or leads to other files.
    """
    path = Path(path)
    try:
        import h5py
    except ImportError:
        raise PerisphereError(
            f"{path}: is a Keras file, which needs h5py. Install it: pip install 'perisphere[keras]'."
        ) from None
    try:
        with h5py.File(path, "r") as file:
            return _model(file, path.stat().st_size)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())[:200]
        raise PerisphereError(f"{path}: cannot be read as HDF5 ({reason}). Get it again.") from error
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PerisphereError(
            f"{path}: is damaged or no Keras file ({reason}). Get it again, or save it with Keras 2's "
            "model.save_weights(FILE.h5)."
        ) from error


def _model(file: Any, size: int) -> KerasModel:
    root = _inside(file, "model_weights") if "model_weights" in file else file
    names = _texts(root, "layer_names")
    if len(names) > MAX_LAYERS:
        raise ValueError(f"it has over {MAX_LAYERS} layers")
    settings = _settings(file)
    layers: dict[str, KerasLayer] = {}
    claimed = 0
    for group in names:
        for name, kind, dataset in _weights(_inside(root, group), group):
            claimed += dataset.nbytes
            if claimed > size:
                raise ValueError("its weights claim more bytes than the file has")
            layer = layers.setdefault(name, KerasLayer(name, {}, settings.get(name, {})))
            if kind in layer.weights:
                raise ValueError(f"the layer {name[:60]!r} has two weights {kind[:60]!r}")
            layer.weights[kind] = dataset[()].astype(np.float32)
    return KerasModel(layers, frozenset(names) | settings.keys())


def _weights(group: Any, layer: str) -> Iterator[tuple[str, str, Any]]:
    """Yield layer, kind and array of the weights of a group, which is a layer or a model within the model."""
    names = _texts(group, "weight_names")
    scopes = {name.rpartition("/")[0] for name in names}
    for name in names:
        scope, _, kind = name.rpartition("/")
        dataset = _inside(group, name)
        _check_dataset(dataset, name)
        # In a layer's own group the scope is its name, with a count where the graph was built twice.
        yield (layer if len(scopes) == 1 else scope.rpartition("/")[2]), kind.partition(":")[0], dataset


def _check_dataset(dataset: Any, name: str) -> None:
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
        raise TypeError(f"the weight {name[:60]!r} is no array of floating-point numbers")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"the weight {name[:60]!r} lies in another file")
    # What is compressed or was never written can claim any size; Keras does neither.
    if dataset.id.get_storage_size() != math.prod(dataset.shape) * dataset.dtype.itemsize:
        raise ValueError(f"the weight {name[:60]!r} is compressed or not there")


def _inside(group: Any, name: str) -> Any:
    """Return what lies under ``name`` by links within the file alone."""
    import h5py

    for part in filter(None, name.split("/")):
        if not isinstance(group, h5py.Group) or part not in group:
            raise LookupError(f"{name[:60]!r} is named and not there")
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"{name[:60]!r} is a link")
        group = group[part]
    return group


def _texts(group: Any, key: str) -> list[str]:
    """Return a list of names, which Keras splits over ``KEY0``, ``KEY1`` ... where it is long."""
    if key in group.attrs:
        return _decoded(group.attrs[key])
    parts: list[list[str]] = []
    while f"{key}{len(parts)}" in group.attrs:
        parts.append(_decoded(group.attrs[f"{key}{len(parts)}"]))
    if not parts:
        raise LookupError(f"it has no {key!r}, as the layout of Keras 2 has")
    return [name for part in parts for name in part]


def _decoded(values: Any) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in np.ravel(values)]


def _settings(file: Any) -> dict[str, dict[str, Any]]:
    """Return the settings of each layer by name; empty where the file has weights alone."""
    described = file.attrs.get("model_config")
    if described is None:
        return {}
    if len(described) > MAX_DESCRIPTION:
        raise ValueError("its description is too large")
    found: dict[str, dict[str, Any]] = {}
    waiting = [json.loads(described)]
    while waiting:
        model = waiting.pop()
        config = model.get("config") if isinstance(model, dict) else None
        # Sequential models of early versions have the list itself in place of a dictionary with it.
        layers = config.get("layers", []) if isinstance(config, dict) else config
        for layer in layers if isinstance(layers, list) else ():
            waiting.append(layer)
            inner = layer.get("config") if isinstance(layer, dict) else None
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                found[inner["name"]] = inner
    return found

"""Weights of a Keras model in our names and layouts.

Kernels are transposed. Keras's convolutions have an offset where ours leave it to the normalisation that
follows, so it goes into that normalisation's mean; and where the file's normalisation adds another epsilon to
the variance than ours, the difference goes into the variance. Both are exact.
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from perisphere.errors import PerisphereError, UsageError
from perisphere.foreign.keras import KerasLayer, KerasModel, read_keras
from perisphere.nets.backbone import Backbone
from perisphere.nets.embedding import EmbeddingNet
from perisphere.nets.keras_names import keras_names
from perisphere.nets.nasnet import SeparableConv2d
from perisphere.nets.registry import ARCHITECTURES, architectures
from perisphere.nets.resnet import ResNet
from perisphere.nets.spec import NetSpec
from perisphere.nets.weights import MatchReport, import_tensors

EMBEDDING = "embedding"
CLASSIFIERS = ("prob", "predictions", "fc1000")
NUMBERED = re.compile(r"(conv2d|batch_normalization|dense)(?:_(\d+))?")

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Fit:
    """How a Keras model fits a backbone.

    Attributes:
        tensors: by their names in an :class:`~perisphere.nets.EmbeddingNet`.
        missing: layers of the backbone that the file lacks.
        surplus: layers of the file that the backbone has no place for.
        head: layers on top of the embedding, which only served the training.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)


def import_keras(
    file: Path, fields: dict[str, Any], *, seed: int | None = 0, partial: bool = False
) -> tuple[EmbeddingNet, MatchReport]:
    """Build the network of a Keras ``.h5`` file.

    Args:
        file: what :func:`~perisphere.foreign.keras.read_keras` reads.
        fields: of :class:`~perisphere.nets.NetSpec`. ``projection`` follows from the file's embedding layer.
        seed: of the parts that the file does not have.
        partial: accept layers that are missing or left over.

    Raises:
        PerisphereError: the file cannot be read, or is not exactly of this backbone.
        UsageError: a ``projection`` that contradicts the file.
        pydantic.ValidationError: a field that is none, or a wrong value.
    """
    backbone = NetSpec.model_validate(fields).backbone
    fit = read_keras_tensors(file, backbone, partial=partial)
    if "projection.weight" in fit.tensors:
        length = len(fit.tensors["projection.weight"])
        if fields.get("projection", length) != length:
            raise UsageError(f"--projection: {file} has an embedding of {length} numbers. Leave it out.")
        fields = fields | {"projection": length}
    spec = NetSpec.model_validate(fields)
    net, report = import_tensors(file, fit.tensors, spec, seed=seed, partial=partial)
    return net, replace(report, classifier=fit.head, unexpected=fit.surplus)


def read_keras_tensors(file: Path, backbone: str, *, partial: bool = False) -> Fit:
    """Read a Keras ``.h5`` file as weights of ``backbone``; see :func:`keras_tensors`."""
    model = read_keras(file)
    try:
        return keras_tensors(model, backbone, partial=partial)
    except PerisphereError as error:
        raise PerisphereError(f"{file}: {error}") from None


def keras_tensors(model: KerasModel, backbone: str, *, partial: bool = False) -> Fit:
    """Return the weights of ``model`` as those of the architecture ``backbone``.

    Args:
        model: a Keras model.
        backbone: one of :func:`~perisphere.nets.architectures`, or its variant with SELU.
        partial: accept layers that are missing or left over.

    Raises:
        PerisphereError: the architecture was not published with Keras, or the layers are not exactly its own.
    """
    _check_origin(model)
    net = _bare(backbone)
    fit = fit_keras(model, net)
    if fit is None:
        raise PerisphereError(f"it is a Keras file, and {backbone} is no network of Keras's.{_mend(model)}")
    wrong = fit.missing + fit.surplus
    if wrong and not partial:
        raise PerisphereError(
            f"{len(fit.missing)} layers of {backbone} are missing and {len(fit.surplus)} are left over, e.g. "
            f"{wrong[0]!r}.{_mend(model)} Or accept fresh values with --partial."
        )
    if isinstance(net, ResNet) and net.padded_pool and model.names > model.layers.keys():
        _check_stem(model, backbone)
    return fit


def _bare(backbone: str) -> Backbone:
    with torch.device("meta"):
        return ARCHITECTURES[backbone].make()


def _check_origin(model: KerasModel) -> None:
    """Refuse the package keras-resnet: its layers are called like Keras's own and compute other things."""
    stem = model.layers.get("conv1")
    if stem is not None and "bn_conv1" in model.layers and "bias" not in stem.weights:
        raise PerisphereError(
            "it is of the package keras-resnet (rn18 to rn200), whose first pooling pads at one side alone, "
            "as no network here does. Take a ResNet of Keras itself, or train one of `weights list`."
        )


def _check_stem(model: KerasModel, backbone: str) -> None:
    if "pool1_pad" not in model.names:
        raise PerisphereError(
            f"its first pooling stays on the map, as Keras's did before version 2.2.3, and {backbone}'s does "
            f"not. Name it --as {backbone}_unpadded."
        )


def _mend(model: KerasModel) -> str:
    fitting = [name for name in architectures() if _fits(model, name)]
    return (
        f" Its layers fit {' or '.join(fitting)}." if fitting else " They fit no network that is known here."
    )


def _fits(model: KerasModel, name: str) -> bool:
    net = _bare(name)
    try:
        fit = fit_keras(model, net)
    except PerisphereError:  # a layer of the right name and of another kind
        return False
    if fit is None or fit.missing or fit.surplus:
        return False
    shapes = {f"backbone.{key}": value.shape for key, value in net.state_dict().items()}
    return all(tensor.shape == shapes[key] for key, tensor in fit.tensors.items() if key in shapes)


def fit_keras(model: KerasModel, net: Backbone) -> Fit | None:
    """Return the weights of ``model`` as those of ``net``; ``None`` if ``net`` was not published with Keras.

    Raises:
        PerisphereError: a layer has not the weights that the module of its name needs.
    """
    names = keras_names(net, frozenset(model.layers))
    if names is None:
        return None
    fit = Fit()
    waiting = {kind: _numbered(model, kind) for kind in ("conv2d", "batch_normalization")}
    offset: NDArray[np.float32] | None = None
    used = set()
    for path, name in names:
        module = net.get_submodule(path)
        if name is None:
            kind = "batch_normalization" if isinstance(module, nn.BatchNorm2d) else "conv2d"
            name = waiting[kind].pop(0) if waiting[kind] else f"{kind} {path}"
        layer = model.layers.get(name)
        if layer is None:
            fit.missing.append(name)
            continue
        used.add(name)
        converted, offset = _converted(layer, module, offset)
        fit.tensors.update({f"backbone.{path}.{key}": _tensor(value) for key, value in converted.items()})
    _sort_the_rest(model, used, fit)
    return fit


def _numbered(model: KerasModel, kind: str) -> list[str]:
    """Return the layers that Keras named by a count, in the order in which they were made."""
    found = ((NUMBERED.fullmatch(name), name) for name in model.layers)
    counted = [(int(match[2] or 0), name) for match, name in found if match and match[1] == kind]
    return [name for _, name in sorted(counted)]


def _converted(
    layer: KerasLayer, module: nn.Module, offset: NDArray[np.float32] | None
) -> tuple[Weights, NDArray[np.float32] | None]:
    """Return a layer's weights as the module's, and the offset that is still to go into a normalisation."""
    if isinstance(module, SeparableConv2d):
        depthwise, pointwise = (_taken(layer, f"{kind}_kernel", 4) for kind in ("depthwise", "pointwise"))
        kernels = {"depthwise.weight": depthwise.transpose(2, 3, 0, 1)}
        return kernels | {"pointwise.weight": pointwise.transpose(3, 2, 0, 1)}, None
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        return _normalisation(layer, module.eps, offset), None
    kernel = _taken(layer, "kernel", 4 if isinstance(module, nn.Conv2d) else 2)
    weight = {"weight": kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T}
    if module.bias is not None:
        return weight | {"bias": _taken(layer, "bias", 1)}, None
    return weight, layer.weights.get("bias")


def _normalisation(layer: KerasLayer, eps: float, offset: NDArray[np.float32] | None) -> Weights:
    mean = _taken(layer, "moving_mean", 1).astype(np.float64)
    if offset is not None and offset.shape != mean.shape:
        raise PerisphereError(
            f"the layer {layer.name!r} does not fit the convolution before it. Get it again."
        )
    given = layer.settings.get("epsilon", eps)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 1:
        raise PerisphereError(f"the layer {layer.name!r} has the epsilon {given!r:.40}. Get the file again.")
    variance = _taken(layer, "moving_variance", 1).astype(np.float64) + (given - eps)
    if (variance < -eps).any():
        raise PerisphereError(f"the layer {layer.name!r} has variances below zero. Get the file again.")
    return {
        "weight": _taken(layer, "gamma", 1),
        "bias": _taken(layer, "beta", 1),
        "running_mean": (mean if offset is None else mean - offset).astype(np.float32),
        "running_var": variance.astype(np.float32),
    }


def _taken(layer: KerasLayer, kind: str, dimensions: int) -> NDArray[np.float32]:
    weight = layer.weights.get(kind)
    if weight is None or weight.ndim != dimensions:
        known = ", ".join(f"{name} {list(value.shape)}" for name, value in layer.weights.items())
        raise PerisphereError(
            f"the layer {layer.name!r} has no {kind!r} of {dimensions} dimensions, but {known or 'nothing'}. "
            "Name the architecture that the file is of."
        )
    return weight


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _sort_the_rest(model: KerasModel, used: set[str], fit: Fit) -> None:
    """Tell the embedding's layer from the head on top of it, and both from what belongs nowhere."""
    rest = [name for name in model.layers if name not in used]
    heads = [name for name in rest if name in CLASSIFIERS]
    dense = (
        EMBEDDING
        if EMBEDDING in rest
        else next((name for name in rest if _is_embedding(model, name, heads)), None)
    )
    norms = [name for name in _numbered(model, "batch_normalization") if name in rest]
    for name in rest:
        if name == dense:
            layer = model.layers[name]
            fit.tensors["projection.weight"] = _tensor(_taken(layer, "kernel", 2).T)
            fit.tensors["projection.bias"] = _tensor(_taken(layer, "bias", 1))
        elif name in heads or (heads and norms == [name]) or name.startswith("dense"):
            fit.head.append(name)
        else:
            fit.surplus.append(name)


def _is_embedding(model: KerasModel, name: str, heads: list[str]) -> bool:
    """Return whether this is the embedding's layer in a network that did not name it (DenseNets)."""
    layer = model.layers[name]
    linear = layer.settings.get("activation", "linear" if heads else None) == "linear"
    return bool(NUMBERED.fullmatch(name)) and name.startswith("dense") and linear

"""Published weights into our networks: names matched, and every difference reported."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from perisphere.errors import PerisphereError
from perisphere.nets.classifiers import LinearClassifier
from perisphere.nets.embedding import EmbeddingNet, build
from perisphere.nets.older import in_sequence
from perisphere.nets.pickled import read_checkpoint
from perisphere.nets.registry import ARCHITECTURES
from perisphere.nets.segmentation import SegmentationNet, SegmentationSpec
from perisphere.nets.spec import NetSpec
from perisphere.nets.wikiscenes_names import known_names

# What wraps a backbone in the checkpoints of the common training programs.
PREFIXES = (
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "network.",
    "backbone.",
    "base.",
    "encoder.",
    "encoder_q.",
    "feature_extractor.",
    "student.",
)


@dataclass(frozen=True)
class ShapeDifference:
    """A parameter that is in the file with another shape."""

    name: str
    in_file: tuple[int, ...]
    in_net: tuple[int, ...]


@dataclass(frozen=True)
class MatchReport:
    """What became of the tensors of a file.

    Attributes:
        matched: names in the network that were filled.
        missing: names in the network that the file lacks; they keep their fresh values.
        unexpected: names in the file that the network has no place for.
        classifier: names in the file of the classification layer, which an encoder leaves out.
        shape_differs: parameters whose shape in the file is another; they keep their fresh values.
        surplus: those of ``unexpected`` that belong in a stage which the backbone has: the file is of a
            deeper network.
    """

    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    classifier: list[str] = field(default_factory=list)
    shape_differs: list[ShapeDifference] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)

    @property
    def unfit(self) -> list[str]:
        """The names that say that the file is not of this backbone: empty for a whole and exact match."""
        absent = [*self.missing, *(difference.name for difference in self.shape_differs)]
        return [*(name for name in absent if name.startswith("backbone.")), *self.surplus]


def load_into(net: EmbeddingNet | SegmentationNet, tensors: dict[str, Tensor]) -> MatchReport:
    """Copy tensors into the parameters and statistics of ``net`` that have their names.

    A name is tried as it is and without the prefixes that wrap a backbone elsewhere (``module.``,
    ``backbone.`` ...); the stages of a ResNet may be numbered (``features.4``), and the parts of a network
    that segments named as in :mod:`~perisphere.nets.wikiscenes_names`. Numbers of any floating type
    become float32.

    Raises:
        PerisphereError: nothing matched, or a matching tensor has NaN or infinite values; the network is as
            it was.
    """
    chosen, report = _match(net.spec, tensors)
    if not report.matched:
        raise PerisphereError(_nothing_matched(net.spec.backbone, tensors))
    for name in report.matched:
        if not torch.isfinite(chosen[name]).all():
            raise PerisphereError(f"{name} has NaN or infinite values in the file. Get the file again.")
    state = net.state_dict()
    with torch.no_grad():
        for name in report.matched:
            state[name].copy_(chosen[name])
    return report


@dataclass(frozen=True)
class _Layout:
    """The names and shapes of a network, and the names of its backbone's stages."""

    shapes: dict[str, torch.Size]
    stages: frozenset[str]
    classifier: str | None


@lru_cache(maxsize=64)
def _layout(spec: NetSpec | SegmentationSpec) -> _Layout:
    with torch.device("meta"):
        net = SegmentationNet(spec) if isinstance(spec, SegmentationSpec) else EmbeddingNet(spec)
    shapes = {name: value.shape for name, value in net.state_dict().items() if not _is_counter(name)}
    stages = frozenset(f"backbone.{name}" for name, _ in net.backbone.named_children())
    return _Layout(shapes, stages, ARCHITECTURES[spec.backbone].classifier)


def _match(
    spec: NetSpec | SegmentationSpec, tensors: dict[str, Tensor]
) -> tuple[dict[str, Tensor], MatchReport]:
    """Return the tensor for each name in the network that the file has, and the report."""
    layout = _layout(spec)
    report = MatchReport()
    chosen: dict[str, Tensor] = {}
    plain = in_sequence(tensors)
    for name, tensor in (known_names(plain) if isinstance(spec, SegmentationSpec) else plain).items():
        places = list(_places(name))
        target = next((place for place in places if place in layout.shapes and place not in chosen), None)
        if target is not None and tensor.is_floating_point():
            chosen[target] = tensor
        elif layout.classifier and any(place.startswith(f"{layout.classifier}.") for place in places):
            report.classifier.append(name)
        elif not _is_counter(name):
            report.unexpected.append(name)
            if any(".".join(place.split(".")[:2]) in layout.stages for place in places):
                report.surplus.append(name)
    for name, shape in layout.shapes.items():
        if name not in chosen:
            report.missing.append(name)
        elif chosen[name].shape != shape:
            report.shape_differs.append(ShapeDifference(name, tuple(chosen[name].shape), tuple(shape)))
        else:
            report.matched.append(name)
    return chosen, report


def _is_counter(name: str) -> bool:
    """Return whether this is a count of batches, which published weights often lack and no result needs."""
    return name.endswith("num_batches_tracked")


def _places(name: str) -> Iterator[str]:
    """Yield the names in the network that a name in a file may stand for, the likeliest first."""
    # Caffe's layers have names like ``fire2/squeeze1x1``.
    name = name.replace("/", ".")
    while True:
        yield name
        yield f"backbone.{name}"
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
        if prefix is None:
            return
        name = name.removeprefix(prefix)


def _nothing_matched(backbone: str, tensors: dict[str, Tensor]) -> str:
    fitting = fitting_architectures(tensors)
    mend = (
        f"Its names fit {', '.join(fitting)}." if fitting else "They fit no architecture that is known here."
    )
    examples = ", ".join(repr(name[:60]) for name in list(tensors)[:3])
    return f"none of the {len(tensors)} tensors ({examples} ...) is a parameter of {backbone}. {mend}"


def fitting_architectures(tensors: dict[str, Tensor], names: Iterable[str] | None = None) -> list[str]:
    """Return the architectures whose parameters are there with their names and shapes, none left over.

    Args:
        tensors: by name.
        names: of the architectures to try; ``None``: all but those that are like another, which weights do
            not tell apart from it.
    """
    if names is None:
        names = [name for name, architecture in ARCHITECTURES.items() if architecture.like is None]
    reports = {name: _match(NetSpec(backbone=name), tensors)[1] for name in names}
    return [name for name, report in reports.items() if report.matched and not report.unfit]


def classifier_from(tensors: dict[str, Tensor], backbone: str) -> LinearClassifier | None:
    """Return the classification layer that published weights carry, or ``None`` where they have none.

    It belongs on the embedding of ``NetSpec(backbone)`` with mean pooling, no projection and no BNNeck.
    """
    layer = ARCHITECTURES[backbone].classifier
    parts = {place: tensor for name, tensor in tensors.items() for place in _places(name)}
    weight, bias = parts.get(f"{layer}.weight"), parts.get(f"{layer}.bias")
    if weight is None:
        return None
    weight = weight.flatten(1)
    classifier = LinearClassifier(weight.shape[1], weight.shape[0], bias=bias is not None)
    state: dict[str, Any] = {"weight": weight} | ({} if bias is None else {"bias": bias})
    classifier.load_state_dict(state)
    return classifier


def import_weights(
    file: Path, spec: NetSpec, *, seed: int | None = 0, partial: bool = False
) -> tuple[EmbeddingNet, MatchReport]:
    """Build the network that ``spec`` describes with the weights of ``file``.

    Args:
        file: what :func:`~perisphere.nets.read_checkpoint` reads.
        spec: the network.
        seed: of the parts that the file does not have, such as a projection.
        partial: accept a file that lacks parameters of the backbone, or has more of them.

    Raises:
        PerisphereError: the file cannot be read, nothing in it matches, or it is not exactly of this
            backbone and ``partial`` is false.
    """
    return import_tensors(file, read_checkpoint(file), spec, seed=seed, partial=partial)


def import_tensors(
    file: Path, tensors: dict[str, Tensor], spec: NetSpec, *, seed: int | None = 0, partial: bool = False
) -> tuple[EmbeddingNet, MatchReport]:
    """Do what :func:`import_weights` does with ``tensors`` that were read from ``file``."""
    net = build(spec, seed=seed)
    try:
        report = load_into(net, tensors)
    except PerisphereError as error:
        raise PerisphereError(f"{file}: {error}") from None
    if report.unfit and not partial:
        fitting = " or ".join(fitting_architectures(tensors)) or "none that is known here"
        raise PerisphereError(
            f"{file}: {len(report.unfit)} parameters of {spec.backbone} are missing, left over or of another "
            f"shape, e.g. {report.unfit[0]!r}. Name the right architecture (its names fit {fitting}), or "
            f"accept fresh values with --partial."
        )
    return net, report

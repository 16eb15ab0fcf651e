"""Published weights that segment, as ``weights import`` is asked for them: ``wikiscenes-resnet50``."""

from pathlib import Path
from typing import Any

from torch import Tensor

from perisphere.encoder.encoder import Encoder
from perisphere.encoder.preprocessing import Preprocessing
from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.nets import MatchReport, SegmentationSpec, build_segmentation, load_into
from perisphere.nets.pickled import Checkpoint
from perisphere.nets.segmentation import MOST_CLASSES, Head
from perisphere.nets.weights import fitting_architectures
from perisphere.nets.wikiscenes_names import known_names, published_head
from perisphere.tags.architecture import CONCEPTS

PREFIX = "wikiscenes-"
ENDINGS: dict[str, Head] = {"": "single-stage", "-cam": "cam", "-cls": "classifier"}
BACKBONES = ("resnet50", "resnet101", "resnet18", "mobilenet_v2")
FORMS = {
    f"{PREFIX}{backbone}{ending}": (backbone, head)
    for backbone in BACKBONES
    for ending, head in ENDINGS.items()
    if head == "classifier" or backbone != "mobilenet_v2"
}
"""What ``--as`` takes: backbone and head by name."""


def is_wikiscenes(checkpoint: Checkpoint, fields: dict[str, Any]) -> bool:
    """Tell whether a file is asked for as one of :data:`FORMS`, or holds a single-stage head."""
    asked = str(fields.get("backbone", ""))
    return asked.startswith(PREFIX) or (not asked and published_head(checkpoint.tensors) == "single-stage")


def wikiscenes_encoder(
    file: Path,
    checkpoint: Checkpoint,
    fields: dict[str, Any],
    preprocessing: Preprocessing,
    *,
    name: str | None = None,
    seed: int = 0,
    partial: bool = False,
) -> tuple[Encoder, MatchReport]:
    """Return the Encoder, which segments, and what matched.

    Ten classes are the concepts of WikiScenes; others are numbered, ``class 1`` and so on.

    Args:
        file: that it was read from.
        checkpoint: of :func:`is_wikiscenes`.
        fields: of the network; none but ``backbone``, one of :data:`FORMS`, may be given.
        preprocessing: its input; the published one is the usual of a ResNet.
        name: of the Encoder; by default the file's.
        seed: of the parts that the file lacks.
        partial: accept a file that lacks parts, or has more.

    Raises:
        UsageError: ``fields`` contradict the file.
        PerisphereError: a part is missing, left over or has another shape.
    """
    other = next((key for key in fields if key != "backbone"), None)
    if other is not None:
        raise UsageError(f"--{other.replace('_', '-')}: a network that segments has none. Leave it out.")
    spec = _spec(file, checkpoint, fields.get("backbone"))
    net = build_segmentation(spec, seed=seed)
    try:
        report = load_into(net, checkpoint.tensors)
    except PerisphereError as error:
        raise PerisphereError(f"{file}: {error}") from None
    differing = [*report.missing, *(part.name for part in report.shape_differs), *report.unexpected]
    if differing and not partial:
        raise PerisphereError(
            f"{file}: {len(differing)} parameters are missing, left over or of another shape, e.g. "
            f"{differing[0]!r}. Get the file again, or accept fresh values with --partial."
        )
    encoder = Encoder(
        net.eval(),
        preprocessing,
        name=name or file.stem,
        provenance={"weights": file.name, "seed": seed, "program": "WikiScenes"},
    )
    return encoder, report


def _spec(file: Path, checkpoint: Checkpoint, asked: str | None) -> SegmentationSpec:
    """Return the network that the file holds, which must be the one that was asked for."""
    head = published_head(checkpoint.tensors)
    if asked is not None and asked not in FORMS:
        mend = nearest(asked, list(FORMS)) or f" Known are {', '.join(FORMS)}."
        raise UsageError(f"--as: there is no {asked!r}.{mend}")
    if head is None:
        raise PerisphereError(
            f"{file}: holds no network that segments (last_conv.0.weight, fc8.weight or model_ft.fc.weight), "
            f"which --as {asked} stands for. Name the architecture alone, e.g. --as resnet50."
        )
    tensors = known_names(checkpoint.tensors)
    backbone = _backbone(file, tensors)
    if asked is not None and FORMS[asked] != (backbone, head):
        ending = next(ending for ending, known in ENDINGS.items() if known == head)
        raise UsageError(f"--as: {file} holds {PREFIX}{backbone}{ending}. Name it so.")
    names = _classes(file, tensors["scores.weight"])
    # The classifiers are common ResNets; the other heads' last stage keeps the sides.
    return SegmentationSpec(
        backbone=backbone, head=head, classes=names, output_stride=32 if head == "classifier" else 16
    )


def _classes(file: Path, weight: Tensor) -> tuple[str, ...]:
    if weight.dim() != 4 or not 1 <= len(weight) <= MOST_CLASSES:
        raise PerisphereError(
            f"{file}: its layer of classes is {list(weight.shape)[:8]}, not [classes, channels, 1, 1]. "
            "Get the file again."
        )
    return CONCEPTS if len(weight) == len(CONCEPTS) else tuple(f"class {k + 1}" for k in range(len(weight)))


def _backbone(file: Path, tensors: dict[str, Tensor]) -> str:
    parts = {name: tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    fitting = fitting_architectures(parts, BACKBONES)
    if not fitting:
        raise PerisphereError(
            f"{file}: its backbone is none of {', '.join(BACKBONES)}. Others cannot be read into a network "
            "that segments."
        )
    return fitting[0]

"""Checkpoints of WSDHQ (Wang et al., AAAI 2021): AlexNet with a tanh head, codebooks, ten views."""

from pathlib import Path
from typing import Any

from perisphere.codes.codebooks import Codebooks
from perisphere.codes.metric import metric_root
from perisphere.encoder.encoder import Encoder
from perisphere.encoder.preprocessing import Preprocessing
from perisphere.encoder.scales import Scales
from perisphere.errors import UsageError
from perisphere.nets import MatchReport, NetSpec
from perisphere.nets.layer_lists import CODEBOOKS
from perisphere.nets.pickled import Checkpoint
from perisphere.nets.weights import import_tensors
from perisphere.tags.tags import Tags

INPUT = "wsdhq"
"""Name of the input that its networks were trained with."""


def is_wsdhq(checkpoint: Checkpoint) -> bool:
    """Tell whether a checkpoint holds codebooks beside its layers."""
    return CODEBOOKS in checkpoint.about


def wsdhq_encoder(
    file: Path,
    checkpoint: Checkpoint,
    fields: dict[str, Any],
    preprocessing: Preprocessing,
    tags: Tags | None,
    *,
    name: str | None,
    partial: bool,
) -> tuple[Encoder, MatchReport]:
    """Return the Encoder, which embeds ten views, and what matched.

    Its codebooks are of features as they come, not of unit rows; errors count in the metric of the tags where
    they are given, as they did in training.

    Args:
        file: that it was read from.
        checkpoint: of :func:`is_wsdhq`.
        fields: of the network; none but ``backbone: alexnet`` may be given.
        preprocessing: its input.
        tags: that it was trained towards.
        name: of the Encoder; by default the file's.
        partial: accept a file that lacks layers.

    Raises:
        UsageError: ``fields`` contradict the file.
        PerisphereError: a layer is missing or has another shape, or the tags lie in another space.
    """
    words = checkpoint.about[CODEBOOKS]
    if fields.get("backbone", "alexnet") != "alexnet":
        raise UsageError(f"--as: {file} holds codebooks, so it is of WSDHQ and an alexnet. Leave --as out.")
    other = next((key for key in fields if key != "backbone"), None)
    if other is not None:
        raise UsageError(
            f"--{other.replace('_', '-')}: {file} says what its network is made of. Leave it out."
        )
    spec = NetSpec(backbone="alexnet", projection=words.shape[2], activation="tanh")
    net, report = import_tensors(file, checkpoint.tensors, spec, partial=partial)
    metric = None if tags is None else metric_root(tags.vectors)
    about = {"method": "quantization", "weights": file.name}
    encoder = Encoder(
        net,
        preprocessing,
        name=name or file.stem,
        provenance={"weights": file.name, "program": "WSDHQ"},
        scales=Scales(views="ten"),
        tags=tags,
        codebooks=Codebooks(words, "additive", unit=False, metric=metric, about=about),
    )
    return encoder, report

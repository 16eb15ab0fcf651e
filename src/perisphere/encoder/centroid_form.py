"""Checkpoints of the centroid triplet program, as ``weights import`` is asked for them: ``ctl-resnet50``."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from perisphere.encoder.preprocessing import Preprocessing
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import input_spec
from perisphere.nets.centroid_checkpoints import CentroidCheckpoint, centroid_checkpoint, form_of, is_form
from perisphere.nets.pickled import Checkpoint


def centroid_form(
    file: Path, checkpoint: Checkpoint, fields: dict[str, Any], whitening: str | None
) -> CentroidCheckpoint | None:
    """Return the checkpoint in today's terms, or ``None`` where it is of another program.

    Args:
        file: where it came from, for errors.
        checkpoint: as it was read.
        fields: that were asked for, of :class:`~perisphere.nets.NetSpec`; ``backbone`` may be a form.
        whitening: that was asked for; such a file has none.

    Raises:
        UsageError: options that contradict the file.
        PerisphereError: the file is not of the form that was asked for.
    """
    asked = fields.get("backbone")
    form = asked if is_form(asked) else None
    try:
        found = centroid_checkpoint(checkpoint, form)
    except PerisphereError as error:
        raise PerisphereError(f"{file}: {error}") from None
    if found is None and form is not None:
        raise PerisphereError(
            f"{file}: is no checkpoint of the centroid triplet program (backbone.base.* beside bn.*), which "
            f"--as {form} stands for. Name the architecture alone, e.g. --as resnet50."
        )
    if found is None:
        return None
    if asked is not None and form is None:
        raise UsageError(f"--as: {file} is a checkpoint of {form_of(found.spec.backbone)}. Name it so.")
    if whitening is not None:
        raise UsageError(f"--whitening: {file} has none. Leave it out.")
    other = next((key for key in fields if key != "backbone"), None)
    if other is not None:
        option = f"--{other.replace('_', '-')}"
        raise UsageError(f"{option}: {file} says what its network is made of. Leave it out.")
    return found


def centroid_input(file: Path, found: CentroidCheckpoint, size: int | None) -> Preprocessing:
    """Return the program's input for tests: squashed to its size by Pillow, ImageNet's mean and deviation.

    Args:
        file: where the checkpoint came from, for errors.
        found: the checkpoint.
        size: another side, of a square, in pixels.

    Raises:
        PerisphereError: the file's settings name an input that cannot be.
    """
    values = asdict(input_spec(found.spec.backbone)) | {
        "size": found.size,
        "resize": "squash",
        "smooth": True,
    }
    values |= {key: value for key in ("mean", "std") if (value := getattr(found, key)) is not None}
    try:
        preprocessing = Preprocessing(**values)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise PerisphereError(
            f"{file}: the input in its settings cannot be ({wrong['loc'][0]}: {wrong['msg']})."
        ) from None
    return preprocessing if size is None else preprocessing.at_size(size, size)

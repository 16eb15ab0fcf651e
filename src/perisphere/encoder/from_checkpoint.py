"""An Encoder from published weights, with the input and whitening that older checkpoints carry or imply."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from perisphere.encoder.centroid_form import centroid_form, centroid_input
from perisphere.encoder.change import usual_power
from perisphere.encoder.encoder import Encoder
from perisphere.encoder.preprocessing import Preprocessing
from perisphere.encoder.scales import Scales
from perisphere.encoder.whitening import Whitening
from perisphere.encoder.wikiscenes_form import is_wikiscenes, wikiscenes_encoder
from perisphere.encoder.wsdhq_form import INPUT, is_wsdhq, wsdhq_encoder
from perisphere.errors import PerisphereError, UsageError
from perisphere.foreign.keras import is_hdf5
from perisphere.nets import EmbeddingNet, MatchReport, NetSpec, import_keras, input_spec
from perisphere.nets.centroid_checkpoints import CentroidCheckpoint
from perisphere.nets.older import Older, older
from perisphere.nets.pickled import Checkpoint, read_training_checkpoint
from perisphere.nets.weights import import_tensors
from perisphere.tags.tags import Tags
from perisphere.taxonomy import ClassPoints

PRESETS = ("auto", "usual", "legacy")
RETRIEVAL_SIZE = 1024
RETRIEVAL_SCALES = (1.0, 1 / 2**0.5, 0.5)


def encoder_from(
    file: Path,
    fields: dict[str, Any],
    *,
    preset: str = "auto",
    size: int | None = None,
    whitening: str | None = None,
    name: str | None = None,
    seed: int = 0,
    partial: bool = False,
    classes: ClassPoints | None = None,
    tags: Tags | None = None,
) -> tuple[Encoder, MatchReport]:
    """Read a checkpoint into an Encoder.

    Args:
        file: the weights; nothing in it is run.
        fields: of :class:`~perisphere.nets.NetSpec`; ``backbone`` is needed unless the file says what its
            network is, and nothing else may be given where it does. ``ctl-resnet50`` and the like name the
            checkpoints of the centroid triplet program, ``wikiscenes-resnet50`` and the like those that
            segment.
        preset: the input. ``usual`` is the backbone's, ``legacy`` :meth:`Preprocessing.legacy`, and ``auto``
            takes the latter for classifiers of the older landmark program, and what the file says where it
            does; else the name of a published one (:meth:`Preprocessing.published`).
        size: side of the input, if not the preset's.
        whitening: ``NAME/ss`` or ``NAME/ms`` in the file: that whitening, and one scale or the published
            three.
        name: of the Encoder; by default the file's.
        seed: of the parts that the file lacks.
        partial: accept a file that is not exactly of this backbone.
        classes: the class points that it was trained towards, which the Encoder then carries.
        tags: those that it was trained towards, of a checkpoint of WSDHQ.

    Raises:
        UsageError: no backbone, class points of another space, or options that contradict the file.
        PerisphereError: the file cannot be read or does not fit.
        pydantic.ValidationError: a field that is none, or a wrong value.
    """
    if is_hdf5(file):
        _only_wsdhq(tags, file)
        net, report = _from_keras(file, fields, whitening, seed=seed, partial=partial)
        preprocessing = _preprocessing(net.spec, None, preset, size)
        provenance = {"weights": file.name, "seed": seed}
        _check_classes(classes, file, net, None)
        encoder = Encoder(net, preprocessing, name=name or file.stem, provenance=provenance, classes=classes)
        return encoder, report
    checkpoint = read_training_checkpoint(file)
    if is_wsdhq(checkpoint):
        return _from_wsdhq(file, checkpoint, fields, preset, size, whitening, classes, tags, name, partial)
    _only_wsdhq(tags, file)
    if is_wikiscenes(checkpoint, fields):
        _without(file, "is of a network that segments, and has", whitening=whitening, classes=classes)
        preprocessing = _preprocessing(NetSpec(backbone="resnet50"), None, preset, size)
        return wikiscenes_encoder(
            file, checkpoint, fields, preprocessing, name=name, seed=seed, partial=partial
        )
    trained = centroid_form(file, checkpoint, fields, whitening)
    if trained is not None:
        return _from_centroids(
            file, trained, preset, size, name=name, seed=seed, partial=partial, classes=classes
        )
    try:
        found = older(checkpoint)
        white = None if whitening is None else Whitening(*(found or Older({})).whitening(whitening))
    except PerisphereError as error:
        raise PerisphereError(f"{file}: {error}") from None
    spec = _spec(file, found, fields)
    tensors = checkpoint.tensors if found is None else found.tensors
    net, report = import_tensors(file, tensors, spec, seed=seed, partial=partial)
    _check_classes(classes, file, net, white)
    classifier = found is not None and found.spec is None and "best_prec1" in checkpoint.about
    several = whitening is not None and whitening.endswith("/ms")
    factors = RETRIEVAL_SCALES if several else (1.0,)
    encoder = Encoder(
        net,
        _preprocessing(spec, found, "legacy" if preset == "auto" and classifier else preset, size),
        name=name or file.stem,
        provenance={"weights": file.name, "seed": seed} | ({"whitening": whitening} if whitening else {}),
        scales=Scales(factors=factors, power=usual_power(net, factors)),
        whitening=white,
        classes=classes,
    )
    return encoder, report


def _from_keras(
    file: Path, fields: dict[str, Any], whitening: str | None, *, seed: int, partial: bool
) -> tuple[EmbeddingNet, MatchReport]:
    if whitening is not None:
        raise UsageError(f"--whitening: {file} is a Keras file, which has none. Leave it out.")
    if "backbone" not in fields:
        raise UsageError(f"--as: {file} is a Keras file; name its network, one of `weights list`.")
    return import_keras(file, fields, seed=seed, partial=partial)


def _from_wsdhq(
    file: Path,
    checkpoint: Checkpoint,
    fields: dict[str, Any],
    preset: str,
    size: int | None,
    whitening: str | None,
    classes: ClassPoints | None,
    tags: Tags | None,
    name: str | None,
    partial: bool,
) -> tuple[Encoder, MatchReport]:
    _without(file, "is of WSDHQ, whose space has", whitening=whitening, classes=classes)
    spec = NetSpec(backbone="alexnet")
    preprocessing = _preprocessing(spec, None, INPUT if preset == "auto" else preset, size)
    return wsdhq_encoder(file, checkpoint, fields, preprocessing, tags, name=name, partial=partial)


def _without(file: Path, reason: str, **options: object) -> None:
    for option, value in options.items():
        if value is not None:
            raise UsageError(f"--{option}: {file} {reason} none. Leave it out.")


def _only_wsdhq(tags: Tags | None, file: Path) -> None:
    if tags is not None:
        raise UsageError(f"--tags: {file} was not trained towards tags: it holds no codebooks. Leave it out.")


def _from_centroids(
    file: Path,
    found: CentroidCheckpoint,
    preset: str,
    size: int | None,
    *,
    name: str | None,
    seed: int,
    partial: bool,
    classes: ClassPoints | None,
) -> tuple[Encoder, MatchReport]:
    net, report = import_tensors(file, found.tensors, found.spec, seed=seed, partial=partial)
    report.classifier.extend(found.left_out)
    _check_classes(classes, file, net, None)
    preprocessing = (
        centroid_input(file, found, size)
        if preset == "auto"
        else _preprocessing(found.spec, None, preset, size)
    )
    provenance = {"weights": file.name, "seed": seed, "program": "centroids-reid", **found.about}
    encoder = Encoder(net, preprocessing, name=name or file.stem, provenance=provenance, classes=classes)
    return encoder, report


def _check_classes(
    classes: ClassPoints | None, file: Path, net: EmbeddingNet, whitening: Whitening | None
) -> None:
    if classes is None:
        return
    if whitening is not None:
        raise UsageError("--classes: a whitening turns embeddings away from class points; leave one out.")
    if classes.dim != net.dim:
        raise UsageError(
            f"--classes: the points have {classes.dim} numbers, and embeddings of {file} have {net.dim}. "
            "Give the points that it was trained towards."
        )


def _spec(file: Path, found: Older | None, fields: dict[str, Any]) -> NetSpec:
    given = found.spec if found else None
    if given is None:
        if "backbone" not in fields:
            raise UsageError(f"--as: {file} does not say what its network is; name one of `weights list`.")
        return NetSpec.model_validate(fields)
    if fields.get("backbone", given.backbone) != given.backbone:
        raise UsageError(f"--as: {file} says that it is {given.backbone}. Leave --as out.")
    other = next((key for key in fields if key != "backbone"), None)
    if other is not None:
        raise UsageError(
            f"--{other.replace('_', '-')}: {file} says what its network is made of. Leave it out, and change "
            "the encoder with `perisphere encoder change`."
        )
    return given


def _preprocessing(spec: NetSpec, found: Older | None, preset: str, size: int | None) -> Preprocessing:
    if preset not in PRESETS:
        try:
            made = Preprocessing.published(preset)
        except UsageError as error:
            raise UsageError(f"--preset: it is none of {', '.join(PRESETS)}, and {error}") from None
        return made if size is None else made.at_size(size, size)
    values = asdict(input_spec(spec.backbone))
    if preset == "legacy":
        values = Preprocessing.legacy().model_dump()
    elif preset == "auto" and found is not None and found.spec is not None:
        values |= {"size": (RETRIEVAL_SIZE, RETRIEVAL_SIZE), "resize": "long", "interpolation": "bicubic"}
        values |= {"mean": found.mean} if found.mean else {}
        values |= {"std": found.std} if found.std else {}
    made = Preprocessing(**values)
    return made if size is None else made.at_size(size, size)

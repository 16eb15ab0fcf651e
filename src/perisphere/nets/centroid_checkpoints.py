"""Lightning checkpoints of the centroid triplet program: what their names and settings mean here.

Source: Wieczorek, Rychalska and Dabrowski, "On the unreasonable effectiveness of centroids in image
retrieval", ICONIP 2021, and its public program (centroids-reid). Its network is a ResNet with a last stride
of 1, average pooling and a BNNeck. The plain ResNets have **no ReLU in the stem**; those with IBN-a have one.
"""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from perisphere.errors import PerisphereError, nearest
from perisphere.nets.pickled import Checkpoint
from perisphere.nets.registry import ARCHITECTURES
from perisphere.nets.spec import NetSpec
from perisphere.nets.weights import fitting_architectures

FORM = "ctl-"
"""``ctl-resnet50-ibn-a`` is the form of this program's checkpoints of the backbone ``resnet50_ibn_a``."""

BACKBONE, NECK = "backbone.base.", "bn."
LEFT_OUT = ("fc_query.", f"{BACKBONE}fc.", "center_loss.")
PLAIN_SIZE, IBN_SIZE = (256, 128), (320, 320)


@dataclass(frozen=True)
class CentroidCheckpoint:
    """A checkpoint of the program in today's terms.

    Attributes:
        tensors: of the backbone and the BNNeck, with the names that they have here.
        left_out: names in the file of classifiers and class centres, which an encoder has no use for.
        spec: the network.
        size: height and width of its input in pixels.
        mean: of the input, values 0 to 1, RGB; ``None`` where the file does not say.
        std: of the input, as ``mean``.
        about: data set, epoch, identities and distance, where the file says them (JSON values).
    """

    tensors: dict[str, Tensor]
    left_out: list[str]
    spec: NetSpec
    size: tuple[int, int]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    about: dict[str, Any] = field(default_factory=dict)


def is_form(name: str | None) -> bool:
    """Tell whether ``name`` asks for a checkpoint of this program (``ctl-resnet50``)."""
    return name is not None and name.startswith(FORM)


def form_of(backbone: str) -> str:
    """Return the name of the form for a backbone: ``ctl-resnet50-ibn-a`` for ``resnet50_ibn_a``."""
    return FORM + backbone.replace("_", "-")


def centroid_checkpoint(checkpoint: Checkpoint, form: str | None = None) -> CentroidCheckpoint | None:
    """Return the checkpoint in today's terms, or ``None`` where it is of another program.

    Args:
        checkpoint: as it was read; its settings (``hyper_parameters``) need not be there.
        form: ``ctl-resnet50`` and the like, where the file does not say what its backbone is.

    Raises:
        PerisphereError: the file contradicts ``form``, or its backbone is none that is known here.
    """
    names = checkpoint.tensors.keys()
    if not (any(name.startswith(BACKBONE) for name in names) and f"{NECK}running_var" in names):
        return None
    settings = checkpoint.about.get("hyper_parameters")
    backbone = _backbone(_setting(settings, "MODEL", "NAME"), form, checkpoint.tensors)
    ibn = backbone.endswith("_ibn_a")
    stride = _setting(settings, "MODEL", "LAST_STRIDE")
    return CentroidCheckpoint(
        tensors={_renamed(name): checkpoint.tensors[name] for name in names if not name.startswith(LEFT_OUT)},
        left_out=[name for name in names if name.startswith(LEFT_OUT)],
        spec=NetSpec(backbone=backbone, last_stride=2 if stride == 2 else 1, stem_relu=ibn, bnneck=True),
        size=_size(_setting(settings, "INPUT", "SIZE_TEST")) or (IBN_SIZE if ibn else PLAIN_SIZE),
        mean=_triple(_setting(settings, "INPUT", "PIXEL_MEAN")),
        std=_triple(_setting(settings, "INPUT", "PIXEL_STD")),
        about=_about(checkpoint, settings),
    )


def _backbone(said: Any, form: str | None, tensors: dict[str, Tensor]) -> str:
    """Return the backbone by the file's settings, the form that was asked for, or the tensors' names."""
    known = [name for name, architecture in ARCHITECTURES.items() if architecture.strided]
    asked = form and form.removeprefix(FORM).replace("-", "_")
    if asked is not None and asked not in known:
        forms = [form_of(name) for name in known]
        raise PerisphereError(
            f"there is no form {form!r}.{nearest(str(form), forms)} Known: {', '.join(forms)}."
        )
    if said is not None and said not in known:
        raise PerisphereError(
            f"its backbone {str(said)[:60]!r} is not known here; known are {', '.join(known)}."
        )
    if said is not None and asked is not None and said != asked:
        raise PerisphereError(f"it says that it is {form_of(said)}, not {form}. Leave --as out.")
    found = said or asked or next(iter(fitting_architectures(tensors)), None)
    if found is None:
        raise PerisphereError(
            "it does not say what its backbone is, and its names fit none. Name it with --as."
        )
    return str(found)


def _renamed(name: str) -> str:
    if name.startswith(NECK):
        return f"bnneck.{name.removeprefix(NECK)}"
    return name.replace(BACKBONE, "backbone.", 1) if name.startswith(BACKBONE) else name


def _setting(settings: Any, section: str, key: str) -> Any:
    """Return a setting, or ``None`` where the file's settings are not there or are something else."""
    part = settings.get(section) if isinstance(settings, dict) else None
    return part.get(key) if isinstance(part, dict) else None


def _size(value: Any) -> tuple[int, int] | None:
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(type(side) is int for side in value):
        return None
    return (value[0], value[1])


def _triple(value: Any) -> tuple[float, ...] | None:
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    return tuple(value) if all(isinstance(part, int | float) for part in value) else None


def _about(checkpoint: Checkpoint, settings: Any) -> dict[str, Any]:
    classifier = checkpoint.tensors.get("fc_query.weight")
    facts = {
        "trained_on": _setting(settings, "DATASETS", "NAMES"),
        "distance": _setting(settings, "SOLVER", "DISTANCE_FUNC"),
        "epoch": checkpoint.about.get("epoch"),
        "identities": None if classifier is None else len(classifier),
    }
    return {name: value for name, value in facts.items() if isinstance(value, str | int)}

"""An Encoder from a local folder in the hub's format: DINOv2, CLIP, SigLIP, ViT, ResNet, ConvNeXt.

Nothing is downloaded, no code and no pickle of the folder is run, and the Encoder that comes out needs the
folder no more.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from perisphere.encoder.encoder import Encoder
from perisphere.encoder.hub_preprocessing import hub_preprocessing
from perisphere.encoder.hub_text import text_parts
from perisphere.encoder.preprocessing import Preprocessing
from perisphere.encoder.text_tower import TextTower
from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.nets.families import FAMILIES, Pool, Value, checked
from perisphere.nets.hub_folder import CONFIG, PREPROCESSOR, PROCESSOR, HubFolder
from perisphere.nets.pretrained import TransformersNet, TransformersSpec, check_library, resolved


def encoder_from_hub(
    path: Path,
    *,
    pool: Pool | None = None,
    text: bool = True,
    name: str | None = None,
) -> Encoder:
    """Read a folder in the hub's format into an Encoder.

    Args:
        path: with ``config.json``, weights, ``preprocessor_config.json`` and, for texts, ``tokenizer.json``.
        pool: the vector that stands for a picture; ``None`` takes the family's usual one
            (:data:`~perisphere.nets.families.FAMILIES`).
        text: whether texts shall be read too, where the network can and ``pool`` is in their space.
        name: of the Encoder; by default the folder's.

    Raises:
        UsageError: the network has no such vector.
        PerisphereError: a file is missing, damaged, or of a network that is not known here.
    """
    check_library()
    folder = HubFolder(path)
    config = folder.json(CONFIG) or {}
    family = _family(folder, config)
    pool = pool or FAMILIES[family].pools[0]
    if pool not in FAMILIES[family].pools:
        raise UsageError(f"--pool {pool}: {family} has {', '.join(FAMILIES[family].pools)}.")
    vision, words = _settings(folder, config, family)
    preprocessing = _preprocessing(folder, family)
    joint = text and pool == FAMILIES[family].pools[0]
    reading = text_parts(folder, family, words) if joint and words is not None else None
    tensors = folder.tensors()
    try:
        spec = TransformersSpec(family=family, pool=pool, config=vision)
        net = TransformersNet(spec, _of(family, tensors, "vision"))
        tower = reading and TextTower(reading[0], _of(family, tensors, "text"), reading[1])
    except PerisphereError as error:
        raise PerisphereError(f"{path}: {error}") from error
    return Encoder(
        net,
        preprocessing,
        name=name or path.resolve().name,
        provenance={"hub": path.resolve().name, "family": family, "pool": pool},
        text=tower,
    )


def _family(folder: HubFolder, config: dict[str, Any]) -> str:
    """Return the family that the folder says, which must be one of ours."""
    kind = str(config.get("model_type"))
    family = next((name for name, known in FAMILIES.items() if kind in (name, known.alone)), None)
    if family is None:
        mend = nearest(kind, list(FAMILIES)) or f" Known are {', '.join(FAMILIES)}."
        if kind == "siglip2":
            mend = " It takes photos of any shape; SigLIP 2 of one image size, of the type siglip, is read."
        raise PerisphereError(
            f"{folder.path / CONFIG}: networks of the type {kind[:60]!r} are not read.{mend}"
        )
    for name in ("auto_map", "quantization_config"):
        if config.get(name):
            raise PerisphereError(
                f"{folder.path / CONFIG}: {name} asks for code in the folder or for packed numbers, which "
                "are not read. Get the folder of the original network."
            )
    return family


def _settings(
    folder: HubFolder, config: dict[str, Any], family: str
) -> tuple[dict[str, Value], dict[str, Value] | None]:
    """Return the checked settings of what sees and, where there is one, of what reads."""
    known = FAMILIES[family]
    nested = known.nested and config.get("model_type") == family
    try:
        if not nested:
            return resolved(known.vision, checked(known.vision, config)), None
        shared = {key: config[key] for key in ("projection_dim",) if key in config}
        assert known.text is not None  # of every family with nested settings
        vision = checked(known.vision, {**_part(config, "vision_config"), **shared})
        words = checked(known.text, {**_part(config, "text_config"), **shared})
        return resolved(known.vision, vision), resolved(known.text, words)
    except PerisphereError as error:
        raise PerisphereError(f"{folder.path / CONFIG}: {error}") from None


def _part(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the settings of a part; those of ``NAME_dict`` are older and overrule, as in the library."""
    found: dict[str, Any] = {}
    for key in (name, f"{name}_dict"):
        value = config.get(key)
        if isinstance(value, dict):
            found |= value
        elif value is not None:
            raise PerisphereError(f"{key} holds no settings.")
    return found


def _preprocessing(folder: HubFolder, family: str) -> Preprocessing:
    """Read how photos are brought to the network; newer folders say it beside how texts are."""
    file, given = PREPROCESSOR, folder.json(PREPROCESSOR)
    if given is None:
        file, given = PROCESSOR, (folder.json(PROCESSOR) or {}).get("image_processor")
    if not isinstance(given, dict):
        raise PerisphereError(
            f"{folder.path}: no {PREPROCESSOR} in it, which says how photos are brought to the network. "
            "Get the folder whole."
        )
    try:
        return hub_preprocessing(given, family)
    except PerisphereError as error:
        raise PerisphereError(f"{folder.path / file}: {error}") from None


def _of(family: str, tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the weights of one part of a network that has two, or all."""
    if not FAMILIES[family].nested:
        return tensors
    other = {"vision": ("text_model.", "text_projection."), "text": ("vision_model.", "visual_projection.")}
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(other[part])}

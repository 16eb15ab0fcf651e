"""``preprocessor_config.json`` of a folder in the hub's format, as our own preprocessing.

Pillow resizes as the library's own processors for Pillow do, so the pixels are the same; what cannot be made
the same is refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from perisphere.encoder.preprocessing import Preprocessing
from perisphere.errors import PerisphereError, nearest

Interpolation = Literal["bilinear", "area", "bicubic"]

_FILTERS: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic", 4: "area"}
_OTHER_FILTERS = {0: "nearest", 1: "lanczos", 5: "hamming"}
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SQUASHED = 384
"""Pixels from which a ConvNeXt processor squashes instead of cutting the centre."""


@dataclass(frozen=True)
class Processor:
    """What a kind of processor does where its file does not say.

    Attributes:
        size: shortest edge, or height and width.
        resample: number of Pillow's filter.
        crop: whether the centre is cut out.
        normalisation: mean and standard deviation.
        share: of the shorter edge that the centre shows, for a ConvNeXt's.
    """

    size: Mapping[str, int] = field(default_factory=lambda: {"height": 224, "width": 224})
    resample: int = 2
    crop: bool = False
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] = _HALF
    share: float | None = None


_CROPPED = Processor({"shortest_edge": 224}, 3, True, _CLIP)
PROCESSORS = {
    "CLIP": _CROPPED,
    "Bit": _CROPPED,
    "ViT": Processor(),
    "Siglip": Processor(resample=3),
    "ConvNext": Processor({"shortest_edge": SQUASHED}, 3, share=224 / 256),
}
"""By the name of the processor's class without its ending."""

_ENDINGS = ("ImageProcessorPil", "ImageProcessorFast", "ImageProcessor", "FeatureExtractor")
_USUAL = {
    "clip": "CLIP",
    "dinov2": "Bit",
    "dinov2_with_registers": "Bit",
    "vit": "ViT",
    "siglip": "Siglip",
    "resnet": "ConvNext",
    "convnext": "ConvNext",
    "convnextv2": "ConvNext",
}


def hub_preprocessing(given: Mapping[str, Any], family: str) -> Preprocessing:
    """Return the preprocessing that a processor's settings describe.

    Args:
        given: the settings; what is missing is as the library has it for this processor.
        family: of the network, which says the processor where the settings do not.

    Raises:
        PerisphereError: the settings are damaged, or ask for what cannot be done the same way; the message
            begins with the setting.
    """
    kind = _kind(given, family)
    usual = PROCESSORS[kind]
    if not _flag(given, "do_resize", True):
        raise PerisphereError("do_resize is false: the network would get photos of any size.")
    if _flag(given, "do_pad", False):
        raise PerisphereError("do_pad is true, which is not supported.")
    mean, std = (tuple(_numbers(given, name, fall)) for name, fall in _normalisation(given, usual))
    fields: dict[str, Any] = {
        **_geometry(given, usual),
        "interpolation": _filter(given, usual),
        "smooth": True,
        "scale": _number(given, "rescale_factor", 1 / 255) if _flag(given, "do_rescale", True) else 1.0,
        "mean": mean,
        "std": std,
    }
    try:
        return Preprocessing(**fields)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"])) or "size"
        raise PerisphereError(f"{place}: {wrong['msg'].removeprefix('Value error, ')}.") from None


def _kind(given: Mapping[str, Any], family: str) -> str:
    name = given.get("image_processor_type", given.get("feature_extractor_type"))
    if name is None:
        return _USUAL[family]
    kind = next((str(name).removesuffix(end) for end in _ENDINGS if str(name).endswith(end)), "")
    if kind not in PROCESSORS:
        known = [f"{kind}ImageProcessor" for kind in PROCESSORS]
        mend = nearest(str(name), known) or f" Known are {', '.join(known)}."
        raise PerisphereError(f"image_processor_type: there is no {str(name)[:60]!r} here.{mend}")
    return kind


def _geometry(given: Mapping[str, Any], usual: Processor) -> dict[str, Any]:
    """Return ``size``, ``resize`` and ``shorter``."""
    cut = usual.crop or usual.share is not None
    size = _sides(given, "size", usual.size, square=not cut)
    if usual.share is not None:
        return _convnext(size, _number(given, "crop_pct", usual.share))
    crop = _flag(given, "do_center_crop", usual.crop)
    shorter = size.get("shortest_edge")
    if not crop:
        if shorter is not None:
            raise PerisphereError("size: shortest_edge without do_center_crop leaves photos of many shapes.")
        return {"size": (size["height"], size["width"]), "resize": "squash"}
    cut_out = _sides(given, "crop_size", {"height": 224, "width": 224}, square=True)
    if "shortest_edge" in cut_out:
        raise PerisphereError("crop_size: height and width are needed.")
    middle = (cut_out["height"], cut_out["width"])
    if shorter is not None:
        return {"size": middle, "resize": "crop", "shorter": shorter}
    if (size["height"], size["width"]) != middle:
        raise PerisphereError("size: a squashed photo of which the centre is cut out is not supported.")
    return {"size": middle, "resize": "squash"}


def _convnext(size: Mapping[str, int], share: float) -> dict[str, Any]:
    side = size.get("shortest_edge")
    if side is None:
        raise PerisphereError("size: a ConvNeXt processor needs shortest_edge.")
    if side >= SQUASHED:
        return {"size": (side, side), "resize": "squash"}
    if not 0.05 <= share <= 1:
        raise PerisphereError(f"crop_pct is {share}; a share from 0.05 to 1 is needed.")
    return {"size": (side, side), "resize": "crop", "shorter": int(side / share)}


def _sides(
    given: Mapping[str, Any], name: str, fall: Mapping[str, int], *, square: bool
) -> Mapping[str, int]:
    """Return ``shortest_edge``, or ``height`` and ``width``; older files have one number."""
    value = given.get(name)
    if value is None:
        return fall
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"height": value, "width": value} if square else {"shortest_edge": value}
    names = set(value) if isinstance(value, dict) else set()
    if names not in ({"shortest_edge"}, {"height", "width"}):
        raise PerisphereError(f"{name} is {str(value)[:80]}; shortest_edge, or height and width, is needed.")
    for side in value.values():
        if not isinstance(side, int) or isinstance(side, bool) or not 1 <= side <= 8192:
            raise PerisphereError(f"{name} is {str(value)[:80]}; sides of 1 to 8192 pixels are needed.")
    return value


def _filter(given: Mapping[str, Any], usual: Processor) -> Interpolation:
    value = given.get("resample", usual.resample)
    found = _FILTERS.get(value) if isinstance(value, int) else None
    if found is None:
        name = _OTHER_FILTERS.get(value, str(value)[:20]) if isinstance(value, int) else str(value)[:20]
        raise PerisphereError(f"resample: the filter {name} is not supported; bilinear, bicubic and box are.")
    return found


def _normalisation(given: Mapping[str, Any], usual: Processor) -> list[tuple[str, tuple[float, ...]]]:
    if _flag(given, "do_normalize", True):
        return [("image_mean", usual.normalisation[0]), ("image_std", usual.normalisation[1])]
    return [("", (0.0, 0.0, 0.0)), ("", (1.0, 1.0, 1.0))]


def _numbers(given: Mapping[str, Any], name: str, fall: tuple[float, ...]) -> tuple[float, ...]:
    value = given.get(name)
    if value is None:
        return fall
    value = [value] * 3 if isinstance(value, int | float) else value
    if not isinstance(value, list) or len(value) != 3 or not all(_is_number(entry) for entry in value):
        raise PerisphereError(f"{name} is {str(value)[:80]}; three numbers are needed.")
    return tuple(float(entry) for entry in value)


def _number(given: Mapping[str, Any], name: str, fall: float) -> float:
    value = given.get(name)
    if value is None:
        return fall
    if not _is_number(value):
        raise PerisphereError(f"{name} is {str(value)[:80]}; a number is needed.")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _flag(given: Mapping[str, Any], name: str, fall: bool) -> bool:
    value = given.get(name)
    if value is None:
        return fall
    if not isinstance(value, bool):
        raise PerisphereError(f"{name} is {str(value)[:80]}; true or false is needed.")
    return value

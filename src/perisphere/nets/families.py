"""The pretrained families that are taken from folders in the hub's format, and what their settings may be.

A configuration comes from outside. Only the fields named here are read, each within bounds, and the classes
are named here too: nothing in a folder chooses what is imported.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from perisphere.errors import PerisphereError

Pool = Literal["projection", "pooled", "cls", "mean"]
"""Which of a network's vectors stands for the picture.

``projection``: the embedding that the network compares with texts; ``pooled``: its own pooled vector;
``cls``: the class token after the last normalisation; ``mean``: the mean of the patches' tokens there.
"""

Value = int | float | bool | str | list[int]

LARGEST = 65_536
"""Above any width of a layer; a width beyond it is a damaged or hostile file."""

_LIMITS = {
    "num_hidden_layers": 256,
    "vocab_size": 1 << 21,
    "image_size": 8192,
    "depths": 512,
    "mlp_ratio": 16,
}
_ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "selu", "tanh")
_WORDS = {"layer_type": ("basic", "bottleneck")}

_TRANSFORMER = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_act",
    "layer_norm_eps",
)
_PATCHES = ("image_size", "patch_size", "num_channels")
_DINO = (*_TRANSFORMER, *_PATCHES, "mlp_ratio", "qkv_bias", "use_swiglu_ffn")
_CONVNEXT = (
    "num_channels",
    "patch_size",
    "num_stages",
    "hidden_sizes",
    "depths",
    "hidden_act",
    "layer_norm_eps",
)


@dataclass(frozen=True)
class Part:
    """A network of the library: its classes, and the fields of its configuration that are read.

    Attributes:
        module: below ``transformers.models``.
        model: name of its class.
        config: name of the class of its configuration.
        fields: those that shape the network.
    """

    module: str
    model: str
    config: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """A kind of network by its ``model_type``.

    Attributes:
        vision: what sees pictures.
        pools: the vectors that it has, the usual one first.
        text: what reads texts in the same space as the usual vector, if anything does.
        nested: whether a folder with both has their settings in ``vision_config`` and ``text_config``.
        alone: the ``model_type`` of a folder that holds the part that sees alone.
    """

    vision: Part
    pools: tuple[Pool, ...]
    text: Part | None = None
    nested: bool = False
    alone: str | None = None


_TEXT = (*_TRANSFORMER, "intermediate_size", "vocab_size", "max_position_embeddings")

FAMILIES: dict[str, Family] = {
    "dinov2": Family(Part("dinov2", "Dinov2Model", "Dinov2Config", _DINO), ("cls", "mean")),
    "dinov2_with_registers": Family(
        Part(
            "dinov2_with_registers",
            "Dinov2WithRegistersModel",
            "Dinov2WithRegistersConfig",
            (*_DINO, "num_register_tokens"),
        ),
        ("cls", "mean"),
    ),
    "vit": Family(
        Part(
            "vit",
            "ViTModel",
            "ViTConfig",
            (
                *_TRANSFORMER,
                *_PATCHES,
                "intermediate_size",
                "qkv_bias",
                "pooler_output_size",
                "pooler_act",
            ),
        ),
        ("cls", "pooled", "mean"),
    ),
    "clip": Family(
        Part(
            "clip",
            "CLIPVisionModelWithProjection",
            "CLIPVisionConfig",
            (*_TRANSFORMER, *_PATCHES, "intermediate_size", "projection_dim"),
        ),
        ("projection", "pooled"),
        Part(
            "clip",
            "CLIPTextModelWithProjection",
            "CLIPTextConfig",
            (*_TEXT, "projection_dim", "eos_token_id"),
        ),
        nested=True,
        alone="clip_vision_model",
    ),
    "siglip": Family(
        Part(
            "siglip",
            "SiglipVisionModel",
            "SiglipVisionConfig",
            (*_TRANSFORMER, *_PATCHES, "intermediate_size"),
        ),
        ("pooled",),
        Part("siglip", "SiglipTextModel", "SiglipTextConfig", (*_TEXT, "projection_size")),
        nested=True,
        alone="siglip_vision_model",
    ),
    "resnet": Family(
        Part(
            "resnet",
            "ResNetModel",
            "ResNetConfig",
            (
                "num_channels",
                "embedding_size",
                "hidden_sizes",
                "depths",
                "layer_type",
                "hidden_act",
                "downsample_in_first_stage",
                "downsample_in_bottleneck",
            ),
        ),
        ("pooled",),
    ),
    "convnext": Family(
        Part("convnext", "ConvNextModel", "ConvNextConfig", (*_CONVNEXT, "layer_scale_init_value")),
        ("pooled",),
    ),
    "convnextv2": Family(Part("convnextv2", "ConvNextV2Model", "ConvNextV2Config", _CONVNEXT), ("pooled",)),
}
"""By ``model_type`` of the configuration."""


def checked(part: Part, given: Mapping[str, Any]) -> dict[str, Value]:
    """Return the fields of a configuration that shape the network, each within its bounds.

    Args:
        part: what they are of.
        given: field to value, as it came from a file; other fields are passed over, and so is ``null``.

    Raises:
        PerisphereError: a value of another kind or out of bounds; the message begins with the field.
    """
    found = {}
    for name in part.fields:
        value = given.get(name)
        if value is not None:
            found[name] = _value(name, value)
    if found.get("num_channels", 3) != 3:
        raise PerisphereError(f"num_channels is {found['num_channels']}; only pictures of 3 are embedded.")
    heads, width = found.get("num_attention_heads"), found.get("hidden_size")
    if isinstance(heads, int) and isinstance(width, int) and (not heads or width % heads):
        raise PerisphereError(f"hidden_size {width} cannot be divided among num_attention_heads {heads}.")
    return found


def _value(name: str, value: Any) -> Value:
    if name in ("image_size", "patch_size") and isinstance(value, list) and len(set(map(str, value))) == 1:
        value = value[0]
    if name == "hidden_act" or name == "pooler_act" or name in _WORDS:
        return _word(name, value)
    if isinstance(value, list):
        if not 1 <= len(value) <= 16:
            raise PerisphereError(f"{name} has {len(value)} entries; 1 to 16 can be.")
        return [_whole(name, entry) for entry in value]
    if isinstance(value, float):
        if not (math.isfinite(value) and 0 <= value <= 1024):
            raise PerisphereError(f"{name} is {value}; a number from 0 to 1024 is needed.")
        return value
    return value if isinstance(value, bool) else _whole(name, value)


def _whole(name: str, value: Any) -> int:
    limit = _LIMITS.get(name, LARGEST)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise PerisphereError(f"{name} is {str(value)[:60]}; a whole number from 0 to {limit} is needed.")
    return value


def _word(name: str, value: Any) -> str:
    known = _WORDS.get(name, _ACTIVATIONS)
    if value not in known:
        raise PerisphereError(f"{name} is {str(value)[:60]!r}; known are {', '.join(known)}.")
    return str(value)

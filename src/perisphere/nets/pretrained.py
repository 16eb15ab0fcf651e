"""Networks of the transformers library with given weights, built from checked settings alone.

The library gets a class that is named here, settings that were checked and tensors that were read by us: it
never sees the folder that they came from, so it downloads nothing and runs nothing from there.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor, nn

from perisphere.errors import PerisphereError, nearest
from perisphere.nets.families import FAMILIES, Part, Pool, Value, checked

_NEEDLESS = ("mask_token", "position_ids", "num_batches_tracked")
"""Last parts of names that no embedding depends on: files have them or not."""

_HEADS = ("classifier", "decoder", "pooler", "logit_scale", "logit_bias")
"""First parts of names that an encoder leaves out: what classifies, restores or compares."""

_SLACK = 1 << 24
"""Numbers that a network may have beyond its file's: tokens and heads that no embedding depends on."""

_UNBUILDABLE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class TransformersSpec(BaseModel):
    """What a :class:`TransformersNet` is made of, enough to build it again without weights.

    Attributes:
        kind: tells it from the specifications of other networks.
        family: one of :data:`~perisphere.nets.families.FAMILIES`.
        pool: the vector that stands for the picture, one of those of the family.
        config: the settings that shape the network.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["transformers"] = "transformers"
    family: str
    pool: Pool
    config: dict[str, Value] = Field(default_factory=dict)

    @field_validator("family")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in FAMILIES:
            raise ValueError(f"there is no family {name!r}.{nearest(name, list(FAMILIES))}")
        return name

    @model_validator(mode="after")
    def _bounded(self) -> "TransformersSpec":
        family = FAMILIES[self.family]
        if self.pool not in family.pools:
            raise ValueError(f"pool {self.pool}: {self.family} has {', '.join(family.pools)}")
        try:
            same = checked(family.vision, self.config) == self.config
        except PerisphereError as error:
            raise ValueError(str(error)) from None
        if not same:
            raise ValueError(f"config: holds what is no setting of {self.family}")
        return self


class TransformersNet(nn.Module):
    """Images to embeddings, not normalised, by a pretrained network of the transformers library.

    Args:
        spec: the network.
        tensors: its weights, under the names that published files have.

    Attributes:
        spec: what it is made of.
        dim: length of an embedding.
        nonnegative: whether no number of an embedding is ever below zero.
        side: of the pictures that it was trained with, in pixels; ``None`` where it takes any.
        patch: side in pixels of what becomes one token; 1 where it has maps.

    Raises:
        PerisphereError: the weights do not fit, or the library is not installed.
    """

    def __init__(self, spec: TransformersSpec, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.spec = spec
        options = {} if spec.family != "vit" else {"add_pooling_layer": spec.pool == "pooled"}
        self.model = pretrained(FAMILIES[spec.family].vision, spec.config, tensors, **options)
        config = self.model.config
        # The others look at any size by themselves.
        self.side = int(config.image_size) if spec.family in ("clip", "siglip", "vit") else None
        self.patch = 1 if hasattr(config, "hidden_sizes") else int(config.patch_size)
        self.dim = _dim(spec, config)
        self.nonnegative = spec.family == "resnet" and config.hidden_act == "relu"

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 ``[n, dim]`` of preprocessed images, float32 ``[n, 3, h, w]``."""
        return self._pooled(self._seen(images)).flatten(1).float()

    def features(self, images: Tensor) -> Tensor:
        """Return what the last layer has by position, float ``[n, c, h', w']``, of preprocessed images."""
        found = self._seen(images).last_hidden_state
        if found.ndim == 4:
            return found
        height, width = (side // self.patch for side in images.shape[2:])
        return found[:, self._special :].mT.unflatten(2, (height, width))

    @property
    def _special(self) -> int:
        """Tokens before those of the patches: of the class, and registers."""
        if self.spec.family == "siglip":
            return 0
        return 1 + getattr(self.model.config, "num_register_tokens", 0)

    def _seen(self, images: Tensor) -> Any:
        other = self.side is not None and tuple(images.shape[2:]) != (self.side, self.side)
        options = {"interpolate_pos_encoding": True} if other else {}
        unprojected = self.spec.family == "clip" and self.spec.pool == "pooled"
        model = self.model.vision_model if unprojected else self.model
        return model(pixel_values=images, **options)

    def _pooled(self, found: Any) -> Tensor:
        if self.spec.pool == "projection":
            return found.image_embeds
        if self.spec.pool == "pooled":
            return found.pooler_output
        tokens = found.last_hidden_state
        return tokens[:, 0] if self.spec.pool == "cls" else tokens[:, self._special :].mean(1)

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights under the names that published files have, which no release changes."""
        return published_tensors(self.model)


def pretrained(part: Part, config: Mapping[str, Value], tensors: Mapping[str, Tensor], **options: Any) -> Any:
    """Build a network of the library and fill it.

    Args:
        part: which network.
        config: its checked settings; others stand at the library's default.
        tensors: float weights by published name; heads that an encoder does not use are left out.
        options: of the class.

    Raises:
        PerisphereError: the settings contradict each other, or the weights are of another network.
    """
    model_class, config_class = _classes(part)
    needed = {name: tensor.float() for name, tensor in tensors.items() if not name.endswith(_NEEDLESS)}
    try:
        settings = config_class(**config)
        _check_size(model_class, settings, needed, options)
        with _quiet():
            model, report = model_class.from_pretrained(
                None,
                config=settings,
                state_dict=needed,
                output_loading_info=True,
                dtype=torch.float32,
                **options,
            )
    except _UNBUILDABLE as error:
        raise PerisphereError(f"its settings or weights do not fit {part.model}: {_line(error)}") from error
    _check_report(part, report)
    return model.eval()


def resolved(part: Part, config: Mapping[str, Value]) -> dict[str, Value]:
    """Return all settings that shape a network: those given, and the library's defaults for the others.

    Raises:
        PerisphereError: the settings contradict each other.
    """
    _, config_class = _classes(part)
    try:
        with _quiet():
            whole = config_class(**config)
    except _UNBUILDABLE as error:
        raise PerisphereError(f"its settings do not fit {part.model}: {_line(error)}") from error
    values = {name: getattr(whole, name, None) for name in part.fields}
    return checked(part, {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()})


def check_library() -> None:
    """Refuse to go on where the transformers library is not installed.

    Raises:
        PerisphereError: it is not.
    """
    # Nothing is ever asked of the hub; this holds for what the library does by itself, too.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import_module("transformers")
    except ImportError as error:
        raise PerisphereError(
            "pretrained networks need the transformers library, which is not installed; run "
            "`pip install 'perisphere[transformers]'`."
        ) from error


def _classes(part: Part) -> tuple[Any, Any]:
    """Return the classes of a network and of its configuration."""
    check_library()
    home = f"transformers.models.{part.module}"
    model = getattr(import_module(f"{home}.modeling_{part.module}"), part.model)
    return model, getattr(import_module(f"{home}.configuration_{part.module}"), part.config)


def published_tensors(model: Any) -> dict[str, Tensor]:
    """Return the weights of a network of the library under the names that published files have."""
    from transformers.core_model_loading import revert_weight_conversion

    found = revert_weight_conversion(model, model.state_dict())
    return {name: tensor for name, tensor in found.items() if not name.endswith(_NEEDLESS)}


def _check_size(
    model_class: Any, settings: Any, tensors: Mapping[str, Tensor], options: Mapping[str, Any]
) -> None:
    """Refuse settings of a network that the file cannot fill, before any memory is taken for it."""
    with torch.device("meta"), _quiet():
        model = model_class(settings, **options)
    needed, there = sum(p.numel() for p in model.parameters()), sum(t.numel() for t in tensors.values())
    if needed > there + _SLACK:
        raise ValueError(f"{needed:,} numbers are needed, and the weights hold {there:,}")


def _check_report(part: Part, report: Mapping[str, Any]) -> None:
    missing = sorted(name for name in report["missing_keys"] if not name.endswith(_NEEDLESS))
    if missing:
        raise PerisphereError(f"{len(missing)} weights of {part.model} are missing, e.g. {missing[0]}.")
    surplus = sorted(name for name in report["unexpected_keys"] if not name.startswith(_HEADS))
    if surplus:
        raise PerisphereError(
            f"{len(surplus)} weights have no place in {part.model} as its settings make it, e.g. "
            f"{surplus[0][:80]}."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's reports and bars off the terminal: what matters becomes an error of ours."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _dim(spec: TransformersSpec, config: Any) -> int:
    if spec.pool == "projection":
        return int(config.projection_dim)
    if spec.family == "vit" and spec.pool == "pooled":
        return int(config.pooler_output_size)
    return int(config.hidden_sizes[-1] if hasattr(config, "hidden_sizes") else config.hidden_size)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__

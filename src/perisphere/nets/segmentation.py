"""Networks that tell a photo's concepts apart by pixel, learnt from labels of whole photos.

Sources: the single-stage head: Araslanov and Roth, "Single-stage semantic segmentation from image labels",
CVPR 2020; on landmarks: Wu et al., "Towers of Babel", ICCV 2021; class activation maps: Zhou et al., CVPR
2016.
"""

from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, Self, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from perisphere.errors import UsageError, nearest
from perisphere.nets.aspp import ASPP
from perisphere.nets.backbone import Backbone
from perisphere.nets.conv_block import conv_block, draw, resized
from perisphere.nets.cue_injection import CueInjection
from perisphere.nets.registry import ARCHITECTURES
from perisphere.nets.score_pooling import activation_masks, focal_penalty, weighted_pool
from perisphere.nets.stochastic_gate import StochasticGate

Head = Literal["single-stage", "cam", "classifier"]
Dilation = Annotated[int, Field(ge=1, le=256)]
Layer = Literal["shallow", "backbone", "merged", "gate", "decoder"]
LAYERS: tuple[Layer, ...] = get_args(Layer)
PUBLISHED_LAYERS: dict[str, Layer] = {"conv3": "shallow", "fc8": "merged", "sg": "gate"}
"""What the published program calls layers that have another name here."""
MOST_CLASSES = 4096
OF_A_DECODER = ("width", "dilations", "psi", "focal_p", "focal_lambda")
FOREIGN: dict[Head, tuple[str, ...]] = {
    "single-stage": ("background",),
    "cam": OF_A_DECODER,
    "classifier": (*OF_A_DECODER, "dropout"),
}
"""What means nothing to a head."""
BACKGROUND_SCORE = 1.0
"""Of every position in the single-stage head: what a class must exceed to be seen."""


class SegmentationSpec(BaseModel):
    """The parts of a :class:`SegmentationNet`, enough to build it again.

    Attributes:
        kind: tells this from other networks in an encoder's description.
        backbone: a ResNet, ``mobilenet_v2`` or ``squeezenet1_0``.
        output_stride: pixels a position of the backbone's last map: 8, 16 or 32.
        dilated: whether stages that keep the sides for that dilate instead; the published network, of stride
            16, does not.
        head: ``single-stage``; ``cam``, class activation maps of a layer without bias behind a dropout of
            channels; or ``classifier``, those of a plain classification layer.
        classes: names, in the order of the channels; none for features alone.
        width: channels of the single-stage decoder.
        dilations: of its pyramid.
        dropout: of the pyramid and the decoder (a fifth of it behind the decoder's last layer), or of the
            channels that ``cam`` sees.
        psi: share of the shallow features in the stochastic gate.
        focal_p: exponent of the focal mask penalty.
        focal_lambda: its floor.
        background: constant of the background of ``cam`` and ``classifier``, whose classes go up to 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["segmentation"] = "segmentation"
    backbone: str
    output_stride: Literal[8, 16, 32] = 16
    dilated: bool = False
    head: Head = "single-stage"
    classes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=(), max_length=MOST_CLASSES)
    width: Annotated[int, Field(ge=8, le=2048)] = 256
    dilations: Annotated[tuple[Dilation, ...], Field(min_length=1, max_length=8)] = (12, 24, 36)
    dropout: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.5
    psi: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.3
    focal_p: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 3.0
    focal_lambda: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.01
    background: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _check_backbone(self.backbone, self.output_stride, self.dilated)
        if len(set(self.classes)) < len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise ValueError(f"classes has {twice!r} twice. Name each class once.")
        for key in FOREIGN[self.head]:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} means nothing to the head {self.head}. Leave it out.")
        return self


def _check_backbone(name: str, output_stride: int, dilated: bool) -> None:
    able = segmenting_backbones()
    if name not in able:
        known = nearest(name, able) or f" Those that can are {', '.join(able)}."
        raise ValueError(f"there is no backbone {name!r} that can segment.{known}")
    strides = ARCHITECTURES[name].output_strides
    if output_stride not in strides:
        choice = " or ".join(map(str, strides))
        raise ValueError(f"output_stride of {name} is {choice}, not {output_stride}.")
    if dilated and output_stride == strides[-1]:
        raise ValueError(f"dilated needs an output_stride below {strides[-1]}, which {name} has of itself.")


def segmenting_backbones() -> list[str]:
    """Return the names that :class:`SegmentationSpec` takes as ``backbone``."""
    return [name for name, architecture in ARCHITECTURES.items() if architecture.output_strides]


class Maps(NamedTuple):
    """What a :class:`SegmentationNet` says about ``n`` photos of ``C`` classes.

    Attributes:
        scores: of each class for the whole photo, ``[n, C]``; a sigmoid makes them 0 to 1.
        maps: scores by position, background first, ``[n, 1 + C, h', w']``.
        masks: 0 to 1, of the same shape: a softmax, or class activation maps over their maximum.
        features: of the layer that was asked for, ``[n, c, h", w"]``.
    """

    scores: Tensor
    maps: Tensor
    masks: Tensor
    features: Tensor


class SegmentationNet(nn.Module):
    """Images to masks and scores of classes, and to features by position.

    As a network of an encoder it gives the mean direction of its decoder's features.

    Attributes:
        spec: what it is made of.
        dim: length of an embedding: channels of the layer ``decoder``.
        start: 0: takes images, as an :class:`~perisphere.nets.EmbeddingNet` does.
        bnneck: ``None``: has none.
        nonnegative: no number of an embedding is ever below zero.
    """

    nonnegative = True

    def __init__(self, spec: SegmentationSpec) -> None:
        super().__init__()
        self.spec = spec
        self.start = 0
        self.bnneck = None
        self.backbone = _backbone(spec)
        self._shallow_parts = _shallow_parts(spec.backbone)
        classes, deep = len(spec.classes), self.backbone.dim
        single = spec.head == "single-stage"
        self.dim = spec.width if single else deep
        if single:
            self._add_decoder(deep, _shallow_channels(spec.backbone), spec)
        # Only the layer of class activation maps has no bias.
        self.scores = nn.Conv2d(self.dim, classes, 1, bias=spec.head != "cam") if classes else None
        if self.scores is not None and not self.scores.weight.is_meta:
            if single:
                draw(self.scores.weight)
            else:
                nn.init.xavier_uniform_(self.scores.weight)

    def _add_decoder(self, deep: int, shallow: int, spec: SegmentationSpec) -> None:
        width, narrow = spec.width, max(4, spec.width * 3 // 16)
        self.aspp = ASPP(deep, width, spec.dilations, spec.dropout)
        self.skip = conv_block(shallow, narrow)
        self.merge = conv_block(width + narrow, width, 3)
        self.cues = CueInjection(shallow, width)
        self.gate = StochasticGate(spec.psi)
        self.decoder = nn.Sequential(
            *conv_block(width, width, 3),
            nn.Dropout(spec.dropout),
            *conv_block(width, width, 3),
            nn.Dropout(spec.dropout / 5),
        )

    @property
    def stages(self) -> list[tuple[str, nn.Module]]:
        """The named stages from the stem to the last; each parameter is in exactly one."""
        after = [(name, module) for name, module in self.named_children() if name != "backbone"]
        return self.backbone.stages() + [
            (name, module) for name, module in after if any(True for _ in module.parameters())
        ]

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings float32 ``[n, dim]`` of preprocessed images, float32 ``[n, 3, h, w]``.

        An embedding is the mean over positions of the decoder's features, each of length one.
        """
        return F.normalize(precise(self.features(images)), dim=1).mean((2, 3))

    def features(self, images: Tensor, layer: str = "decoder") -> Tensor:
        """Return the features ``[n, c, h', w']`` of a layer, running no layer behind it.

        Raises:
            UsageError: the network has no such layer.
        """
        layer = self.layer(layer)
        return self._layers(images, layer)[layer]

    def run(self, images: Tensor, layer: str = "decoder") -> Maps:
        """Return scores, masks and the features of a layer of preprocessed images ``[n, 3, h, w]``.

        Raises:
            UsageError: the network has no such layer.
        """
        layer = self.layer(layer)
        layers = self._layers(images)
        if self.spec.head == "single-stage":
            return Maps(*self._single_stage(layers["decoder"]), layers[layer])
        return Maps(*self._activation_maps(layers["decoder"]), layers[layer])

    def layer(self, name: str) -> Layer:
        """Return the layer of this name, or of this name in the published program.

        In networks without a decoder, ``decoder`` is what classes are told from: the backbone's map.

        Raises:
            UsageError: the network has no such layer.
        """
        known = [
            layer for layer in LAYERS if self.spec.head == "single-stage" or layer not in ("merged", "gate")
        ]
        layer = PUBLISHED_LAYERS.get(name, name)
        if layer not in known:
            mend = nearest(name, list(known)) or f" Its layers are {', '.join(known)}."
            raise UsageError(f"a network with the head {self.spec.head} has no layer {name!r}.{mend}")
        return layer  # type: ignore[return-value]

    def masks_at(self, found: Maps, size: tuple[int, int] | torch.Size) -> Tensor:
        """Return the masks ``[n, 1 + C, *size]`` of ``size`` (rows, columns), resized corner to corner.

        Class activation maps are resized before they are brought to their maximum, as published.
        """
        if self.spec.head == "single-stage":
            return resized(found.masks, size)
        return activation_masks(resized(found.maps[:, 1:], size), self.spec.background)

    def _layers(self, images: Tensor, last: Layer = "decoder") -> dict[str, Tensor]:
        """Return the layers from the first up to ``last``."""
        layers = {"shallow": self.backbone.run(images, 0, self._shallow_parts)}
        if last == "shallow":
            return layers
        layers["backbone"] = self.backbone.run(layers["shallow"], self._shallow_parts)
        if last == "backbone":
            return layers
        if self.spec.head == "single-stage":
            return self._decoded(layers, last)
        return layers | {"decoder": layers["backbone"]}

    def _decoded(self, layers: dict[str, Tensor], last: Layer) -> dict[str, Tensor]:
        shallow = layers["shallow"]
        context = resized(self.aspp(layers["backbone"]), shallow.shape[2:])
        layers["merged"] = self.merge(torch.cat([context, self.skip(shallow)], dim=1))
        if last == "merged":
            return layers
        layers["gate"] = self.gate(layers["merged"], self.cues(shallow, layers["merged"]))
        if last == "decoder":
            layers["decoder"] = self.decoder(layers["gate"])
        return layers

    def _single_stage(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores, maps and masks (see :class:`Maps`)."""
        spec = self.spec
        maps = F.pad(self._class_maps(features), (0, 0, 0, 0, 1, 0), value=BACKGROUND_SCORE)
        masks = maps.softmax(1)
        scores = weighted_pool(maps, masks)
        scores = scores + focal_penalty(masks.mean((2, 3)), spec.focal_p, spec.focal_lambda)
        return scores[:, 1:], maps, masks

    def _activation_maps(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores, maps and masks (see :class:`Maps`)."""
        background = self.spec.background
        if self.spec.head == "cam":
            features = F.dropout2d(features, self.spec.dropout, self.training)
        maps = self._class_maps(features)
        behind = F.pad(maps, (0, 0, 0, 0, 1, 0), value=background)
        return maps.mean((2, 3)), behind, activation_masks(maps.detach(), background)

    def _class_maps(self, features: Tensor) -> Tensor:
        if self.scores is None:
            return precise(features[:, :0])
        return precise(self.scores(features))


def build_segmentation(spec: SegmentationSpec, seed: int | None = None) -> SegmentationNet:
    """Build the network that ``spec`` describes, with fresh weights; ``seed`` as in ``build``."""
    if seed is None:
        return SegmentationNet(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SegmentationNet(spec)


def precise(values: Tensor) -> Tensor:
    """Return numbers of at least 32 bits: sums over positions need them."""
    return values if values.dtype == torch.float64 else values.float()


def _backbone(spec: SegmentationSpec) -> Backbone:
    options: dict[str, object] = {"output_stride": spec.output_stride, "dilated": spec.dilated}
    if spec.backbone == "squeezenet1_0":
        options["padded"] = True  # features lie where they do in a ResNet
    return ARCHITECTURES[spec.backbone].make(**options)


@lru_cache(maxsize=64)
def _shallow_parts(name: str) -> int:
    """Return the number of stages up to and with the shallow one."""
    with torch.device("meta"):
        names = [stage for stage, _ in ARCHITECTURES[name].make().stages()]
    return names.index(ARCHITECTURES[name].shallow or names[0]) + 1


@lru_cache(maxsize=64)
def _shallow_channels(name: str) -> int:
    with torch.device("meta"):
        backbone = ARCHITECTURES[name].make()
        return backbone.run(torch.empty(1, 3, 64, 64), 0, _shallow_parts(name)).shape[1]

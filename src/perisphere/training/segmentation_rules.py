"""The section `segmentation` of a recipe: concepts found in photos from labels of whole photos."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from perisphere.nets.segmentation import PUBLISHED_LAYERS, Head, Layer, SegmentationSpec
from perisphere.training.method_rules import Part

OF_THE_NET = (
    "head",
    "output_stride",
    "dilated",
    "width",
    "dilations",
    "dropout",
    "psi",
    "focal_p",
    "focal_lambda",
    "background",
)
"""Keys of the section that make the network, as in :class:`~perisphere.nets.SegmentationSpec`."""

Dilations = tuple[Annotated[int, Field(ge=1, le=1024)], ...]


class RefineRule(Part):
    """Pixel-adaptive refinement of masks by the photo (Araslanov and Roth 2020)."""

    dilations: Dilations = Field(default=(1, 2, 4, 8, 12, 24), min_length=1)
    iterations: int = Field(default=10, ge=1)


class PseudoRule(Part):
    """Which pixels of refined masks are learned from: those above a share of the highest value."""

    background: float = Field(default=0.7, gt=0, le=1, description="share, of the background")
    foreground: float = Field(default=0.6, gt=0, le=1, description="share, of concepts")
    floor: float = Field(default=0.2, ge=0, lt=1, description="least threshold")


class CorrespondenceRule(Part):
    """The same point of a landmark is to have the same feature in two photos (Wu et al. 2021)."""

    weight: float = Field(default=0.3, gt=0, description="beside the other losses")
    loss: Literal["contrastive", "contrastive_within", "triplet", "squared"] = Field(
        default="contrastive",
        description="contrastive draws negatives from the partners of all pairs, _within from the own one",
    )
    feature: Layer = Field(default="decoder", description="layer whose features are compared")
    negatives: int = Field(default=16, ge=2, description="of each point, of the contrastive losses")
    tau: float = Field(default=0.07, gt=0, description="temperature of the contrastive losses")
    margin: float = Field(default=3.0, gt=0, description="of loss: triplet")
    normalise: bool = Field(default=True, description="compare unit vectors")
    start: int = Field(default=0, ge=0, description="epochs before it begins")
    until: int | None = Field(default=None, ge=1, description="epochs after which it ends; null: never")
    align_corners: bool = Field(
        default=True, description="0 and 1 are the centres of the outermost features, as published"
    )
    least: int = Field(default=10, ge=1, description="points that two photos share to be a pair")
    points: int | None = Field(
        default=1024, ge=2, description="of a pair at most, drawn at random; null: all of them"
    )

    @field_validator("feature", mode="before")
    @classmethod
    def _published_name(cls, name: Any) -> Any:
        return PUBLISHED_LAYERS.get(name, name) if isinstance(name, str) else name

    @model_validator(mode="after")
    def _options_of_the_loss(self) -> "CorrespondenceRule":
        contrastive = ("contrastive", "contrastive_within")
        for name, losses in {"negatives": contrastive, "tau": contrastive, "margin": ("triplet",)}.items():
            if self.loss not in losses and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is of loss: {' or '.join(losses)}, not of {self.loss}")
        if self.until is not None and self.until <= self.start:
            raise ValueError(f"until {self.until} is not after start {self.start}: set it later")
        return self

    def active(self, epoch: int) -> bool:
        """Return whether it is learned from in ``epoch``, from 0."""
        return self.start <= epoch and (self.until is None or epoch < self.until)


class SegmentationRule(Part):
    """Learning masks of concepts from the concepts of whole photos (Araslanov and Roth 2020)."""

    head: Head = "single-stage"
    classes: tuple[str, ...] | None = Field(
        default=None, description="concepts; null: those of the photos to learn from; []: points alone"
    )
    output_stride: Literal[8, 16, 32] = Field(default=16, description="pixels to one of the backbone's map")
    dilated: bool = Field(default=False, description="stages that keep the map's sides dilate instead")
    width: int = Field(default=256, description="channels of the decoder")
    dilations: tuple[int, ...] = Field(default=(12, 24, 36), description="of the decoder's pyramid")
    dropout: float = Field(default=0.5, description="in the decoder, or before the scores of head: cam")
    psi: float = Field(default=0.3, description="share of shallow features in the stochastic gate")
    focal_p: float = Field(default=3.0, description="exponent of the focal mask penalty")
    focal_lambda: float = Field(default=0.01, description="of the focal mask penalty")
    background: float = Field(default=0.1, description="of head: cam and classifier, score of the background")
    labels: Literal["primary", "related"] = Field(
        default="primary", description="learn from the first concept of a photo, or from all of them"
    )
    loss: Literal["cross_entropy", "soft_margin", "hinge", "separate"] = "cross_entropy"
    class_weight: float = Field(default=1.0, ge=0, description="of the loss on the concepts of whole photos")
    mask_weight: float = Field(default=1.0, ge=0, description="of the loss on masks")
    mask_start: int = Field(default=5, ge=0, description="epochs before masks are learned from")
    refine: RefineRule = RefineRule()
    pseudo: PseudoRule = PseudoRule()
    correspondence: CorrespondenceRule | None = None

    @field_validator("classes")
    @classmethod
    def _distinct(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and (len(set(names)) < len(names) or not all(names)):
            raise ValueError("each concept is named once and has a name")
        if names is not None and len(names) > 254:
            raise ValueError(f"a mask tells 254 concepts apart at most, not {len(names)}")
        return names

    @model_validator(mode="after")
    def _options_of_the_head(self) -> "SegmentationRule":
        if self.head == "single-stage":
            return self
        for name in ("mask_weight", "mask_start", "refine", "pseudo"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is of head: single-stage, not of {self.head}; leave it out")
        if self.correspondence and self.correspondence.feature in ("merged", "gate"):
            raise ValueError(
                f"head: {self.head} has no layer {self.correspondence.feature!r}: set correspondence.feature "
                "to shallow or backbone"
            )
        return self

    @model_validator(mode="after")
    def _options_of_masks(self) -> "SegmentationRule":
        if self.head != "single-stage" or self.masks:
            return self
        for name in ("mask_start", "refine", "pseudo"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} does nothing where mask_weight is 0: leave it out")
        return self

    @model_validator(mode="after")
    def _learns_something(self) -> "SegmentationRule":
        if self.classes == () and self.correspondence is None:
            raise ValueError(
                "classes: [] learns from corresponding points alone: set correspondence, e.g. {}"
            )
        if self.classes != () and not (self.class_weight or self.masks or self.correspondence):
            raise ValueError("every weight is 0 and there is no correspondence: nothing is learned from")
        return self

    def spec(self, backbone: str, classes: Sequence[str] = ()) -> SegmentationSpec:
        """Return what the network is made of.

        Raises:
            ValueError: keys that do not go together, or not with the backbone.
        """
        keys = {name: getattr(self, name) for name in OF_THE_NET}
        return SegmentationSpec(backbone=backbone, classes=tuple(classes), **keys)

    @property
    def least(self) -> int:
        """Points that a photo and its partner share."""
        return (self.correspondence or CorrespondenceRule()).least

    @property
    def masks(self) -> bool:
        """Whether there is a loss on masks."""
        return self.head == "single-stage" and self.mask_weight > 0

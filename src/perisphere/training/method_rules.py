"""The sections of a recipe that one method each looks at."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from perisphere.errors import UsageError
from perisphere.losses.metric_learning import check


class Part(BaseModel):
    """A part of a recipe: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TupleRule(Part):
    """Learning from tuples: a query, a photo of its class, hard negatives of other classes."""

    loss: Literal["contrastive", "triplet"] = "contrastive"
    margin: float | None = Field(default=None, gt=0, description="default: contrastive 0.7, triplet 0.1")
    negatives: int = Field(default=5, ge=1, description="of each tuple, of different classes")
    queries: int = Field(default=2000, ge=1, description="tuples of an epoch, drawn anew")
    pool: int = Field(default=20000, ge=1, description="photos of an epoch to mine negatives from")

    @property
    def width(self) -> int:
        """Photos of a tuple."""
        return 2 + self.negatives


class ClassPointsRule(Part):
    """Class points: of a file, made from a taxonomy for the classes learned, or one axis a class."""

    points: Literal["onehot"] | Path | None = Field(
        default=None, description="file of `perisphere taxonomy embed`, or onehot"
    )
    taxonomy: Path | None = Field(default=None, description="parent-child file to make the points from")
    is_a: bool = Field(default=False, description="the file has child-parent lines")
    string_ids: bool = Field(default=False, description="ids are text even where all are numbers")
    names: Path | None = Field(default=None, description="file of `ID NAME` lines")
    embedding: Literal["unitsphere", "approx_sim", "spheres", "mds", "onehot"] = "unitsphere"
    num_dim: int | None = Field(default=None, ge=1, description="of approx_sim and mds")
    norm: bool = Field(default=False, description="bring the points to length one")

    @property
    def given(self) -> bool:
        """Whether there are points, or a taxonomy to make them from."""
        return self.points is not None or self.taxonomy is not None

    @model_validator(mode="after")
    def _one_source(self) -> "ClassPointsRule":
        if self.points is not None and self.taxonomy is not None:
            raise ValueError("give points or taxonomy, not both")
        of_taxonomy = {"is_a", "string_ids", "names", "embedding", "num_dim", "norm"} & self.model_fields_set
        changed = [k for k in sorted(of_taxonomy) if getattr(self, k) != type(self).model_fields[k].default]
        if changed and self.taxonomy is None:
            raise ValueError(f"{changed[0]} is of a taxonomy: set taxonomy, or leave {changed[0]} out")
        if self.num_dim is not None and self.embedding not in ("approx_sim", "mds"):
            raise ValueError(f"num_dim is of approx_sim and mds; {self.embedding} has its own")
        return self


class HierarchyRule(ClassPointsRule):
    """Learning to reach given class points."""

    loss: Literal["inv_corr", "unnorm_corr", "mse", "softmax_corr", "devise"] = "inv_corr"
    margin: float = Field(default=0.1, gt=0, description="of devise")
    cls_weight: float = Field(default=0.0, ge=0, description="of the cross-entropy of a classifier on top")
    cls_base: Literal["embedding", "pooled"] = Field(
        default="embedding", description="what the classifier looks at; pooled: before the projection"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "HierarchyRule":
        if not self.given:
            raise ValueError("set points to a file or to onehot, or taxonomy to a parent-child file")
        if self.margin != 0.1 and self.loss != "devise":
            raise ValueError(f"margin is of loss: devise, not of {self.loss}")
        if self.cls_base != "embedding" and not self.cls_weight:
            raise ValueError("cls_base needs cls_weight above 0")
        return self


class CenterRule(ClassPointsRule):
    """Cross-entropy with center loss; the centres are learned unless points are given."""

    weight: float = Field(default=0.1, gt=0, description="of the center loss beside the cross-entropy")


class LabelEmbeddingRule(Part):
    """Label embedding (Sun et al. 2017)."""

    tau: float = Field(default=2.0, gt=0, description="temperature that softens the side output")
    alpha: float = Field(default=0.9, gt=0, le=1, description="confidence from which it is held back")
    beta: float = Field(default=0.5, ge=0, le=1, description="weight of the hard labels")


class ExtraLoss(Part):
    """A loss of pytorch-metric-learning beside the method's own."""

    loss: str = Field(description="name of the loss, such as MultiSimilarityLoss")
    options: dict[str, Any] = Field(default_factory=dict, description="of the loss, by their names there")
    miner: str | None = Field(
        default=None, description="name of the miner that chooses its pairs or triplets"
    )
    miner_options: dict[str, Any] = Field(default_factory=dict, description="of the miner")
    weight: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _options_of_a_miner(self) -> "ExtraLoss":
        if self.miner_options and self.miner is None:
            raise ValueError("miner_options need a miner: name one, or leave them out")
        return self

    @model_validator(mode="after")
    def _works(self) -> "ExtraLoss":
        try:
            check(self.loss, self.options, self.miner, self.miner_options)
        except UsageError as error:
            raise ValueError(str(error)) from error
        return self


class CentroidRule(Part):
    """Centroid triplet loss (Wieczorek et al. 2021); with a centroid_weight of 0 its plain baseline."""

    identities: int = Field(default=16, ge=2, description="of a batch, over all devices together")
    instances: int = Field(default=4, ge=2, description="photos of each identity in a batch")
    resample: bool = Field(
        default=False,
        description="repeat photos of an identity that has too few; otherwise its places stay empty",
    )
    distance: Literal["euclidean", "cosine"] = "euclidean"
    margin: float | None = Field(default=0.5, gt=0, description="null: the soft margin")
    triplet_weight: float = Field(default=1.0, ge=0, description="of the batch-hard triplet loss of photos")
    centroid_weight: float = Field(default=1.0, ge=0, description="of the centroid triplet loss")
    center_weight: float = Field(default=5e-4, ge=0, description="of the center loss")
    center_lr: float = Field(default=0.5, ge=0, description="of the centres, which learn on their own")
    class_weight: float = Field(default=1.0, ge=0, description="of the cross-entropy")
    corrected: bool = Field(
        default=False, description="empty places are no positives and negatives of the triplet loss, either"
    )
    extra: tuple[ExtraLoss, ...] = Field(default=(), description="losses of pytorch-metric-learning")

    @property
    def photos(self) -> int:
        """Places of a batch."""
        return self.identities * self.instances

    @model_validator(mode="after")
    def _learns_something(self) -> "CentroidRule":
        weights = (self.triplet_weight, self.centroid_weight, self.center_weight, self.class_weight)
        if not any(weights) and not self.extra:
            raise ValueError("every weight is 0 and there is no extra loss: there is nothing to learn from")
        if self.corrected and self.resample:
            raise ValueError("corrected is about empty places, and resample leaves none: give one of them")
        return self

    @model_validator(mode="after")
    def _nothing_without_its_term(self) -> "CentroidRule":
        """Refuse options of terms that the weights leave out."""
        terms = {
            "center_weight is": (self.center_weight, ("center_lr",)),
            "triplet_weight and centroid_weight are": (
                self.triplet_weight + self.centroid_weight,
                ("margin", "distance"),
            ),
        }
        for weights, (weight, options) in terms.items():
            for name in options:
                if not weight and getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} does nothing where {weights} 0: leave it out")
        return self


class QuantizationRule(Part):
    """Learning from tags, with codes that keep what the tags tell apart (Wang et al. 2021)."""

    tags: Path = Field(description="folder of `perisphere tags build`")
    loss: Literal["adaptive", "fixed", "wdht"] = "adaptive"
    gamma: float = Field(
        default=1.0, gt=0, description="how the adaptive margin grows with the angle of tags"
    )
    margin: float = Field(default=0.7, gt=0, description="of loss: fixed and wdht")
    negatives: Literal["all", "hard"] = Field(default="all", description="which absent tags count")
    weight: float = Field(
        default=1e-4,
        ge=0,
        description="of the quantization loss; 1e-4 as published is little for unit rows",
    )
    books: int = Field(default=4, ge=1, le=64, description="of a code; each is 8 bits of it")
    words: int = Field(default=256, ge=2, le=256, description="of a book")
    start: int = Field(default=2, ge=1, description="epochs before the codebooks are initialised")
    every: int = Field(default=1, ge=1, description="epochs from one update of the codebooks to the next")
    sweeps: int = Field(default=3, ge=0, description="over the books, when a code is chosen")
    restarts: int = Field(default=0, ge=0, description="perturbations of a code, kept where they are better")
    beam: int = Field(default=0, ge=0, description="partial codes kept while books are added; 0: none")
    unit: bool = Field(
        default=True,
        description="code unit rows in the metric of unit tag vectors; false: both as they are, as published",
    )
    features: Literal["gathered", "fresh"] = Field(
        default="gathered",
        description="what codebooks are updated on: what training came by, or one more pass over all photos",
    )

    @model_validator(mode="after")
    def _options_of_the_loss(self) -> "QuantizationRule":
        of_loss = {"gamma": ("adaptive",), "margin": ("fixed", "wdht"), "negatives": ("adaptive", "fixed")}
        for name, losses in of_loss.items():
            if self.loss not in losses and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is of loss: {' or '.join(losses)}, not of {self.loss}")
        if not self.sweeps and not self.beam:
            raise ValueError("codes are chosen by sweeps or a beam: give one of them 1 or more")
        return self

"""The Recipe: everything that decides what a training run does, checked before anything starts."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from perisphere.encoder import Preprocessing
from perisphere.nets import NetSpec, input_spec
from perisphere.training.augmentation import Augmentation
from perisphere.training.method_rules import (
    CenterRule,
    CentroidRule,
    ClassPointsRule,
    HierarchyRule,
    LabelEmbeddingRule,
    Part,
    QuantizationRule,
    TupleRule,
)
from perisphere.training.schedules import Clr, Constant, Plateau, Schedule, Sgdr, Staircase, usual_length
from perisphere.training.segmentation_rules import SegmentationRule

DEFAULTS = {"optimizer": "sgd", "schedule": "constant", "classifier": "linear"}
"""The kind of a part that gives no name."""


class Data(Part):
    """One data set: a saved catalog, or a folder read by one of the readers."""

    catalog: Path | None = Field(default=None, description="folder of a saved catalog")
    format: str | None = Field(default=None, description="name of a reader, with `root`")
    root: Path | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="options of the reader")
    train: str | None = Field(default="train", description="split to learn from; null: every photo")
    val: str | None = Field(default="val", description="split to choose the best epoch by; null: none")
    val_fraction: float | None = Field(
        default=None, gt=0, lt=1, description="hold out this share of each class of `train`"
    )
    epochs: int | None = Field(default=None, ge=1, description="default: the recipe's")

    @model_validator(mode="after")
    def _one_source(self) -> "Data":
        if (self.catalog is None) == (self.format is None) or (self.format is None) != (self.root is None):
            raise ValueError("name either `catalog`, or `format` with `root`")
        if self.catalog is not None and self.options:
            raise ValueError(
                "`options` are those of a reader: they go with `format` and `root`, not `catalog`"
            )
        return self


class Freeze(Part):
    """Which parameters of the backbone stay as they are. The classifier always learns."""

    head_only: bool = False
    stages: tuple[str, ...] = Field(default=(), description="stages or blocks: [stem, layer2.0]")
    first: int | None = Field(default=None, ge=0, description="the first K parameter tensors")
    trainable: int | None = Field(default=None, ge=0, description="all but the last K parameter tensors")
    frozen_norms: Literal["eval", "train"] = Field(
        default="eval",
        description="train: statistics of frozen batch norms drift, as in older programs",
    )
    all_norms: bool = Field(
        default=False,
        description="keep the statistics of every batch norm; scale and shift still learn",
    )
    cached: bool = Field(
        default=False,
        description="run the frozen stages at the beginning once; what they make of the photos, and of their "
        "mirror images, is kept in the run's folder while it trains",
    )
    cached_type: Literal["float16", "float32"] = Field(default="float16", description="of the kept values")

    @model_validator(mode="after")
    def _one_rule(self) -> "Freeze":
        given = [self.head_only, bool(self.stages), self.first is not None, self.trainable is not None]
        if sum(given) > 1:
            raise ValueError("give one of head_only, stages, first and trainable")
        if self.all_norms and self.frozen_norms == "train":
            raise ValueError("all_norms keeps statistics that frozen_norms=train lets drift; leave one out")
        if self.cached and self.frozen_norms == "train":
            raise ValueError("cached stages cannot drift; leave frozen_norms out")
        if self.cached_type != "float16" and not self.cached:
            raise ValueError("cached_type needs cached: true")
        return self


class FinetuneInit(Part):
    """Epochs before all others in which only the new layers learn: projection, BNNeck, classifier."""

    epochs: int = Field(default=8, ge=1)
    lr: float | None = Field(default=None, gt=0, description="default: the optimizer's")


class Judge(Part):
    """Retrieval as a judge of the epochs, on photos of the data set that are not learned from."""

    every: int = Field(
        default=5, ge=1, description="epochs from one judgement to the next; the last is judged"
    )
    query: str = Field(default="query", description="split of the queries")
    gallery: str = Field(default="gallery", description="split that is searched")
    protocol: Literal["instances", "centroids", "concepts"] = Field(
        default="instances",
        description="search photos, or the centroid of each identity; concepts: photos that share one are "
        "right, by MAP@R as of hashing",
    )
    at: int = Field(default=5000, ge=1, description="R, of protocol: concepts")
    cameras: bool = Field(default=True, description="leave photos of the query's identity and camera out")

    @model_validator(mode="before")
    @classmethod
    def _concepts_know_no_cameras(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and tree.get("protocol") == "concepts":
            return {"cameras": False, **tree}
        return tree

    @model_validator(mode="after")
    def _of_its_protocol(self) -> "Judge":
        if self.protocol == "concepts" and self.cameras:
            raise ValueError("cameras are of instances and centroids; leave them out with protocol: concepts")
        if self.protocol != "concepts" and self.at != type(self).model_fields["at"].default:
            raise ValueError(f"at is of protocol: concepts, not of {self.protocol}")
        return self


class Linear(Part):
    """A linear classifier on the embedding; it is thrown away after training."""

    name: Literal["linear"] = "linear"


class Cosine(Part):
    """A classifier by the cosine to a learned centre of each class; it is thrown away after training."""

    name: Literal["cosine"]
    scale: float = Field(default=16.0, gt=0, description="factor of the cosines")


class Sgd(Part):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    lr: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=1e-4, ge=0, description="twice the factor of an L2 penalty")
    decay: Literal["all", "weights", "kernels"] = Field(
        default="all", description="weights: no biases; kernels: no biases, no norms"
    )
    decays: dict[str, float] = Field(default_factory=dict, description="weight_decay by stage, where another")
    rates: dict[str, float] = Field(default_factory=dict, description="multiples of lr by stage")
    bias_rate: float = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="multiple of the rate of its stage for a bias"
    )

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Sgd":
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs momentum > 0")
        return self


class Adam(Part):
    """Adam (Kingma and Ba, 2015), or AdamW (Loshchilov and Hutter, 2019)."""

    name: Literal["adam", "adamw"]
    lr: float = Field(default=1e-3, gt=0)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)
    decay: Literal["all", "weights", "kernels"] = Field(
        default="all", description="weights: no biases; kernels: no biases, no norms"
    )
    decays: dict[str, float] = Field(default_factory=dict, description="weight_decay by stage, where another")
    rates: dict[str, float] = Field(default_factory=dict, description="multiples of lr by stage")
    bias_rate: float = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="multiple of the rate of its stage for a bias"
    )


class Recipe(Part):
    """What to learn, from what, and how. Relative paths start at the current folder."""

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    about: str = Field(default="", description="one line for `perisphere recipes list`")
    source: str = Field(default="", description="publication that the recipe repeats")
    published: dict[str, float] = Field(default_factory=dict, description="published figures by metric")
    obtained: dict[str, float] = Field(default_factory=dict, description="figures that this recipe gave here")
    method: Literal[
        "landmark",
        "tuples",
        "hierarchy",
        "center",
        "label_embedding",
        "centroid",
        "quantization",
        "segmentation",
    ] = "landmark"
    tuples: TupleRule = Field(default=TupleRule(), description="of the method tuples")
    hierarchy: HierarchyRule | None = Field(default=None, description="of the method hierarchy")
    center: CenterRule = Field(default=CenterRule(), description="of the method center")
    label_embedding: LabelEmbeddingRule = Field(
        default=LabelEmbeddingRule(), description="of the method label_embedding"
    )
    centroid: CentroidRule = Field(default=CentroidRule(), description="of the method centroid")
    quantization: QuantizationRule | None = Field(default=None, description="of the method quantization")
    segmentation: SegmentationRule = Field(
        default=SegmentationRule(), description="of the method segmentation"
    )
    seed: int = Field(default=0, ge=0, lt=2**31)
    data: tuple[Data, ...] = Field(min_length=1, description="several: trained on one after another")
    net: NetSpec
    preprocessing: Preprocessing | None = Field(default=None, description="default: the backbone's")
    views: Literal["one", "ten"] = Field(
        default="one", description="in which the written encoder embeds; training and judging see one"
    )
    weights: Path | None = Field(default=None, description="Encoder folder or checkpoint to start from")
    freeze: Freeze = Freeze()
    classifier: Annotated[Linear | Cosine, Field(discriminator="name")] = Linear()
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    optimizer: Annotated[Sgd | Adam, Field(discriminator="name")] = Sgd()
    schedule: Schedule = Constant()
    finetune_init: FinetuneInit | None = Field(default=None, description="N stands for {epochs: N}")
    epochs: int | None = Field(
        default=None, ge=1, description="default: the schedule's own, where it has one"
    )
    iterations: int | None = Field(default=None, ge=1, description="steps of the run, in place of epochs")
    batch_size: int = Field(
        default=32, ge=1, description="over all devices together; of the method centroid its own product"
    )
    clip_gradient: float | None = Field(default=None, gt=0, description="largest norm of the gradient")
    norm_momentum: float | None = Field(
        default=None, gt=0, le=1, description="a batch's share in the statistics of batch norms; default 0.1"
    )
    augmentation: Augmentation = Augmentation()
    judge: Judge | None = Field(
        default=None, description="of the epochs, by retrieval; the encoder of the highest mAP is kept"
    )
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(default=1, ge=1)
    workers: int = Field(default=0, ge=0, description="decoding threads; 0: one a core")
    cache_mb: int = Field(
        default=2048,
        ge=0,
        description="photos to learn from, to validate with and to judge by are each kept decoded up to this",
    )
    checkpoint_every: int = Field(default=5, ge=0, description="epochs between the ones kept; 0: none")
    out: Path | None = Field(default=None, description="folder of the run; default runs/NAME")

    @model_validator(mode="before")
    @classmethod
    def _first_of_each_kind(cls, tree: Any) -> Any:
        """A part without a name is of the kind that is the default."""
        if not isinstance(tree, dict):
            return tree
        if tree.get("precision") == 32:  # what YAML makes of precision=32
            tree = {**tree, "precision": "32"}
        named = {
            key: {"name": name, **tree[key]}
            for key, name in DEFAULTS.items()
            if isinstance(tree.get(key), dict)
        }
        tree = {**tree, **named}
        if isinstance(number := tree.get("finetune_init"), int):
            tree["finetune_init"] = {"epochs": number} if number else None
        if not (tree.get("epochs") or tree.get("iterations")) and (
            usual := usual_length(tree.get("schedule"))
        ):
            tree["epochs"] = usual
        return _with_batch_size(tree)

    @model_validator(mode="after")
    def _one_length(self) -> "Recipe":
        if self.epochs is None and self.iterations is None:
            raise ValueError("'epochs' is missing. Add it to the recipe or as epochs=VALUE")
        if self.iterations is None:
            return self
        others = [f"data.{number}.epochs" for number, data in enumerate(self.data) if data.epochs]
        others += [] if self.epochs is None else ["epochs"]
        if others:
            raise ValueError(
                f"{others[0]} and iterations both say how long a run is; set one of them to null"
            )
        if self.method == "centroid":
            raise ValueError("epochs of method: centroid differ in length; give epochs, not iterations")
        return self

    @model_validator(mode="after")
    def _steps_of_one_phase(self) -> "Recipe":
        counted = "iterations" if self.iterations else "schedule: staircase"
        if self.finetune_init and (self.iterations or isinstance(self.schedule, Staircase)):
            raise ValueError(f"{counted} counts the steps of one phase: leave finetune_init out")
        return self

    @model_validator(mode="after")
    def _of_one_method(self) -> "Recipe":
        """Refuse what the method would not look at."""
        for name in get_args(type(self).model_fields["method"].annotation)[1:]:  # landmark has no section
            if self.method != name and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is for method: {name}")
        if self.method != "landmark" and self.classifier != Linear():
            raise ValueError("classifier is for method: landmark")
        if self.method not in ("landmark", "centroid") and self.label_smoothing:
            raise ValueError("label_smoothing is for method: landmark or centroid")
        if self.method == "hierarchy" and self.hierarchy is None:
            raise ValueError(
                "method: hierarchy needs class points: set hierarchy.points to a file or to onehot, or "
                "hierarchy.taxonomy to a parent-child file"
            )
        if self.method == "quantization" and self.quantization is None:
            raise ValueError(
                "method: quantization needs tags: set quantization.tags to a folder of "
                "`perisphere tags build`"
            )
        return self

    @model_validator(mode="after")
    def _whole_tuples(self) -> "Recipe":
        if self.method != "tuples":
            return self
        if self.batch_size % self.tuples.width:
            raise ValueError(
                f"batch_size {self.batch_size} is no whole number of tuples of {self.tuples.width} photos: "
                f"make it a multiple of {self.tuples.width}"
            )
        return self

    @model_validator(mode="after")
    def _whole_identities(self) -> "Recipe":
        if self.method != "centroid":
            return self
        rule = self.centroid
        if self.batch_size != rule.photos:
            raise ValueError(
                f"batch_size {self.batch_size} is not centroid.identities x centroid.instances = "
                f"{rule.photos}: leave it out"
            )
        if not self.net.bnneck or self.net.softmax:
            raise ValueError("method: centroid needs net.bnneck: true, without net.softmax")
        if not rule.class_weight and self.label_smoothing:
            raise ValueError("label_smoothing does nothing where centroid.class_weight is 0: leave it out")
        if not rule.class_weight and any(data.val or data.val_fraction for data in self.data):
            raise ValueError(
                "centroid.class_weight: 0 leaves no classifier to validate with: set data.0.val to null"
            )
        if self.freeze.cached and not rule.resample:
            raise ValueError(
                "freeze.cached has nothing for empty places: leave it out, or set centroid.resample to true"
            )
        return self

    @model_validator(mode="after")
    def _whole_pairs(self) -> "Recipe":
        if self.method != "segmentation":
            return self
        try:
            self.segmentation.spec(self.net.backbone, self.segmentation.classes or ())
        except ValidationError as error:
            found = error.errors()[0]
            key = ".".join(str(step) for step in found["loc"])
            message = str(found.get("ctx", {}).get("error", found["msg"])).rstrip(".")
            raise ValueError(f"segmentation{'.' * bool(key)}{key}: {message}") from None
        if len(self.data) > 1 and self.segmentation.classes is None:
            raise ValueError("several data sets share one network: name its concepts, segmentation.classes")
        if self.batch_size % 2:
            raise ValueError(
                f"batch_size {self.batch_size} is no whole number of pairs of photos: make it even"
            )
        if changed := self.net.model_dump(exclude_defaults=True, exclude={"backbone"}):
            raise ValueError(
                f"net.{next(iter(changed))} does nothing with method: segmentation, whose network is "
                "described by net.backbone and the section segmentation: leave it out"
            )
        return self

    @model_validator(mode="after")
    def _points_move_along(self) -> "Recipe":
        if self.method != "segmentation":
            return self
        for section, names in {"augmentation": ("shorter", "pad", "erase"), "freeze": ("cached",)}.items():
            for name in names:
                if getattr(getattr(self, section), name):
                    raise ValueError(
                        f"{section}.{name} goes without keypoints: leave it out with method: segmentation"
                    )
        if self.input.shorter is not None:
            raise ValueError(
                "preprocessing.shorter cuts keypoints off: leave it out with method: segmentation"
            )
        if self.finetune_init is not None:
            raise ValueError("finetune_init is of a projection: set optimizer.rates.head for new layers")
        if isinstance(self.schedule, Plateau) and self.segmentation.masks:
            raise ValueError("a loss that masks join later is nothing for plateau: take another schedule")
        return self

    @model_validator(mode="after")
    def _new_on_top_of_old(self) -> "Recipe":
        if self.finetune_init is not None and self.weights is None:
            raise ValueError("finetune_init learns new layers on top of weights; name them with weights")
        return self

    @model_validator(mode="after")
    def _least_rate_below_the_full_one(self) -> "Recipe":
        least = self.schedule.min_lr if isinstance(self.schedule, Sgdr | Clr) else 0
        if least > self.optimizer.lr:
            raise ValueError(
                f"schedule.min_lr {least:g} is above optimizer.lr {self.optimizer.lr:g}: set it lower"
            )
        return self

    @model_validator(mode="after")
    def _devices_share_the_batch(self) -> "Recipe":
        if problem := self.unshared(self.devices):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _cached_photos_stay_the_same(self) -> "Recipe":
        if not self.freeze.cached:
            return self
        if changed := self.augmentation.model_dump(exclude_defaults=True, exclude={"flip"}):
            raise ValueError(
                "freeze.cached looks at each photo once: of augmentation only flip goes with "
                f"it; leave augmentation.{next(iter(changed))} out"
            )
        return self

    @model_validator(mode="after")
    def _pictures_of_one_size(self) -> "Recipe":
        if not self.input.one_size:
            raise ValueError("preprocessing.resize: 'long' gives pictures of many sizes; train with crop")
        if self.views == "ten" and self.input.shorter is None:
            raise ValueError(
                "views: ten are cut out of a picture larger than the input: set preprocessing.shorter"
            )
        shorter = self.augmentation.shorter
        if shorter is not None and shorter[0] < max(self.input.size):
            raise ValueError(
                f"augmentation.shorter begins at {shorter[0]} pixels; it must be at least the larger side of "
                f"the input, {self.input.size}"
            )
        return self

    def unshared(self, devices: int) -> str:
        """Return why so many devices cannot share a batch, and the mend; empty where they can."""
        if devices > 1 and self.method == "tuples":
            return "method: tuples mines its negatives on one device; set devices to 1"
        if devices > 1 and self.freeze.cached:
            return "freeze.cached is for one device; set devices to 1"
        identities = self.centroid.identities if self.method == "centroid" else 2 * devices
        if identities % devices or identities < 2 * devices:
            return (
                f"{identities} identities cannot be shared by {devices} devices, two or more to each: "
                f"set centroid.identities to a multiple of {devices}"
            )
        together = 2 * devices if self.method == "segmentation" else devices
        if self.batch_size % together:
            return (
                f"batch_size {self.batch_size} cannot be shared by {devices} devices: "
                f"make it a multiple of {together}"
            )
        return ""

    @property
    def input(self) -> Preprocessing:
        """The preprocessing of the encoder."""
        return self.preprocessing or Preprocessing.for_architecture(input_spec(self.net.backbone))

    @property
    def class_points(self) -> ClassPointsRule | None:
        """Where the method's class points come from, if it is given any."""
        if self.method == "center":
            return self.center if self.center.given else None
        return self.hierarchy

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        return self.out or Path("runs") / self.name


def _with_batch_size(tree: dict[str, Any]) -> dict[str, Any]:
    """Set the batch size of the method centroid, which follows from its own section."""
    if tree.get("method") != "centroid" or "batch_size" in tree:
        return tree
    section = tree.get("centroid") or {}
    if not isinstance(section, dict):
        return tree
    numbers = [
        section.get(name, CentroidRule.model_fields[name].default) for name in ("identities", "instances")
    ]
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        return tree  # the section itself is refused
    return {**tree, "batch_size": numbers[0] * numbers[1]}

"""What a network is made of, as plain checked values."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from perisphere.errors import nearest
from perisphere.nets.pooling import Pooling
from perisphere.nets.registry import ARCHITECTURES

GEM_P = 3.0


class NetSpec(BaseModel):
    """The parts of an :class:`~perisphere.nets.EmbeddingNet`, enough to build it again.

    Attributes:
        backbone: name of the architecture, one of :func:`~perisphere.nets.architectures`.
        last_stride: stride of a ResNet's last stage; 1 doubles its feature map's sides.
        stem_relu: whether a ReLU follows a ResNet's first normalisation. The plain ResNets published with the
            centroid triplet loss, and those of the re-identification baseline before it, have none.
        pooling: how the feature map becomes one vector (see :mod:`perisphere.nets.pooling`).
        gem_p: GeM's exponent, or where it starts when it is learned.
        gem_learned: whether GeM's exponent is a parameter (``gemmp``'s always are).
        regional: pool each of R-MAC's regions and add up their directions, whatever the pooling.
        region_projection: a linear layer on the unit vector of each region.
        local_projection: a linear layer on each position of the feature map, before pooling.
        unit_pooled: bring the pooled vector to length one before the projection.
        projection: output size of a linear projection after pooling, or ``None`` for no projection.
        projection_std: standard deviation of the fresh weights of the projection, whose bias is zero then;
            ``None`` draws both as torch does.
        activation: of what the projection gives; ``tanh`` keeps every number between -1 and 1.
        bnneck: whether a batch normalisation without shift ends the network (Luo et al. 2019).
        softmax: whether an embedding is the softmax of what comes before: numbers above zero that add up to
            one (the loss softmax_corr of Barz and Denzler 2019).
        input_size: side in pixels of the input of the backbone ``pixels``; no other backbone takes it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str
    last_stride: Literal[1, 2] = 2
    stem_relu: bool = True
    pooling: Pooling = "spoc"
    gem_p: Annotated[float, Field(ge=1e-2, le=100, allow_inf_nan=False)] = GEM_P
    gem_learned: bool = False
    regional: bool = False
    region_projection: bool = False
    local_projection: bool = False
    unit_pooled: bool = False
    projection: Annotated[int, Field(ge=1, le=65_536)] | None = None
    projection_std: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] | None = None
    activation: Literal["tanh"] | None = None
    bnneck: bool = False
    softmax: bool = False
    input_size: Annotated[int, Field(ge=1, le=1024)] | None = None

    @field_validator("backbone")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in ARCHITECTURES:
            raise ValueError(
                f"there is no backbone {name!r}.{nearest(name, list(ARCHITECTURES))} "
                f"Known: {', '.join(ARCHITECTURES)}."
            )
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        architecture = ARCHITECTURES[self.backbone]
        if self.last_stride != 2 and not architecture.strided:
            raise ValueError(f"last_stride is for ResNets; {self.backbone} has none. Leave it out.")
        if not self.stem_relu and not architecture.strided:
            raise ValueError(f"stem_relu is for ResNets; {self.backbone} has no such stem. Leave it out.")
        if self.input_size is not None and self.backbone != "pixels":
            raise ValueError(f"input_size is for the backbone pixels; {self.backbone} takes any size.")
        if architecture.flat and (self.pooling != "spoc" or self.regional):
            raise ValueError(f"{self.backbone} has no map to pool. Leave pooling and regional out.")
        for key in ("projection_std", "activation"):
            if getattr(self, key) is not None and self.projection is None:
                raise ValueError(f"{key} is of a projection. Set projection, or leave {key} out.")
        if self.gem_learned and self.pooling != "gem":
            raise ValueError(f"gem_learned needs pooling: gem, not {self.pooling}.")
        if self.gem_p != GEM_P and self.pooling not in ("gem", "gemmp"):
            raise ValueError(f"gem_p needs pooling: gem, not {self.pooling}.")
        if self.regional and self.pooling == "rmac":
            raise ValueError("rmac is regional already. Leave regional out, or pool with mac.")
        if self.region_projection and not (self.regional or self.pooling == "rmac"):
            raise ValueError("region_projection needs regional: true.")
        return self

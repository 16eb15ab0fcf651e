"""The network of an encoder: backbone, pooling, projection, BNNeck."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from perisphere.nets.pooling import Pool, unit
from perisphere.nets.registry import ARCHITECTURES, InputSpec, architectures
from perisphere.nets.spec import NetSpec


class BNNeck(nn.BatchNorm1d):
    """Batch normalisation whose shift stays zero, so that the origin of the sphere stays where it is.

    Source: Luo et al., "Bag of tricks and a strong baseline for deep person re-identification", CVPRW 2019.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.bias.requires_grad_(False)


class EmbeddingNet(nn.Module):
    """Images to embeddings, not normalised.

    Attributes:
        spec: what it is made of.
        dim: length of an embedding.
        start: parts (stages of the backbone, then the pooling) that :meth:`forward` leaves out, since it is
            given what they made of the images; 0 takes images.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.start = 0
        self.backbone = ARCHITECTURES[spec.backbone].make(**_options(spec))
        channels = self.backbone.dim
        self.local_projection = nn.Linear(channels, channels) if spec.local_projection else None
        self.pooling = Pool(
            spec.pooling,
            spec.gem_p,
            spec.gem_learned,
            channels=channels,
            regions=spec.regional,
            projected=spec.region_projection,
        )
        self.dim = spec.projection or channels
        self.projection = _projection(channels, spec)
        self.bnneck = BNNeck(self.dim) if spec.bnneck else None

    @property
    def stages(self) -> list[tuple[str, nn.Module]]:
        """The named stages from the stem to the last; each parameter is in exactly one."""
        after = [
            (name, getattr(self, name)) for name in ("local_projection", "pooling", "projection", "bnneck")
        ]
        return self.backbone.stages() + [
            (name, part) for name, part in after if part is not None and any(True for _ in part.parameters())
        ]

    @property
    def nonnegative(self) -> bool:
        """Whether no number of an embedding is ever below zero."""
        spec = self.spec
        if spec.softmax:
            return True
        signed = spec.local_projection or spec.region_projection or spec.projection or spec.bnneck
        # GeM has a floor above zero.
        return not signed and (self.backbone.nonnegative or spec.pooling in ("gem", "gemmp"))

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 ``[n, dim]`` of preprocessed images, float32 ``[n, 3, h, w]``."""
        return self.projected(self.pooled(images))

    def pooled(self, images: Tensor) -> Tensor:
        """Return one vector ``[n, channels]`` for each image, before the projection."""
        if not self.start:
            return self._pool(self.backbone(images))
        stages = len(self.backbone.stages())
        return images if self.start > stages else self._pool(self.backbone.run(images, self.start))

    def leading(self, images: Tensor, parts: int) -> Tensor:
        """Return what the first ``parts`` make of images: stages of the backbone, then the pooling.

        Raises:
            ValueError: the backbone cannot be divided there.
        """
        stages = len(self.backbone.stages())
        if parts > stages:
            return self._pool(self.backbone(images))
        if not self.backbone.splits:
            raise ValueError(f"{self.spec.backbone} cannot be divided between its stages")
        return self.backbone.run(images, 0, parts)

    def _pool(self, features: Tensor) -> Tensor:
        if self.local_projection is not None:
            features = self.local_projection(features.movedim(1, -1)).movedim(-1, 1)
        vectors = self.pooling(features)
        return unit(vectors) if self.spec.unit_pooled else vectors

    def projected(self, vectors: Tensor) -> Tensor:
        """Return the embeddings float32 ``[n, dim]`` of pooled vectors ``[n, channels]``."""
        if self.projection is not None:
            vectors = self.projection(vectors)
        if self.spec.activation == "tanh":
            vectors = vectors.float().tanh()
        if self.bnneck is not None:
            vectors = self.bnneck(vectors)
        vectors = vectors.float()
        return vectors.softmax(1) if self.spec.softmax else vectors


def _projection(channels: int, spec: NetSpec) -> nn.Linear | None:
    if spec.projection is None:
        return None
    layer = nn.Linear(channels, spec.projection)
    if spec.projection_std is not None:
        nn.init.normal_(layer.weight, std=spec.projection_std)
        nn.init.zeros_(layer.bias)
    return layer


def _options(spec: NetSpec) -> dict[str, Any]:
    if ARCHITECTURES[spec.backbone].strided:
        return {"last_stride": spec.last_stride, "stem_relu": spec.stem_relu}
    return {} if spec.input_size is None else {"input_size": spec.input_size}


def build(spec: NetSpec, seed: int | None = None) -> EmbeddingNet:
    """Build the network that ``spec`` describes, with fresh weights.

    Args:
        spec: the parts.
        seed: makes the weights the same on every call; the caller's random state is left alone then.
            ``None`` draws from the global random state.
    """
    if seed is None:
        return EmbeddingNet(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return EmbeddingNet(spec)


@dataclass(frozen=True)
class Summary:
    """An architecture as a row of a table: parameters without classifier, channels of the map, input."""

    name: str
    parameters: int
    dim: int
    input: InputSpec


def describe() -> list[Summary]:
    """Return a row for every architecture; no weights are drawn."""
    rows = []
    for name in architectures():
        with torch.device("meta"):
            net = EmbeddingNet(NetSpec(backbone=name))
        count = sum(parameter.numel() for parameter in net.parameters())
        rows.append(Summary(name, count, net.dim, ARCHITECTURES[name].input))
    return rows

"""From a recipe's words to the Lightning module of its method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from perisphere.losses import contrastive, metric_learning, triplet
from perisphere.methods import (
    Center,
    Centers,
    Centroid,
    CentroidHead,
    CentroidTerms,
    Extra,
    Hierarchy,
    LabelEmbedding,
    LabelEmbeddings,
    Landmark,
    Quantization,
    QuantizationTerms,
    Segmentation,
    TagTargets,
    Tuples,
)
from perisphere.methods.learned_codes import CodePlan, LearnedCodes
from perisphere.methods.supervised import Supervised
from perisphere.nets import CosineClassifier, EmbeddingNet, LinearClassifier, SemanticClassifier
from perisphere.training.method_rules import ExtraLoss, HierarchyRule, QuantizationRule, TupleRule
from perisphere.training.recipe import Cosine, Linear, Recipe

Module = Supervised | Tuples | Segmentation


@dataclass(frozen=True)
class Tagged:
    """What the method quantization learns from.

    Attributes:
        targets: tag vectors, and the tags of all photos.
        photos: how many of them are learned from; the others are for validation.
        metric: float32 ``[d, d]``, a root of the tags' metric.
        recompute: features float32 ``[photos, d]`` of those to learn from, by the network as it is.
    """

    targets: TagTargets
    photos: int
    metric: NDArray[np.float32]
    recompute: Callable[[], Tensor]


@dataclass(frozen=True)
class Learning:
    """What a method learns with, besides its own section of the recipe.

    Attributes:
        net: images to embeddings.
        classes: number of classes.
        points: float32 ``[classes, d]``, their class points, if they are given any.
        tagged: photos with tags in place of classes, if they have any.
        seed: of fresh weights on top of the network.
        prepare: see :class:`~perisphere.methods.supervised.Supervised`.
        optimise: a module on top of the network (its classifier, if it has one) to what
            ``configure_optimizers`` returns.
    """

    net: EmbeddingNet
    classes: int
    points: Tensor | None
    seed: int
    prepare: Callable[[Any, bool], tuple[Tensor, Tensor]]
    optimise: Callable[[nn.Module], Any]
    tagged: Tagged | None = None

    def with_head(self, head: nn.Module | None) -> dict[str, Any]:
        """Return the keywords that every method takes."""
        return {"prepare": self.prepare, "optimise": lambda: self.optimise(head or nn.Identity())}

    def seeded(self, make: Callable[[], Any]) -> Any:
        """Make a layer, or several, whose fresh weights depend on ``seed`` alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return make()


def module_for(recipe: Recipe, learning: Learning) -> Module:
    """Build the module of the recipe's method."""
    return _METHODS[recipe.method](recipe, learning)


def loss_for(choice: TupleRule) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss over tuples, with its margin."""
    loss = {"contrastive": contrastive, "triplet": triplet}[choice.loss]
    return loss if choice.margin is None else partial(loss, margin=choice.margin)


def _tuples(recipe: Recipe, learning: Learning) -> Tuples:
    rule = recipe.tuples
    return Tuples(learning.net, loss_for(rule), rule.negatives, **learning.with_head(None))


def _landmark(recipe: Recipe, learning: Learning) -> Landmark:
    classifier = learning.seeded(lambda: _classifier(recipe.classifier, learning.net.dim, learning.classes))
    return Landmark(
        learning.net,
        classifier,
        label_smoothing=recipe.label_smoothing,
        **learning.with_head(classifier),
    )


def _classifier(choice: Linear | Cosine, dim: int, classes: int) -> nn.Module:
    if isinstance(choice, Linear):
        return LinearClassifier(dim, classes)
    return CosineClassifier(dim, classes, choice.scale)


def _hierarchy(recipe: Recipe, learning: Learning) -> Hierarchy:
    rule, net = recipe.hierarchy, learning.net
    assert isinstance(rule, HierarchyRule)
    assert learning.points is not None
    points = nn.functional.normalize(learning.points) if rule.loss == "devise" else learning.points
    classifier = None
    if rule.cls_weight:
        dim = net.dim if rule.cls_base == "embedding" else net.backbone.dim
        classifier = learning.seeded(lambda: SemanticClassifier(dim, learning.classes))
    return Hierarchy(
        net,
        points,
        loss=rule.loss,
        margin=rule.margin,
        classifier=classifier,
        class_weight=rule.cls_weight,
        class_base=rule.cls_base,
        **learning.with_head(classifier),
    )


def _center(recipe: Recipe, learning: Learning) -> Center:
    head = learning.seeded(lambda: Centers(learning.net.dim, learning.classes, learning.points))
    return Center(learning.net, head, weight=recipe.center.weight, **learning.with_head(head))


def _label_embedding(recipe: Recipe, learning: Learning) -> LabelEmbedding:
    rule = recipe.label_embedding
    head = learning.seeded(lambda: LabelEmbeddings(learning.net.dim, learning.classes))
    return LabelEmbedding(
        learning.net, head, tau=rule.tau, alpha=rule.alpha, beta=rule.beta, **learning.with_head(head)
    )


def _centroid(recipe: Recipe, learning: Learning) -> Centroid:
    rule, dim, classes = recipe.centroid, learning.net.dim, learning.classes
    terms = CentroidTerms(
        triplet=rule.triplet_weight,
        centroid=rule.centroid_weight,
        center=rule.center_weight,
        classes=rule.class_weight,
        margin=rule.margin,
        distance=rule.distance,
        instances=rule.instances,
        corrected=rule.corrected,
    )
    extra = learning.seeded(lambda: _extra(rule.extra, dim, classes))
    head = learning.seeded(lambda: CentroidHead(dim, classes, terms, center_lr=rule.center_lr, extra=extra))
    return Centroid(
        learning.net,
        head,
        terms,
        extra=extra,
        label_smoothing=recipe.label_smoothing,
        **learning.with_head(head),
    )


def plan_for(rule: QuantizationRule) -> CodePlan:
    """Return how the codebooks of a recipe are made."""
    return CodePlan(rule.books, rule.words, rule.sweeps, rule.restarts, rule.beam, rule.unit)


def _quantization(recipe: Recipe, learning: Learning) -> Quantization:
    rule, tagged = recipe.quantization, learning.tagged
    assert rule is not None  # a recipe without is refused
    assert tagged is not None
    terms = QuantizationTerms(
        rule.loss, rule.gamma, rule.margin, rule.negatives, rule.weight, rule.start, rule.every
    )
    return Quantization(
        learning.net,
        tagged.targets,
        LearnedCodes(tagged.photos, plan_for(rule), tagged.metric),
        terms,
        seed=learning.seed,
        recompute=tagged.recompute if rule.features == "fresh" else None,
        **learning.with_head(None),
    )


def _extra(rules: Sequence[ExtraLoss], dim: int, classes: int) -> list[Extra]:
    """Build further losses, each logged under its key in the recipe."""
    return [
        Extra(
            f"extra.{number}.{rule.loss}",
            rule.weight,
            metric_learning(
                rule.loss, rule.options, rule.miner, rule.miner_options, dim=dim, classes=classes
            ),
        )
        for number, rule in enumerate(rules)
    ]


_METHODS: dict[str, Callable[[Recipe, Learning], Module]] = {
    "landmark": _landmark,
    "tuples": _tuples,
    "hierarchy": _hierarchy,
    "center": _center,
    "label_embedding": _label_embedding,
    "centroid": _centroid,
    "quantization": _quantization,
}

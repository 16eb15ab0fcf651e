"""What a run of the method segmentation needs of a recipe and its photos."""

import math
from collections.abc import Sequence

import torch

from perisphere.losses.class_scores import rarities
from perisphere.methods import Segmentation, SegmentationTerms
from perisphere.methods.segmentation import CONCEPT_MAP, MaskTerms, PointTerms
from perisphere.nets import SegmentationNet
from perisphere.training.concept_photos import ConceptData
from perisphere.training.devices import Place
from perisphere.training.fixed_pairs import FixedPairs
from perisphere.training.keeping import History
from perisphere.training.optimisation import optimisation
from perisphere.training.prepare_pairs import PreparePairs
from perisphere.training.recipe import Recipe
from perisphere.training.segmentation_rules import CorrespondenceRule, SegmentationRule
from perisphere.training.start import LearningNet


def segmentation_module(
    recipe: Recipe, net: SegmentationNet, data: ConceptData, place: Place
) -> Segmentation:
    """Build the module of the method.

    Args:
        recipe: its section ``segmentation``, and how photos are changed.
        net: that learns.
        data: its photos.
        place: the part of the devices that this process is.
    """
    points = recipe.segmentation.correspondence
    prepare = PreparePairs(
        recipe.input,
        recipe.augmentation,
        data,
        paired=points is not None,
        most=None if points is None else points.points,
        rank=place.rank,
        world=place.world,
    )
    return Segmentation(
        net,
        segmentation_terms(recipe.segmentation, data),
        prepare=prepare,
        optimise=lambda: optimisation(recipe, net, torch.nn.Identity()),
    )


def segmentation_terms(rule: SegmentationRule, data: ConceptData) -> SegmentationTerms:
    """Return what the loss is the sum of; the rarity of concepts is that among the photos to learn from."""
    train = data.related[: len(data.train)]
    known = train[train.any(1)]
    return SegmentationTerms(
        rule.class_weight,
        rule.loss,
        rarities(torch.from_numpy(known.sum(0).astype("float32")), len(known)),
        _masks(rule),
        _points(rule),
    )


def deciding_figure(recipe: Recipe, data: ConceptData) -> tuple[str | None, int]:
    """Return the figure that chooses the best epoch, if it is not the loss, and the first epoch that counts.

    Concepts are judged by :data:`CONCEPT_MAP`, from the first epoch on that masks are learned from: before,
    a network that names concepts well may not yet show where they are.
    """
    val = data.val
    if val is None or not data.related[len(data.train) :].any():
        return None, 0
    rule = recipe.segmentation
    return CONCEPT_MAP, rule.mask_start if rule.masks else 0


def left_out(rule: SegmentationRule, classes: Sequence[str], epochs: int | None) -> list[str]:
    """Tell what a run of so many epochs does not learn, though its recipe may seem to ask for it."""
    points, notes = rule.correspondence, []
    end = math.inf if epochs is None else epochs
    if classes and rule.masks and rule.mask_start >= end:
        notes.append(
            f"Masks are learned from after {rule.mask_start} epochs, and there are {epochs}: set "
            "segmentation.mask_start lower."
        )
    if points is not None and points.start >= end:
        notes.append(
            f"Points are learned from after {points.start} epochs, and there are {epochs}: set "
            "segmentation.correspondence.start lower."
        )
    last = "decoder" if rule.head == "single-stage" else "backbone"
    if points is not None and not classes and points.feature not in ("decoder", last):
        notes.append(
            f"Without concepts nothing behind the layer {points.feature} learns, not even what embeds: "
            f"match points by --layer {points.feature}, or set segmentation.correspondence.feature={last}."
        )
    return notes


def shown(recipe: Recipe, data: ConceptData, net: LearningNet, history: History) -> FixedPairs:
    """Return what paints a few photos for TensorBoard, as often as checkpoints are kept."""
    assert isinstance(net, SegmentationNet)
    points = recipe.segmentation.correspondence or CorrespondenceRule()
    return FixedPairs(
        history,
        net,
        recipe.input,
        data,
        layer="decoder" if recipe.segmentation.correspondence is None else points.feature,
        align_corners=points.align_corners,
        every=recipe.checkpoint_every or recipe.epochs or 1,
    )


def _masks(rule: SegmentationRule) -> MaskTerms | None:
    if not rule.masks:
        return None
    pseudo, refined = rule.pseudo, rule.refine
    return MaskTerms(
        rule.mask_weight,
        rule.mask_start,
        refined.dilations,
        refined.iterations,
        pseudo.background,
        pseudo.foreground,
        pseudo.floor,
    )


def _points(rule: SegmentationRule) -> PointTerms | None:
    points = rule.correspondence
    if points is None:
        return None
    options = {
        "tau": points.tau,
        "normalise": points.normalise,
        "margin": points.margin,
        "align_corners": points.align_corners,
    }
    return PointTerms(points.weight, points.active, points.feature, points.loss, points.negatives, options)

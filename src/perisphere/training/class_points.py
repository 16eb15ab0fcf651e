"""The class points that a recipe names, for the classes of its photos."""

import hashlib
from collections.abc import Sequence

import numpy as np

from perisphere.errors import UsageError
from perisphere.taxonomy import ClassPoints, Taxonomy, embed
from perisphere.training.method_rules import ClassPointsRule
from perisphere.training.recipe import Recipe

UNIT = 1e-6


def class_points(rule: ClassPointsRule, labels: Sequence[str]) -> ClassPoints:
    """Read the points of a file, or make those of the classes of the photos.

    A taxonomy gives one point for each label and none for its other leaves, so that the points have no more
    numbers than needed.

    Args:
        rule: where they come from; something is given.
        labels: of the photos, one a class.

    Raises:
        PerisphereError: a file cannot be read, or a label is in neither the points nor the taxonomy.
    """
    if rule.points == "onehot":
        return ClassPoints(np.eye(len(labels)), tuple(labels), None, "onehot")
    if rule.points is not None:
        points = ClassPoints.load(rule.points)
        points.rows_of(labels)
        return points
    assert rule.taxonomy is not None
    taxonomy = Taxonomy.load(
        rule.taxonomy,
        child_parent=rule.is_a,
        ids="str" if rule.string_ids else "auto",
        names=rule.names,
    )
    classes = taxonomy.classes_of(labels)
    if rule.embedding == "onehot":
        return ClassPoints(np.eye(len(labels)), tuple(map(str, classes)), taxonomy, "onehot")
    return embed(taxonomy, classes, rule.embedding, num_dim=rule.num_dim, unit=rule.norm)


def recipe_for(recipe: Recipe, points: ClassPoints) -> Recipe:
    """Return the recipe with a network whose embeddings lie in the space of the points.

    Raises:
        UsageError: its projection has another size.
    """
    dim = points.dim
    if recipe.net.projection not in (None, dim):
        raise UsageError(
            f"'net.projection' is {recipe.net.projection}, but the class points have {dim} numbers. "
            "Leave net.projection out."
        )
    softmax = recipe.hierarchy is not None and recipe.hierarchy.loss == "softmax_corr"
    net = recipe.net.model_copy(update={"projection": dim, "softmax": softmax or recipe.net.softmax})
    return recipe.model_copy(update={"net": net})


def searchable(points: ClassPoints, loss: str) -> bool:
    """Whether the unit rows of the trained encoder can be compared with the points.

    Not where a point is the origin, and not where distances to points off the sphere were learned.
    """
    lengths = np.linalg.norm(points.points, axis=1)
    return bool(lengths.min() > 0 and (loss != "mse" or abs(lengths - 1).max() < UNIT))


def fingerprint(points: ClassPoints) -> str:
    """Return 16 hexadecimal digits over the classes and their points."""
    digest = hashlib.sha256("\0".join(points.classes).encode("utf-8", "surrogateescape"))
    digest.update(np.ascontiguousarray(points.points, np.float64).data)
    return digest.hexdigest()[:16]

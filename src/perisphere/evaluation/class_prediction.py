"""The class of an image by whatever predicts it, such as the nearest class point, and how often it is right.

Accuracies are those of Barz & Denzler (WACV 2019): of the first class, of the first five, balanced (mean over
classes), and hierarchical (mean similarity by LCS height of the predicted class to the true one).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.evaluation.points import Points, file_of
from perisphere.evaluation.voting import accuracy, balanced_accuracy
from perisphere.sphere.neighbours import top_k
from perisphere.taxonomy import ClassPoints, Id, Taxonomy, similarities

if TYPE_CHECKING:
    from perisphere.training.trained_classifier import TrainedClassifier

TOP = 5


@dataclass(frozen=True)
class Prediction:
    """Classes predicted for some images.

    Attributes:
        by: what predicted them, as the figures are named.
        nodes: the classes to choose from.
        ranked: the likeliest first, positions in ``nodes``, int64 ``[q, up to 5]``.
        options: that it was made with, for the report (JSON values).
    """

    by: str
    nodes: Sequence[Id]
    ranked: NDArray[np.int64]
    options: Mapping[str, Any] = field(default_factory=dict)


Predictor = Callable[[Points], Prediction]


def accuracies(prediction: Prediction, truth: Sequence[Id], taxonomy: Taxonomy) -> dict[str, float]:
    """Return accuracy, top-5, balanced and hierarchical accuracy, named by what predicted.

    Args:
        prediction: for each image.
        truth: its class.
        taxonomy: of both.
    """
    places = {node: place for place, node in enumerate(dict.fromkeys([*prediction.nodes, *truth]))}
    true = np.array([places[node] for node in truth], np.int64)
    # Classes that two points stand for count as one.
    ranked = np.array([places[node] for node in prediction.nodes], np.int64)[prediction.ranked]
    similar = similarities(taxonomy, list(places), "lcs_height")
    values = {
        "accuracy": accuracy(true, ranked, 1),
        "top-5": accuracy(true, ranked, TOP),
        "balanced": balanced_accuracy(true, ranked),
        "hierarchical": float(similar[ranked[:, 0], true].mean()),
    }
    return {f"{prediction.by} {name}": value for name, value in values.items()}


def by_class_points(classes: ClassPoints, taxonomy: Taxonomy) -> Predictor:
    """Predict the class whose point is nearest (Euclidean).

    Where the points cover inner nodes of the taxonomy too, the leaves and the classes of the images are what
    there is to choose from.
    """
    nodes = taxonomy.classes_of(classes.classes)

    def predict(asked: Points) -> Prediction:
        if asked.vectors.shape[1] != classes.points.shape[1]:
            raise PerisphereError(
                f"{asked.source}: vectors of {asked.vectors.shape[1]} numbers, but class points of "
                f"{classes.points.shape[1]}; name those that the encoder was trained on with --classes."
            )
        chosen = {*taxonomy.leaves, *taxonomy.classes_of(list(dict.fromkeys(map(str, asked.labels))))}
        rows = [row for row, node in enumerate(nodes) if node in chosen]
        if not rows:
            raise PerisphereError("no class point is of a leaf of the taxonomy or of a class of the images.")
        points = classes.points[rows].astype(np.float32)
        ranked, _ = top_k(asked.vectors, points, min(TOP, len(rows)), metric="l2")
        described = {"points": len(rows), "method": classes.method}
        return Prediction("class point", [nodes[row] for row in rows], ranked, described)

    return predict


def by_classifier(classifier: "TrainedClassifier", taxonomy: Taxonomy) -> Predictor:
    """Predict by the classifier that a run trained, from the photos themselves."""
    nodes = taxonomy.classes_of(classifier.classes)

    def predict(asked: Points) -> Prediction:
        rows = list(asked.rows.iter_rows(named=True))
        files = [file_of(row) for row in rows]
        for row, file in zip(rows, files, strict=True):
            if file is None:
                raise PerisphereError(f"{asked.source}: row {row['id']} has no photo for the classifier.")
        boxes = [row.get("box") for row in rows]
        ranked = classifier.predict([file for file in files if file], boxes=boxes, top=TOP)
        return Prediction("classifier", nodes, ranked, {"classes": len(nodes), "epoch": classifier.epoch})

    return predict

"""A linear SVM on embeddings, as Barz & Denzler (WACV 2019) classify with features of any origin."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation.class_prediction import TOP, Prediction, Predictor
from perisphere.evaluation.points import Points
from perisphere.sphere.geometry import Vectors, as_vectors, check_same_dim, finite_squares, normalise
from perisphere.taxonomy import Taxonomy

if TYPE_CHECKING:
    from sklearn.svm import LinearSVC

Scaling = Literal["unit", "largest"]

SMALLEST = 1e-8
"""A dimension that is smaller everywhere in the training vectors is not blown up."""


def by_svm(
    learnt: Sequence[Points], taxonomy: Taxonomy, *, scaling: Scaling = "unit", c: float = 1.0, seed: int = 0
) -> Predictor:
    """Predict by a linear SVM, one class against the rest.

    Args:
        learnt: labelled vectors to learn from: one set, or one for each augmented copy of the photos. Rows
            without a label are left out.
        taxonomy: of the labels.
        scaling: vectors of length one (``"unit"``), or each dimension divided by its ``"largest"`` absolute
            value among the vectors to learn from.
        c: weight of the errors against the margin.
        seed: of the solver's order.

    Raises:
        PerisphereError: no scikit-learn, or fewer than two classes to learn.
        UsageError: an option outside its values.
    """
    if scaling not in get_args(Scaling):
        raise UsageError(f"scaling {scaling!r} is unknown; use one of {', '.join(get_args(Scaling))}.")
    if not c > 0:
        raise UsageError(f"c is {c}; the weight of the errors must be above 0.")
    solver = _solver(c, seed)
    labelled = [points.where(points.rows["label"].is_not_null()) for points in learnt]
    for points in labelled[1:]:
        check_same_dim(labelled[0].vectors, points.vectors)
    labels = [str(label) for points in labelled for label in points.labels]
    names = sorted(set(labels))
    if len(names) < 2:
        raise PerisphereError(
            f"an SVM needs at least 2 classes to learn, not {len(names)}; name other splits."
        )
    nodes = taxonomy.classes_of(names)
    vectors = np.concatenate([as_vectors(points.vectors) for points in labelled])
    finite_squares(vectors, "training vectors")
    scale = _scale(vectors, scaling)
    described = {"learnt": len(vectors), "classes": len(names), "scaling": scaling, "c": c, "seed": seed}

    def predict(asked: Points) -> Prediction:
        check_same_dim(vectors, asked.vectors)
        solver.fit(scale(vectors), np.searchsorted(names, labels))
        confidence = solver.decision_function(scale(as_vectors(asked.vectors, "queries")))
        if confidence.ndim == 1:  # of two classes, only the second's
            confidence = np.stack([-confidence, confidence], axis=1)
        ranked = np.argsort(-confidence, axis=1, kind="stable")[:, :TOP]
        return Prediction("SVM", nodes, ranked, described)

    return predict


def _scale(vectors: Vectors, scaling: Scaling) -> Callable[[Vectors], Vectors]:
    if scaling == "unit":
        return normalise
    largest = np.maximum(np.abs(vectors).max(axis=0), SMALLEST)
    return lambda some: some / largest


def _solver(c: float, seed: int) -> "LinearSVC":
    try:
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise PerisphereError(
            "a linear SVM needs scikit-learn, which is not installed; run `pip install 'perisphere[svm]'`."
        ) from error
    return LinearSVC(C=c, random_state=seed)

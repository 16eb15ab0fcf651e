"""How well scores of classes agree with the labels of whole photos."""

import numpy as np
from numpy.typing import NDArray


def average_precision(scores: NDArray, relevant: NDArray) -> float:
    """Return the average precision of one class: precision summed over the steps of recall, no interpolation.

    Photos of equal score are taken together, so that their order means nothing.

    Args:
        scores: ``[n]``, higher is likelier.
        relevant: bool ``[n]``.

    Returns:
        0..1; NaN where nothing is relevant.
    """
    relevant = np.asarray(relevant, bool)
    if not relevant.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(relevant[order])
    ranked = scores[order]
    ends = np.r_[np.flatnonzero(ranked[1:] != ranked[:-1]), len(order) - 1]
    found = hits[ends]
    gained = np.diff(found, prepend=0)
    return float((gained * found / (ends + 1)).sum() / hits[-1])


def mean_average_precision(scores: NDArray, relevant: NDArray) -> float:
    """Return the mean of :func:`average_precision` over the classes that occur; NaN where none does.

    Args:
        scores: ``[n, C]``.
        relevant: bool ``[n, C]``.
    """
    found = [average_precision(scores[:, one], relevant[:, one]) for one in range(scores.shape[1])]
    kept = [value for value in found if not np.isnan(value)]
    return float(np.mean(kept)) if kept else float("nan")


def class_accuracies(scores: NDArray, primary: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each class the share of its photos whose first class it is; NaN where it has none.

    Args:
        scores: ``[n, C]``; of equal ones the first class wins.
        primary: int64 ``[n]``, the class of each photo.
    """
    classes = scores.shape[1]
    photos = np.bincount(primary, minlength=classes)
    right = np.bincount(primary[scores.argmax(1) == primary], minlength=classes)
    return np.divide(right, photos, out=np.full(classes, np.nan), where=photos > 0)


def top_one(scores: NDArray, relevant: NDArray) -> float:
    """Return the share of photos whose first class is among their labels; NaN without photos.

    Args:
        scores: ``[n, C]``; of equal ones the first class wins.
        relevant: bool ``[n, C]``.
    """
    if not len(scores):
        return float("nan")
    return float(np.asarray(relevant, bool)[np.arange(len(scores)), scores.argmax(1)].mean())

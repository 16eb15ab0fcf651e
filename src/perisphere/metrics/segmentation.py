"""How well label images agree: one confusion matrix over the pixels of all photos."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassAgreement:
    """Agreement of each class; arrays start with the background.

    Attributes:
        pixels: true ones, int64.
        iou: ``TP / (TP + FP + FN)``, 0..1; 0 for a class that is nowhere.
        precision: ``TP / (TP + FP)``, 0..1; 0 where nothing was predicted.
        recall: ``TP / (TP + FN)``, 0..1; 0 where nothing is true.
    """

    pixels: NDArray[np.int64]
    iou: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    def means(self, figure: str) -> dict[str, float]:
        """Return the means of one figure (``iou``, ``precision`` or ``recall``), by what they are over.

        ``published`` takes every class without the background, one that never occurs as 0, ``published with
        background`` the background too; ``occurring`` and ``occurring with background`` leave out classes
        without a true pixel. NaN where nothing is left.
        """
        values: NDArray[np.float64] = getattr(self, figure)
        there = self.pixels > 0
        sides = {"": slice(1, None), " with background": slice(None)}
        means = {}
        for suffix, part in sides.items():
            means[f"published{suffix}"] = _mean(values[part])
            means[f"occurring{suffix}"] = _mean(values[part][there[part]])
        return means


def confusion(truth: NDArray, predicted: NDArray | None, classes: int) -> NDArray[np.int64]:
    """Count the pixels of one photo by true and predicted class.

    Args:
        truth: uint8 ``[h, w]``: 0 background, then classes; 255 counts nowhere.
        predicted: the same shape; ``None`` where there is none. What is no class of these counts as no
            prediction.
        classes: without the background.

    Returns:
        int64 ``[1 + classes, 2 + classes]``, true by predicted; the last column is of no prediction, which is
        a miss of its true class and a false alarm of none.

    Raises:
        ValueError: the shapes differ.
    """
    none = classes + 1
    counted = truth <= classes
    true = truth[counted].astype(np.int64)
    if predicted is None:
        guessed = np.full_like(true, none)
    else:
        if predicted.shape != truth.shape:
            raise ValueError(f"{predicted.shape} predicted, {truth.shape} true")
        guessed = np.minimum(predicted[counted].astype(np.int64), none)
    cells = np.bincount(true * (none + 1) + guessed, minlength=(classes + 1) * (none + 1))
    return cells.reshape(classes + 1, none + 1)


def agreement(counts: NDArray[np.int64]) -> ClassAgreement:
    """Return the figures of a confusion matrix, true by predicted (as :func:`confusion`, or square)."""
    size = len(counts)
    hit = np.diagonal(counts).astype(np.float64)
    true = counts.sum(1)
    guessed = counts[:, :size].sum(0)
    return ClassAgreement(true, _ratio(hit, true + guessed - hit), _ratio(hit, guessed), _ratio(hit, true))


def photo_scores(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``TP - FN - FP`` of each class in one photo, int64 ``[1 + classes]``."""
    size = len(counts)
    hit = np.diagonal(counts)
    return 3 * hit - counts.sum(1) - counts[:, :size].sum(0)


def _ratio(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")

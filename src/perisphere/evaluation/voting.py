"""The class of an image by the vote of its neighbours, and how often it is right."""

from collections.abc import Hashable, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import UsageError

Vote = Literal["weighted", "majority", "legacy"]

TEMPERATURE = 0.07
"""Of the weights ``exp(score / temperature)``; the value that nearest-neighbour evaluation has used since Wu
et al. (Unsupervised Feature Learning via Non-Parametric Instance Discrimination, 2018)."""


def ranked_classes(
    classes: NDArray[np.int64], scores: NDArray, *, top: int = 5, vote: Vote = "weighted"
) -> NDArray[np.int64]:
    """Return the classes that each query's neighbours vote for, most votes first.

    Args:
        classes: of the neighbours, nearest first, int64 ``[q, k]``, -1 where there is no neighbour or no
            class.
        scores: of the neighbours, ``[q, k]``, higher is nearer.
        top: classes to return.
        vote: ``"majority"`` counts each neighbour once, ``"weighted"`` by ``exp(score / 0.07)``. Equal votes
            go to the class of the nearer neighbour, but with ``"legacy"``, which otherwise is ``"majority"``,
            to the smaller class number: the name that sorts first where classes are numbered by name.

    Returns:
        int64 ``[q, top]``, -1 where fewer classes have a vote.
    """
    if vote not in get_args(Vote):
        raise UsageError(f"vote {vote!r} is unknown; use one of {', '.join(get_args(Vote))}.")
    voting = classes >= 0
    best = np.max(scores, axis=1, keepdims=True, where=voting, initial=-np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        weights = np.exp((scores - best) / TEMPERATURE) if vote == "weighted" else np.ones(classes.shape)
    weights = np.where(voting, weights, 0).astype(np.float64)
    # The votes of a neighbour's class, given to the first neighbour of that class alone.
    votes = np.full(classes.shape, -1.0)
    for position in range(classes.shape[1]):
        same = classes == classes[:, position : position + 1]
        first = voting[:, position] & ~same[:, :position].any(axis=1)
        votes[first, position] = (weights * same).sum(axis=1)[first]
    # Of equal votes, the first in the order of the last key comes first.
    tie = classes if vote == "legacy" else np.broadcast_to(np.arange(classes.shape[1]), classes.shape)
    order = np.lexsort((tie, -votes), axis=1)[:, :top]
    chosen = np.where(np.take_along_axis(votes, order, 1) >= 0, np.take_along_axis(classes, order, 1), -1)
    return np.pad(chosen, ((0, 0), (0, top - chosen.shape[1])), constant_values=-1)


def accuracy(truth: NDArray[np.int64], ranked: NDArray[np.int64], top: int = 1) -> float:
    """Return the share of queries whose class is among their first ``top`` ranked classes."""
    return float(np.mean(_right(truth, ranked, top)))


def balanced_accuracy(truth: NDArray[np.int64], ranked: NDArray[np.int64]) -> float:
    """Return the mean over the classes of top-1 accuracy, so that every class counts alike."""
    _, of = np.unique(truth, return_inverse=True)
    return float(np.mean(np.bincount(of, weights=_right(truth, ranked, 1)) / np.bincount(of)))


def codes(labels: Sequence[Hashable], known: dict[Hashable, int]) -> NDArray[np.int64]:
    """Number ``labels`` by ``known``, which grows with each new label; ``None`` is -1."""
    return np.array(
        [-1 if label is None else known.setdefault(label, len(known)) for label in labels], np.int64
    )


def _right(truth: NDArray[np.int64], ranked: NDArray[np.int64], top: int) -> NDArray[np.bool_]:
    return (ranked[:, :top] == truth[:, None]).any(axis=1)

"""Hard negatives: for each query the nearest images of other classes, at most one of a class.

Source: Radenovic et al., "Fine-tuning CNN image retrieval with no human annotation", PAMI 2019, section 3.3.
"""

from dataclasses import dataclass

import numpy as np

from perisphere.errors import PerisphereError

BLOCK = 256  # queries whose scores are held at once
EPSILON = 1e-6


@dataclass(frozen=True)
class Mined:
    """Hard negatives.

    Attributes:
        negatives: int64 ``[q, k]``, positions in the pool, nearest first.
        distance: mean Euclidean distance of the queries to them, to watch how hard they are.
    """

    negatives: np.ndarray
    distance: float


def hard_negatives(
    queries: np.ndarray, query_classes: np.ndarray, pool: np.ndarray, pool_classes: np.ndarray, count: int
) -> Mined:
    """Find the ``count`` nearest pool images for each query, each of another class and none of the query's.

    A class gives one image at most, so only its nearest can be taken, and the classes are ranked by that.
    Equal scores stand in the order of the pool. Memory is bounded by a block of queries.

    Args:
        queries: float ``[q, d]``, unit rows.
        query_classes: int ``[q]``.
        pool: float ``[p, d]``, unit rows.
        pool_classes: int ``[p]``.
        count: negatives of each query.

    Raises:
        PerisphereError: the pool has too few classes besides a query's own.
    """
    classes, numbers = np.unique(pool_classes, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    sorted_pool = pool[order]
    starts = np.searchsorted(numbers[order], np.arange(len(classes)))
    own = _positions(query_classes, classes)
    _check(len(classes), own, count)
    found = np.empty((len(queries), count), np.int64)
    total = 0.0
    for begin in range(0, len(queries), BLOCK):
        rows = slice(begin, begin + BLOCK)
        scores = queries[rows] @ sorted_pool.T
        nearest = order[_first_of_best(scores, starts)]  # [b, classes], the nearest image of each class
        best = np.maximum.reduceat(scores, starts, axis=1)
        mine = np.flatnonzero(own[rows] >= 0)
        best[mine, own[rows][mine]] = -np.inf
        # By score, then by place in the pool.
        ranked = np.lexsort((nearest, -best), axis=1)[:, :count]
        found[rows] = np.take_along_axis(nearest, ranked, axis=1)
        apart = queries[rows][:, None] - pool[found[rows]] + EPSILON
        total += float(np.sqrt((apart**2).sum(2)).sum())
    return Mined(found, total / max(found.size, 1))


def _positions(query_classes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return each query's class as a position in ``classes``; -1 where the pool has none of it."""
    at = np.searchsorted(classes, query_classes).clip(max=max(len(classes) - 1, 0))
    return np.where(classes[at] == query_classes, at, -1) if len(classes) else np.full(len(query_classes), -1)


def _check(classes: int, own: np.ndarray, count: int) -> None:
    if count < 1:
        raise PerisphereError(f"negatives: {count} of each query; give at least 1.")
    left = classes - int((own >= 0).any())
    if len(own) and left < count:
        raise PerisphereError(
            f"negatives: a query needs {count} from as many other classes, the pool has {left}. "
            "Lower the number of negatives or take a larger pool."
        )


def _first_of_best(scores: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the column of the highest score between each start and the next, the first one on a tie."""
    ends = [*starts[1:], scores.shape[1]]
    parts = [scores[:, a:b].argmax(1) + a for a, b in zip(starts, ends, strict=True)]
    return np.stack(parts, axis=1)

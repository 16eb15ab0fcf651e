"""Lengths, directions and distances of rows of float32 arrays."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError, nearest

Vectors = NDArray[np.float32]
Metric = Literal["cosine", "l2", "l1"]
METRICS: tuple[str, ...] = get_args(Metric)

UNIT_TOLERANCE = 1e-6
"""Rows whose length differs from 1 by less than this are unit rows (float32 rounds to 6e-8)."""


def check_metric(metric: str) -> None:
    """Refuse a metric that is not in :data:`METRICS`.

    Raises:
        UsageError: names the metric and the ones there are.
    """
    if metric not in METRICS:
        known = ", ".join(METRICS)
        raise UsageError(f"metric {metric!r} is unknown; use one of {known}.{nearest(metric, list(METRICS))}")


def as_vectors(values: NDArray, name: str = "vectors") -> Vectors:
    """Return ``values`` as C-contiguous float32 ``[n, d]``, without a copy where it is that already.

    Raises:
        PerisphereError: not two-dimensional, or no columns.
    """
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise PerisphereError(f"{name}: expected an array of shape [n, d], got {list(array.shape)}.")
    return np.ascontiguousarray(array, dtype=np.float32)


def lengths(vectors: NDArray) -> Vectors:
    """Return the Euclidean length of each row, float32 ``[n]``."""
    return np.sqrt(_squares(vectors))


def finite_squares(vectors: NDArray, name: str = "vectors") -> Vectors:
    """Return the squared length of each row, float32 ``[n]``, refusing NaN and infinity.

    Raises:
        PerisphereError: names the first row that is not finite.
    """
    found = _squares(vectors)
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise PerisphereError(
            f"{name}: row {bad[0]} has values that are NaN, infinite or too large "
            f"({len(bad)} such rows); remove these rows or embed their images again."
        )
    return found


def is_unit(squares: NDArray) -> bool:
    """Say whether all rows of these squared lengths lie on the unit sphere, within the tolerance."""
    return bool(np.all(np.abs(np.sqrt(squares) - 1) < UNIT_TOLERANCE))


def normalise(vectors: NDArray) -> Vectors:
    """Return the rows scaled to length 1, float32 ``[n, d]``; a row of zeros has no direction and stays.

    Raises:
        PerisphereError: a row that is not finite.
    """
    array = as_vectors(vectors)
    row_lengths: Vectors = np.sqrt(finite_squares(array))
    row_lengths[row_lengths == 0] = 1
    unit: Vectors = array / row_lengths[:, None]
    return unit


def _squares(vectors: NDArray) -> Vectors:
    # Unlike (vectors ** 2).sum(1), this needs no temporary of the input's size.
    return np.einsum("ij,ij->i", vectors, vectors)


def cosine(a: NDArray, b: NDArray) -> Vectors:
    """Return the cosine similarity of every row of ``a [n, d]`` with each of ``b [m, d]``: ``[n, m]``."""
    check_same_dim(a, b)
    return normalise(a) @ normalise(b).T


def l2(a: NDArray, b: NDArray) -> Vectors:
    """Return the Euclidean distance of every row of ``a [n, d]`` to every row of ``b [m, d]``: ``[n, m]``."""
    from perisphere.sphere.engine import faiss

    check_same_dim(a, b)
    squared = faiss.pairwise_distances(as_vectors(a), as_vectors(b), faiss.METRIC_L2)
    return np.sqrt(np.maximum(squared, 0, out=squared), out=squared)


def l1(a: NDArray, b: NDArray) -> Vectors:
    """Return the sum of absolute differences of every row of ``a [n, d]`` and of ``b [m, d]``: ``[n, m]``."""
    from perisphere.sphere.engine import faiss

    check_same_dim(a, b)
    return faiss.pairwise_distances(as_vectors(a), as_vectors(b), faiss.METRIC_L1)


def check_same_dim(a: NDArray, b: NDArray) -> None:
    """Refuse two sets of rows of different dimension.

    Raises:
        PerisphereError: names both dimensions.
    """
    if a.shape[-1] != b.shape[-1]:
        raise PerisphereError(
            f"vectors of {a.shape[-1]} dimensions cannot be compared with vectors of {b.shape[-1]}; "
            "embed both with the same encoder."
        )

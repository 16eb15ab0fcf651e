"""What may enter an index or ask it: finite rows of the right length, not zero where directions count."""

from __future__ import annotations

from math import isfinite

import numpy as np

from perisphere.errors import PerisphereError


def matrix(vectors: np.ndarray, dim: int, what: str = "vectors") -> np.ndarray:
    """Return ``vectors`` as an array ``[n, dim]`` of a floating type, one row where it has one axis; no copy.

    Raises:
        PerisphereError: another type, number of axes or dimension.
    """
    vectors = np.asarray(vectors)
    if vectors.ndim == 1:
        vectors = vectors[None]
    if vectors.dtype.kind != "f":
        raise PerisphereError(
            f"The {what} are of type {vectors.dtype}: give floating-point numbers (float32)."
        )
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise PerisphereError(
            f"The {what} have the shape {list(vectors.shape)}, and this index is of dimension {dim}: "
            f"give [n, {dim}], from the encoder that made the index."
        )
    return vectors


def clean(block: np.ndarray, metric: str, *, first: int = 0, what: str = "vector") -> np.ndarray:
    """Return a block of rows as float32 in C order, of length 1 for cosine.

    Args:
        block: floating ``[n, d]``.
        metric: the metric that the rows are for.
        first: the number of the first row, for the message.
        what: the name of a row, for the message.

    Raises:
        PerisphereError: a row that is not finite, or a row of zeros where only directions count.
    """
    rows = _float32(block)
    norms = np.einsum("ij,ij->i", rows, rows)
    if len(norms) and not isfinite(norms.max()):  # the largest is NaN where any is
        bad = int(np.argmin(np.isfinite(norms)))
        cause = "is too long for float32" if np.isfinite(block[bad]).all() else "holds NaN or infinity"
        raise PerisphereError(f"The {what} {first + bad} {cause}: leave it out, or repair what made it.")
    if metric != "cosine":
        return rows
    if len(norms) and norms.min() <= 0:
        bad = int(np.argmin(norms))
        raise PerisphereError(
            f"The {what} {first + bad} is zero and has no direction: leave it out, or use the metric l2."
        )
    return rows / np.sqrt(norms)[:, None]


def _float32(block: np.ndarray) -> np.ndarray:
    if block.dtype == np.float32:
        return np.ascontiguousarray(block)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(block, dtype=np.float32)

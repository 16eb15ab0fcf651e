"""The nearest codes of each query, by lookup tables and without an index."""

import numpy as np
from numpy.typing import NDArray

from perisphere.codes.codebooks import Codebooks
from perisphere.errors import UsageError
from perisphere.metrics.scoring import CodeScores
from perisphere.progress import bar

BLOCK = 64
"""Queries whose tables are held at a time."""


def nearest_codes(
    codebooks: Codebooks, codes: NDArray[np.uint8], queries: NDArray, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rank codes by the inner product of what they decode to with each query.

    Args:
        codebooks: what the codes mean.
        codes: uint8 ``[n, M]``.
        queries: float ``[q, d]``; decoded ones make the search symmetric.
        k: results a query.

    Returns:
        Rows, int64 ``[q, k]``, best first, those of equal score in their order, and scores, float32
        ``[q, k]``, with ``k`` at most ``n``.

    Raises:
        UsageError: ``k`` is not positive.
    """
    if k < 1:
        raise UsageError(f"k is {k}; it must be at least 1.")
    width = min(k, len(codes))
    rows = np.empty((len(queries), width), np.int64)
    scores = np.empty((len(queries), width), np.float32)
    if not len(queries) or not width:
        return rows, scores
    scored = CodeScores(queries, codebooks.tables, codes)
    with bar("searching", len(queries), "queries") as advance:
        for start in range(0, len(queries), BLOCK):
            row_of = scored.block(slice(start, start + BLOCK))
            for place in range(start, min(start + BLOCK, len(queries))):
                rows[place], scores[place] = _first(row_of(place - start), width)
                advance()
    return rows, scores


def _first(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the ``k`` highest scores, those that are equal in the order of the rows."""
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    near = np.flatnonzero(scores >= least)
    rows = near[np.argsort(-scores[near], kind="stable")[:k]]
    return rows, scores[rows]

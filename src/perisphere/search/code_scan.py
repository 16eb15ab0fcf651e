"""The nearest codes of each query, by lookup tables and without an index."""

import numpy as np
from numpy.typing import NDArray

from perisphere.codes.codebooks import Codebooks
from perisphere.errors import UsageError
from perisphere.index.scan import scan
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
    with bar("searching", len(queries), "queries") as advance:
        for start in range(0, len(queries), BLOCK):
            block = slice(start, start + BLOCK)
            rows[block], scores[block] = scan(codes, codebooks.tables(queries[block]), k)
            advance(len(rows[block]))
    return rows, scores

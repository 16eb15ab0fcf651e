"""The k nearest rows, exactly, in blocks of queries."""

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import UsageError
from perisphere.sphere.geometry import (
    Metric,
    Vectors,
    as_vectors,
    check_metric,
    check_same_dim,
    finite_squares,
    is_unit,
    normalise,
)


def top_k(
    queries: NDArray, gallery: NDArray, k: int, *, metric: Metric = "cosine", block: int = 4096
) -> tuple[NDArray[np.int64], Vectors]:
    """Find the ``k`` gallery rows nearest to each query, best first.

    Args:
        queries: ``[q, d]``.
        gallery: ``[n, d]``; copied once where ``metric`` is cosine and its rows are not unit rows.
        k: neighbours of a query.
        metric: cosine similarity, or Euclidean (l2) or absolute (l1) distance.
        block: queries searched at a time.

    Returns:
        Positions in the gallery, int64 ``[q, k]`` (-1 where the gallery has fewer than ``k`` rows), and
        scores, float32 ``[q, k]``: the cosine, or the negated distance, so that higher is always better.

    Raises:
        PerisphereError: different dimensions, or rows that are not finite.
    """
    from perisphere.sphere.engine import faiss

    check_metric(metric)
    if k < 1:
        raise UsageError(f"k is {k}; it must be at least 1.")
    queries, gallery = as_vectors(queries, "queries"), as_vectors(gallery, "gallery")
    check_same_dim(queries, gallery)
    unit = is_unit(finite_squares(gallery, "gallery"))
    finite_squares(queries, "queries")
    if metric == "cosine":
        queries = normalise(queries)
        gallery = gallery if unit else normalise(gallery)
    kinds = {"cosine": faiss.METRIC_INNER_PRODUCT, "l2": faiss.METRIC_L2, "l1": faiss.METRIC_L1}
    ids = np.full((len(queries), k), -1, np.int64)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    width = min(k, len(gallery))
    for start in range(0, len(queries) if width else 0, block):
        rows = slice(start, start + block)
        found, positions = faiss.knn(queries[rows], gallery, width, metric=kinds[metric])
        ids[rows, :width], scores[rows, :width] = positions, _as_scores(found, metric)
    return ids, scores


def _as_scores(found: Vectors, metric: Metric) -> Vectors:
    if metric == "cosine":
        return found
    # FAISS's l2 is squared and may round to just below zero.
    return -np.sqrt(np.maximum(found, 0)) if metric == "l2" else -found

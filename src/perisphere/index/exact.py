"""Exact search: the matrix of vectors, segment by segment, with the k best of each merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from perisphere.index.ranking import NONE
from perisphere.index.snapshot import Segment, Snapshot

METRICS = ("cosine", "l2", "l1")
GATHER_BYTES = 16 << 20
SPARE = 8

Found = tuple[np.ndarray, np.ndarray]
"""ids int64 ``[q, m]`` and scores float32 ``[q, m]``, higher is better."""

Piece = tuple[np.ndarray, np.ndarray]
"""ids int64 ``[n]`` and vectors float32 ``[n, d]``."""


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the rows at length 1, float32; a row of zeros stays."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32))[:, None]
    return np.divide(vectors, norms, where=norms > 0, out=np.zeros_like(vectors))


def scores_of(queries: np.ndarray, vectors: np.ndarray, metric: str) -> np.ndarray:
    """Return the scores float32 ``[q, m]`` of each query with its own ``vectors`` (float32 ``[q, m, d]``)."""
    if metric == "cosine":
        return np.einsum("qd,qmd->qm", queries, vectors)
    difference = vectors - queries[:, None, :]
    if metric == "l1":
        return -np.abs(difference).sum(axis=2)
    return -np.sqrt(np.einsum("qmd,qmd->qm", difference, difference))


def nearest(queries: np.ndarray, ids: np.ndarray, vectors: np.ndarray, k: int, metric: str) -> Found:
    """Return the ``min(k, n)`` best of ``vectors`` float32 ``[n, d]``; for cosine, unit rows."""
    from perisphere.sphere.engine import faiss

    if metric == "l2":
        return _nearest_l2(queries, ids, vectors, k)
    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L1
    scores, places = faiss.knn(queries, vectors, min(k, len(vectors)), metric=kind)
    return ids[places], scores if metric == "cosine" else -scores


def _nearest_l2(queries: np.ndarray, ids: np.ndarray, vectors: np.ndarray, k: int) -> Found:
    """Find by matrix products, rank by true distances.

    ``|q|^2 + |v|^2 - 2qv`` cancels where points are near to each other and far from the origin. Some more
    than ``k`` are found; where the last of them is not clearly farther than the k-th, the query is searched
    again with the origin moved into the middle of the vectors.
    """
    places, scores, sure = _near_l2(queries, vectors, vectors, k, queries)
    if not sure.all():
        middle = vectors.mean(axis=0)
        again = queries[~sure]
        places[~sure], scores[~sure], _ = _near_l2(again - middle, vectors - middle, vectors, k, again)
    return ids[places], scores


def _near_l2(
    moved_queries: np.ndarray, moved: np.ndarray, vectors: np.ndarray, k: int, queries: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Search ``moved``, score with ``vectors``; return places and scores ``[q, k]``, and who is sure."""
    from perisphere.sphere.engine import faiss

    count = min(k + SPARE, len(moved))
    squared, places = faiss.knn(moved_queries, moved, count, metric=faiss.METRIC_L2)
    scores = scores_of_places(queries, vectors, places, "l2")
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(scores, order, axis=1)
    farthest, length = -scores[:, -1], np.linalg.norm(moved_queries, axis=1)
    error = 1e-6 * (2 * length + farthest) ** 2  # of a squared distance that matters, by rounding
    sure = (count == len(moved)) | (squared[:, -1] - farthest**2 > error)
    return np.take_along_axis(places, order, axis=1), scores, sure


def scores_of_places(queries: np.ndarray, vectors: np.ndarray, places: np.ndarray, metric: str) -> np.ndarray:
    """Return the scores float32 ``[q, m]`` of ``vectors[places[i]]`` with ``queries[i]``, in blocks."""
    scores = np.empty(places.shape, dtype=np.float32)
    step = max(1, GATHER_BYTES // (4 * vectors.shape[1] * max(1, places.shape[1])))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        scores[part] = scores_of(queries[part], vectors[places[part]], metric)
    return scores


def best(parts: Iterable[Found], queries: int, k: int) -> Found:
    """Merge what several parts have found into the ``k`` best; -1 and -inf where there are fewer."""
    ids, scores = np.empty((queries, 0), dtype=np.int64), np.empty((queries, 0), dtype=np.float32)
    for more_ids, more_scores in parts:
        if not ids.shape[1]:  # the first part, and often the only one
            ids, scores = more_ids, more_scores
            continue
        ids = np.concatenate([ids, more_ids], axis=1)
        scores = np.concatenate([scores, more_scores], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        ids, scores = np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)
    if ids.shape[1] < k:
        missing = ((0, 0), (0, k - ids.shape[1]))
        ids = np.pad(ids, missing, constant_values=NONE)
        scores = np.pad(scores, missing, constant_values=-np.inf)
    return ids, scores


def search(pieces: Iterable[Piece], queries: np.ndarray, k: int, metric: str, *, normalised: bool) -> Found:
    """Return the ``k`` nearest rows of each query, exactly.

    Args:
        pieces: the rows, from :func:`everything` or :func:`gathered`.
        queries: float32 ``[q, d]``, of length 1 for cosine.
        k: how many.
        metric: one of :data:`METRICS`.
        normalised: whether the rows are of length 1 already.
    """
    parts = (
        nearest(queries, ids, unit(vectors) if metric == "cosine" and not normalised else vectors, k, metric)
        for ids, vectors in pieces
    )
    return best(parts, len(queries), k)


def everything(snapshot: Snapshot) -> Iterator[Piece]:
    """Yield all rows, where they lie."""
    yield from ((segment.ids, segment.vectors) for segment in snapshot.segments)


def gathered(snapshot: Snapshot, places: list[np.ndarray]) -> Iterator[Piece]:
    """Yield copies of the rows at ``places`` of each segment, at most :data:`GATHER_BYTES` at a time."""
    pending: list[tuple[Segment, np.ndarray]] = []
    room = full = max(1, GATHER_BYTES // (4 * snapshot.dim))
    for segment, chosen in zip(snapshot.segments, places, strict=True):
        while len(chosen):
            pending.append((segment, chosen[:room]))
            room, chosen = room - len(pending[-1][1]), chosen[room:]
            if not room:
                yield _gathered(pending)
                pending, room = [], full
    if pending:
        yield _gathered(pending)


def _gathered(parts: list[tuple[Segment, np.ndarray]]) -> Piece:
    ids = np.concatenate([segment.ids[places] for segment, places in parts])
    vectors = np.empty((len(ids), parts[0][0].vectors.shape[1]), dtype=np.float32)
    start = 0
    for segment, places in parts:
        end = start + len(places)
        np.take(segment.vectors, places, axis=0, out=vectors[start:end], mode="clip")
        start = end
    return ids, vectors

"""The short list: what codes propose is ranked by the vectors, of which only these are read."""

from __future__ import annotations

import sqlite3

import numpy as np

from perisphere.index.exact import GATHER_BYTES, Found
from perisphere.index.ranking import NONE
from perisphere.index.store import read_rows


def by_vectors(connection: sqlite3.Connection, queries: np.ndarray, candidates: np.ndarray, k: int) -> Found:
    """Return the ``k`` candidates of each query with the largest cosines; of equal ones the lower id.

    Args:
        connection: that reads the store.
        queries: float32 ``[q, d]``, unit rows.
        candidates: ids int64 ``[q, m]``, :data:`NONE` where there are fewer.
        k: how many, at most ``m``.

    Raises:
        MissingVectorError: a candidate has no vector (any more).
    """
    ids = np.full((len(queries), k), NONE, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    step = max(1, GATHER_BYTES // (4 * queries.shape[1] * max(1, candidates.shape[1])))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        ids[part], scores[part] = _ranked(connection, queries[part], candidates[part], k)
    return ids, scores


def _ranked(connection: sqlite3.Connection, queries: np.ndarray, candidates: np.ndarray, k: int) -> Found:
    there = candidates != NONE
    unique, back = np.unique(candidates[there], return_inverse=True)
    vectors = np.empty((len(unique), queries.shape[1]), dtype=np.float32)
    start = 0
    for found, rows in read_rows(connection, queries.shape[1], unique):
        vectors[start : start + len(found)] = rows
        start += len(found)
    places = np.zeros(candidates.shape, dtype=np.int64)
    places[there] = back
    scores = np.full(candidates.shape, -np.inf, dtype=np.float32)
    for query, vector in enumerate(queries):
        own = there[query]
        scores[query, own] = vectors[places[query, own]] @ vector
    order = np.lexsort((candidates, -scores))[:, :k]
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(scores, order, axis=1)

"""Search of codes by tables: the score of a code is the sum of one number a book.

FAISS scans them: a product quantizer whose words are the numbers of a query's table, one number each, scores
a vector of ones with just these sums. So its fast code serves every kind of codebooks, and reads the codes
where they lie. Tables are rounded to a grid on which sums of float32 are exact: scores are then the same in
any order and on any number of threads, equal codes have equal scores, and ties can be told by place.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]

WORDS = 256
SPARE = 32
"""Codes beyond the k-th that are asked of FAISS: ties over the k-th place are seldom more."""

WHOLE_SHARE = 8
"""From an eighth of the codes on all are scored and sorted: a heap of so many is slower."""

PARALLEL = 1 << 17
"""Scores from which threads pay."""

BLOCK = 1 << 16

_Found = tuple[Places, Floats]


def scan(codes: Codes, tables: Floats, k: int) -> tuple[Places, Floats]:
    """Return the ``k`` best codes of each query, best first; of equal scores the lower place.

    Args:
        codes: uint8 ``[n, M]``, C order.
        tables: float32 ``[q, M, K]``, ``K`` at most 256: a query's inner products with all words.
        k: how many.

    Returns:
        places int64 and scores float32, ``[q, min(k, n)]``. A score is within ``M`` / 2^23 of the largest
        possible one from the sum of its numbers.
    """
    k = min(k, len(codes))
    tables = rounded(tables)
    if not k or not len(tables):
        return np.empty((len(tables), k), np.int64), np.empty((len(tables), k), np.float32)
    found = _each_whole(codes, tables, k) if k * WHOLE_SHARE > len(codes) else _each(codes, tables, k)
    places, scores = zip(*found, strict=True)
    return np.stack(places), np.stack(scores)


def rounded(tables: Floats) -> Floats:
    """Return tables ``[q, M, 256]`` (zeros beyond ``K``) whose numbers can be summed without an error.

    A query's numbers become multiples of 2^-23 of a power of two that no sum of them exceeds.
    """
    most = np.abs(tables).max(axis=2, initial=0).astype(np.float64).sum(axis=1)
    step = np.exp2(np.frexp(most)[1] - 23.0)[:, None, None]
    exact = np.zeros((*tables.shape[:2], WORDS), np.float32)
    exact[:, :, : tables.shape[2]] = np.rint(tables / step) * step
    return exact


def sums(codes: Codes, table: Floats) -> Floats:
    """Return the score of each code, float32 ``[n]``."""
    total = table[0].take(codes[:, 0])
    for book in range(1, len(table)):
        total += table[book].take(codes[:, book])
    return total


def _each_whole(codes: Codes, tables: Floats, k: int) -> Iterable[_Found]:
    for table in tables:
        scores = sums(codes, table)
        order = np.argsort(-scores, kind="stable")[:k]
        yield order, scores[order]


def _each(codes: Codes, tables: Floats, k: int) -> Iterable[_Found]:
    """Share the work out: among threads by queries, and by pieces of the codes where queries are few."""
    from perisphere.sphere.engine import faiss

    threads = faiss.omp_get_max_threads() if len(codes) * len(tables) >= PARALLEL else 1
    step = -(-len(codes) // -(-threads // len(tables)))
    pieces = [codes[start : start + step] for start in range(0, len(codes), step)]
    jobs = [(piece, table) for table in tables for piece in pieces]
    candidates = partial(_candidates, k=k + SPARE)
    if threads == 1:
        found = [candidates(job) for job in jobs]
    else:
        # Each worker scans alone: a team of OpenMP within every thread would only wait for cores.
        with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
            found = list(pool.map(candidates, jobs))
    for query, table in enumerate(tables):
        yield _decided(pieces, found[query * len(pieces) :][: len(pieces)], table, k)


def _candidates(job: tuple[Codes, Floats], k: int) -> _Found:
    """Return ``k`` best of a piece in FAISS's order, which leaves open who of equal ones is among them."""
    from perisphere.index.ann import untyped_faiss

    faiss, (codes, table) = untyped_faiss(), job
    k, books = min(k, len(codes)), len(table)
    quantizer = faiss.ProductQuantizer(books, books, 8)
    faiss.copy_array_to_vector(table.ravel(), quantizer.centroids)
    scores, places = np.empty((1, k), np.float32), np.empty((1, k), np.int64)
    heap: Any = faiss.float_minheap_array_t()
    heap.nh, heap.k, heap.val, heap.ids = 1, k, faiss.swig_ptr(scores), faiss.swig_ptr(places)
    ones = np.ones((1, books), np.float32)
    quantizer.search_ip(faiss.swig_ptr(ones), 1, faiss.swig_ptr(codes), len(codes), heap)
    return places[0], scores[0]


def _decided(pieces: list[Codes], found: list[_Found], table: Floats, k: int) -> _Found:
    """Merge what pieces have found: all better than the k-th score, and of those equal to it the first."""
    starts = np.cumsum([0, *map(len, pieces)])
    scores = np.concatenate([score for _, score in found])
    places = np.concatenate([start + place for start, (place, _) in zip(starts[:-1], found, strict=True)])
    last = np.partition(scores, len(scores) - k)[len(scores) - k]
    better = scores > last
    missing = k - int(better.sum())
    tied = [
        start + _tied(piece, each, table, last, missing)
        for start, piece, each in zip(starts[:-1], pieces, found, strict=True)
    ]
    places = np.concatenate([places[better], np.concatenate(tied)[:missing]])
    scores = np.concatenate([scores[better], np.full(missing, last, np.float32)])
    order = np.lexsort((places, -scores))
    return places[order], scores[order]


def _tied(codes: Codes, found: _Found, table: Floats, score: np.float32, count: int) -> Places:
    """Return the first ``count`` places with this score, ascending; scan again where some may be unseen."""
    places, scores = found
    if len(places) == len(codes) or scores[-1] < score:
        return np.sort(places[scores == score])[:count]
    seen: list[Places] = []
    for start in range(0, len(codes), BLOCK):
        seen.append(start + np.flatnonzero(sums(codes[start : start + BLOCK], table) == score))
        count -= len(seen[-1])
        if count <= 0:
            break
    return np.concatenate(seen)

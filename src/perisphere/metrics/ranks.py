"""The exact rank of every relevant image, without sorting the gallery and without an n x n matrix.

Retrieval metrics need only the ranks of the relevant images. The rank of one is one more than the number of
images that score above it, so ranks are counted, in blocks of queries: one matrix product gives the scores
of a block, and then each row is compared with the scores of its few relevant images.

Two floors hold for q queries, n gallery rows and d dimensions:

* arithmetic: the matrix product, ``2 q n d`` operations;
* bytes: each score is written once and read once, ``8 q n``.

Counting ``p`` relevant images of a query costs ``p n`` comparisons, but eight to sixteen of them go through
the processor at a time and come from its cache: with 20 relevant images a query, 2 cores with AVX2 need 0.25
ms per 100,000 scores for what a product of 512 dimensions computes in 0.8 ms. Binary search among the
relevant scores (``bucketize``, ``searchsorted``) needs fewer steps but one branch at a time: 1.2 ms on both
cores. Above :data:`SORT_FROM` relevant images sorting the row is cheaper, and when few images reach the
lowest relevant one (a good encoder) the others are dropped first. ``benchmarks/evaluation.py`` measures the
whole against the product alone.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import UsageError
from perisphere.metrics.matching import Positions, Rows
from perisphere.sphere.geometry import (
    Metric,
    Vectors,
    as_vectors,
    check_metric,
    check_same_dim,
    finite_squares,
    is_unit,
)

Mask = NDArray[np.bool_]
Ties = Literal["pessimistic", "optimistic"]

MISSING = int(np.iinfo(np.int64).max)
"""The rank of a relevant image that a list, cut short, lacks: its precision is 0, and no depth reaches it."""

SORT_FROM = 64
"""Relevant images of a query from which on sorting its scores is cheaper than counting."""

BLOCK_BYTES = 128 * 2**20
"""Two blocks of scores, where the caller gives no block."""

_COMPARED_AT_ONCE = 20
_SLICE = 2**17
_LANES = 128 * 8
_SAMPLED = 61


@dataclass(frozen=True)
class Ranks:
    """Ranks of the relevant images of some queries, query after query.

    Attributes:
        values: 1-based ranks, ascending within a query, int64 ``[p]``; :data:`MISSING` for an image that
            a list, cut short, lacks.
        counts: relevant images of each query, int64 ``[q]``; they sum to p.
        candidates: gallery rows that took part for each query (all but the ignored ones), int64 ``[q]``.
    """

    values: NDArray[np.int64]
    counts: NDArray[np.int64]
    candidates: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.counts)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each query's ranks begin in ``values``, ``[q]``."""
        return np.cumsum(self.counts) - self.counts

    @cached_property
    def query(self) -> NDArray[np.int64]:
        """The query of each rank, ``[p]``."""
        return np.repeat(np.arange(len(self)), self.counts)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """1 for the first relevant image of a query, 2 for the second, and so on, ``[p]``."""
        return np.arange(1, len(self.values) + 1) - np.repeat(self.starts, self.counts)

    @cached_property
    def precision(self) -> NDArray[np.float64]:
        """The share of relevant images up to each one, ``[p]``; 0 at one that is missing."""
        return np.where(self.values == MISSING, 0.0, self.order / self.values)

    def of(self, query: int) -> NDArray[np.int64]:
        """Return the ranks of one query's relevant images."""
        start = self.starts[query]
        return self.values[start : start + self.counts[query]]

    @classmethod
    def join(cls, parts: Sequence["Ranks"]) -> "Ranks":
        """Put the queries of ``parts`` one after another."""
        empty = [np.empty(0, np.int64)]
        return cls(
            np.concatenate([part.values for part in parts] or empty),
            np.concatenate([part.counts for part in parts] or empty),
            np.concatenate([part.candidates for part in parts] or empty),
        )


def exact_ranks(queries: NDArray, gallery: NDArray, relevant: Rows, **options: object) -> Ranks:
    """Return the ranks of all relevant images of all queries; arguments as in :func:`rank_blocks`."""
    return Ranks.join(list(rank_blocks(queries, gallery, relevant, **options)))  # type: ignore[arg-type]


def rank_blocks(
    queries: NDArray,
    gallery: NDArray,
    relevant: Rows,
    *,
    ignored: Rows | None = None,
    metric: Metric = "cosine",
    ties: Ties = "pessimistic",
    block: int | None = None,
    threads: int | None = None,
) -> Iterator[Ranks]:
    """Yield the ranks of the relevant images, one block of queries after another.

    Args:
        queries: float32 ``[q, d]``.
        gallery: float32 ``[n, d]``, in memory or memory-mapped; neither copied nor reordered.
        relevant: the gallery rows that are right for a query.
        ignored: the gallery rows that count neither as right nor as wrong for a query; they win over
            ``relevant``.
        metric: cosine similarity, or Euclidean (l2) or absolute (l1) distance.
        ties: ``"pessimistic"`` ranks a wrong image before a relevant one of the same score, ``"optimistic"``
            after.
        block: queries at a time; memory beyond the inputs is that of two blocks of scores, ``8 * block * n``
            bytes, by default 128 MiB.
        threads: for counting; by default as many as FAISS uses.

    Raises:
        PerisphereError: different dimensions, or rows that are not finite.
        UsageError: an option outside its values.
    """
    _check(metric, ties, block)
    queries, gallery = as_vectors(queries, "queries"), as_vectors(gallery, "gallery")
    check_same_dim(queries, gallery)
    finite_squares(queries, "queries")
    threads = threads or default_threads()
    size = min(block or max(1, BLOCK_BYTES // (8 * max(1, len(gallery)))), max(1, len(queries)))
    finish = _finish(gallery, metric)
    buffers = [np.empty((size, len(gallery)), np.float32) for _ in range(min(2, -(-len(queries) // size)))]
    masks = [_mask(len(gallery)) for _ in range(threads)]

    def rank_rows(scores: Vectors, start: int, worker: int) -> list[tuple[NDArray[np.int64], int]]:
        found = []
        for index in range(worker, len(scores), threads):
            row, query = scores[index], start + index
            finish(row)
            aside = None if ignored is None else ignored(query)
            found.append(_rank_row(row, relevant(query), aside, ties, masks[worker]))
        return found

    with ThreadPoolExecutor(threads) as pool:
        counting: list[Future[list[tuple[NDArray[np.int64], int]]]] = []
        for number, start in enumerate(range(0, len(queries), size)):
            # The product of a block fills the gaps that the threads leave while they count the one before.
            scores = _score(queries[start : start + size], gallery, metric, buffers[number % 2])
            if counting:
                yield _gather([job.result() for job in counting])
            counting = [pool.submit(rank_rows, scores, start, worker) for worker in range(threads)]
        if counting:
            yield _gather([job.result() for job in counting])


def _check(metric: str, ties: str, block: int | None) -> None:
    check_metric(metric)
    if ties not in ("pessimistic", "optimistic"):
        raise UsageError(f"ties {ties!r} is unknown; use 'pessimistic' or 'optimistic'.")
    if block is not None and block < 1:
        raise UsageError(f"block is {block}; it must be at least 1 query.")


def default_threads() -> int:
    """Return how many threads FAISS uses."""
    from perisphere.sphere.engine import faiss

    return faiss.omp_get_max_threads()


def _mask(columns: int) -> Mask:
    width = min(_SLICE, -(-columns // _LANES) * _LANES)
    return np.zeros((_COMPARED_AT_ONCE, max(width, _LANES)), np.bool_)


def _score(queries: Vectors, gallery: Vectors, metric: Metric, buffer: Vectors) -> Vectors:
    """Fill ``buffer`` with scores that :func:`_finish` completes; return the rows that are filled."""
    scores = buffer[: len(queries)]
    if metric == "l1":
        from perisphere.sphere.engine import faiss

        return np.negative(faiss.pairwise_distances(queries, gallery, faiss.METRIC_L1), out=scores)
    return np.matmul(queries, gallery.T, out=scores)


def _finish(gallery: Vectors, metric: Metric) -> Callable[[Vectors], None]:
    """Return what turns a row of products into scores in the order of ``metric``, in place.

    The query's own length changes no rank, so cosine divides by the gallery's lengths alone, and
    ``|q - g|^2 = |q|^2 - 2 (qg - |g|^2 / 2)`` makes Euclidean distance a subtraction.
    """
    squares = finite_squares(gallery, "gallery")
    if metric == "cosine" and not is_unit(squares):
        inverse = 1 / np.sqrt(np.where(squares == 0, 1, squares))

        def divide(row: Vectors) -> None:
            np.multiply(row, inverse, out=row)

        return divide
    if metric == "l2":
        half = squares / 2

        def subtract(row: Vectors) -> None:
            np.subtract(row, half, out=row)

        return subtract
    return lambda row: None


def _rank_row(
    row: Vectors, positives: Positions, ignored: Positions | None, ties: Ties, mask: Mask
) -> tuple[NDArray[np.int64], int]:
    """Return the ascending ranks of ``positives`` and the number of gallery rows that took part."""
    aside = positives
    candidates = len(row)
    if ignored is not None and len(ignored):
        positives = positives[~np.isin(positives, ignored)]
        aside = np.concatenate([positives, ignored])
        candidates -= len(ignored)
    if not len(positives):
        return np.empty(0, np.int64), candidates
    thresholds = np.sort(row[positives])[::-1]
    # Only wrong images push a relevant one down, beside the relevant ones before it.
    wrong = _count_above(row, thresholds, ties, mask) - _count_sorted(np.sort(row[aside]), thresholds, ties)
    return wrong + np.arange(1, len(positives) + 1), candidates


def _count_above(row: Vectors, thresholds: Vectors, ties: Ties, mask: Mask) -> NDArray[np.int64]:
    """Count the scores above each of the descending ``thresholds`` (for pessimistic ties: not below)."""
    if len(thresholds) > 4:
        row = _without_the_low(row, thresholds[-1])
    if len(thresholds) >= SORT_FROM:
        return _count_sorted(np.sort(row), thresholds, ties)
    compare = np.greater_equal if ties == "pessimistic" else np.greater
    counts = np.zeros(len(thresholds), np.int64)
    for start in range(0, len(row), mask.shape[1]):
        part = row[start : start + mask.shape[1]]
        width = -(-len(part) // _LANES) * _LANES
        mask[:, len(part) : width] = False
        for first in range(0, len(thresholds), len(mask)):
            some = slice(first, first + len(mask))
            above = mask[: len(thresholds[some]), :width]
            compare(part, thresholds[some, None], out=above[:, : len(part)])
            counts[some] += _count_true(above)
    return counts


def _count_true(mask: Mask) -> NDArray[np.int64]:
    """Count the true values of each row, whose width is a multiple of ``_LANES``.

    ``count_nonzero`` holds the interpreter's lock, and the other threads wait. A sum of 128 bytes of 0 or 1
    fits a byte, so eight of them are added at a time as the bytes of one 64-bit number.
    """
    words = mask.view(np.uint64).reshape(len(mask), 128, -1)
    return np.add.reduce(words, axis=1).view(np.uint8).sum(axis=1, dtype=np.int64)


def _without_the_low(row: Vectors, lowest: np.float32) -> Vectors:
    """Drop the scores below ``lowest`` where a sample says that so many are that the copy pays."""
    sample = row[::_SAMPLED]
    return row[row >= lowest] if 8 * np.count_nonzero(sample >= lowest) < len(sample) else row


def _count_sorted(ascending: Vectors, thresholds: Vectors, ties: Ties) -> NDArray[np.int64]:
    side: Literal["left", "right"] = "left" if ties == "pessimistic" else "right"
    return len(ascending) - np.searchsorted(ascending, thresholds, side=side)


def _gather(workers: list[list[tuple[NDArray[np.int64], int]]]) -> Ranks:
    """Put the rows that the workers took in turn back into the order of the queries."""
    size = sum(map(len, workers))
    rows = [workers[row % len(workers)][row // len(workers)] for row in range(size)]
    return Ranks(
        np.concatenate([values for values, _ in rows]),
        np.array([len(values) for values, _ in rows], np.int64),
        np.array([candidates for _, candidates in rows], np.int64),
    )

"""Rankings of a gallery that may be larger than memory, in one pass over blocks of its rows.

``rank_blocks`` holds the gallery and takes the queries in blocks; here the queries are held (a benchmark has
some hundred) and the gallery passes by. The scores of the rows that matter come first. Then each block of
scores is compared with them, and what is kept is a count a row that matters: neither the ``q x n`` scores nor
the gallery are ever held.

A product of float32 rounds the score of one and the same pair differently from place to place in a matrix. So
scores that lie closer together than the rounding reaches are computed again in float64, one pair at a time:
equal vectors are equal wherever they stand, and no result depends on the size of a block.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import UsageError
from perisphere.evaluation.gallery import Gallery
from perisphere.metrics.matching import NONE, Positions, Rows
from perisphere.metrics.places import Places
from perisphere.progress import bar
from perisphere.sphere.geometry import (
    Metric,
    Vectors,
    as_vectors,
    check_metric,
    check_same_dim,
    finite_squares,
    normalise,
)

BLOCK_BYTES = 64 * 2**20
"""Gallery rows as float32, and as much again for their scores, held at a time."""

ROUNDING = 2e-6
"""How far apart float32 scores of unit rows must be to be told apart for sure."""

Scores = NDArray[np.float64]


def stream_places(
    queries: NDArray, gallery: Gallery, marked: Rows, *, metric: Metric = "cosine", block: int | None = None
) -> Places:
    """Return the places of the marked rows in each query's ranking of the whole gallery.

    Images of equal score stand in the order of the gallery.

    Args:
        queries: ``[q, d]``.
        gallery: read once, and the marked rows twice.
        marked: the gallery rows whose places are wanted, distinct.
        metric: cosine similarity, or Euclidean (l2) or absolute (l1) distance.
        block: gallery rows at a time.

    Raises:
        PerisphereError: different dimensions, or values that are not finite.
    """
    scorer = _Scorer(queries, gallery, metric, block)
    counters = []
    for query in range(len(scorer.queries)):
        rows = np.sort(marked(query))
        counters.append(_Counter(rows, scorer.exact(query, gallery[rows])))
    with bar("ranking", len(gallery), "rows") as advance:
        for start, block_rows, scores, reach in scorer.blocks():
            for query, counter in enumerate(counters):
                doubtful = counter.count(scores[query], start, reach[query])
                counter.settle(doubtful + start, scorer.exact(query, block_rows[doubtful]))
            advance(len(block_rows))
    found = [counter.places() for counter in counters]
    return Places([rows for rows, _ in found], [at for _, at in found], len(gallery))


def stream_top(
    queries: NDArray, gallery: Gallery, depth: int, *, metric: Metric = "cosine", block: int | None = None
) -> tuple[NDArray[np.int64], Vectors]:
    """Return the first ``depth`` rows of each query's ranking; equal scores in the order of the gallery.

    Args:
        queries: ``[q, d]``.
        gallery: read once, and the rows of scores that rounding cannot tell apart twice.
        depth: length of a list; -1 fills one that is longer than the gallery.
        metric: as for :func:`stream_places`.
        block: gallery rows at a time.

    Returns:
        Gallery rows, int64 ``[q, depth]``, and scores, float32 ``[q, depth]``: the cosine, or the negated
        distance.
    """
    if depth < 1:
        raise UsageError(f"depth is {depth}; it must be at least 1.")
    scorer = _Scorer(queries, gallery, metric, block)
    lists = [_List(scorer, query, depth) for query in range(len(scorer.queries))]
    with bar("searching", len(gallery), "rows") as advance:
        for start, rows, scores, reach in scorer.blocks():
            for query, one in enumerate(lists):
                one.add(scores[query], start, reach[query])
            advance(len(rows))
    ids, best = np.full((len(lists), depth), -1, np.int64), np.full((len(lists), depth), -np.inf)
    for query, one in enumerate(lists):
        one.settle()
        ids[query, : len(one.rows)], best[query, : len(one.rows)] = one.rows, one.scores
    return ids, np.where(ids >= 0, scorer.told(best), -np.inf).astype(np.float32)


class _Scorer:
    """Scores of queries against rows of the gallery, higher is nearer."""

    def __init__(self, queries: NDArray, gallery: Gallery, metric: Metric, block: int | None) -> None:
        check_metric(metric)
        if block is not None and block < 1:
            raise UsageError(f"block is {block}; it must be at least 1 row.")
        self.queries = as_vectors(queries, "queries")
        check_same_dim(self.queries, np.empty((0, gallery.dim)))
        self._squares = finite_squares(self.queries, "queries").astype(np.float64)
        if metric == "cosine":
            self.queries = normalise(self.queries)
        self.gallery, self._metric = gallery, metric
        widest = max(gallery.dim, len(self.queries), 1)
        self._size = block or max(1, BLOCK_BYTES // (4 * widest))

    def blocks(self) -> Iterator[tuple[int, Vectors, Vectors, Scores]]:
        """Yield each block: its first row's number, its rows ``[b, d]``, their scores ``[q, b]``, the reach.

        The reach, ``[q]``, is how far apart two scores of a query must be to be told apart for sure.
        """
        for start, rows in self.gallery.blocks(self._size):
            squares = finite_squares(rows, "gallery")
            scores = self._score(rows, squares)
            yield start, rows, scores, ROUNDING * self._scale(scores, squares)

    def _score(self, rows: Vectors, squares: Vectors) -> Vectors:
        if self._metric == "l1":
            from perisphere.sphere.engine import faiss

            return -faiss.pairwise_distances(self.queries, rows, faiss.METRIC_L1)
        scores: Vectors = self.queries @ rows.T
        if self._metric == "cosine":
            scores /= np.sqrt(np.where(squares == 0, 1, squares))
        else:
            # |q - g|^2 = |q|^2 - 2 (qg - |g|^2 / 2), and |q| changes no rank.
            scores -= squares / 2
        return scores

    def _scale(self, scores: Vectors, squares: Vectors) -> Scores:
        """Return how large the numbers are that a score is a sum of, ``[q]``."""
        if self._metric == "cosine":
            return np.ones(len(scores))
        if self._metric == "l1":
            return -scores.min(axis=1, initial=0).astype(np.float64)
        largest = float(squares.max(initial=0))
        return np.sqrt(self._squares * largest) + largest

    def exact(self, query: int, rows: Vectors) -> Scores:
        """Return the scores of one query against rows ``[m, d]``; they depend on nothing but the pair."""
        q, g = self.queries[query].astype(np.float64), rows.astype(np.float64)
        if self._metric == "l1":
            return -np.abs(g - q).sum(axis=1)
        products, squares = (g * q).sum(axis=1), (g * g).sum(axis=1)
        if self._metric == "cosine":
            return products / np.sqrt(np.where(squares == 0, 1, squares))
        return products - squares / 2

    def told(self, scores: Scores) -> Scores:
        """Return what is told to the user of scores ``[q, k]``: the cosine, or the negated distance."""
        if self._metric != "l2":
            return scores
        return -np.sqrt(np.maximum(self._squares[:, None] - 2 * scores, 0))


class _Counter:
    """Counts, for one query, the rows that stand before each of its marked rows.

    Args:
        rows: the marked rows, ascending.
        scores: theirs, exact.
    """

    def __init__(self, rows: Positions, scores: Scores) -> None:
        self._rows, self._scores = rows, scores
        self._levels = np.unique(scores)
        # Other rows that lie above exactly the first i levels, and those that are equal to a level.
        self._above = np.zeros(len(self._levels) + 1, np.int64)
        self._equal: list[tuple[Positions, Positions]] = []

    def count(self, scores: Vectors, start: int, reach: float) -> Positions:
        """Count a block of scores that begins at row ``start``; return the places in it that are in doubt."""
        if not len(self._levels):
            return NONE
        first, last = np.searchsorted(self._rows, (start, start + len(scores)))
        scores[self._rows[first:last] - start] = -np.inf
        near = np.flatnonzero(scores >= self._levels[0] - reach)
        values = scores[near].astype(np.float64)
        below = np.searchsorted(self._levels, values)
        higher = self._levels[np.minimum(below, len(self._levels) - 1)]
        lower = self._levels[np.maximum(below - 1, 0)]
        doubtful = np.minimum(np.abs(higher - values), np.abs(values - lower)) <= reach
        self._above += np.bincount(below[~doubtful], minlength=len(self._above))
        return near[doubtful]

    def settle(self, rows: Positions, scores: Scores) -> None:
        """Count rows that were in doubt, by their exact scores."""
        below = np.searchsorted(self._levels, scores)
        self._above += np.bincount(below, minlength=len(self._above))
        ties = np.flatnonzero(self._levels[np.minimum(below, len(self._levels) - 1)] == scores)
        self._equal.append((below[ties], rows[ties]))

    def places(self) -> tuple[Positions, NDArray[np.int64]]:
        """Return the marked rows, best first, and their zero-based places among all rows."""
        if not len(self._levels):
            return self._rows, np.empty(0, np.int64)
        order = np.lexsort((self._rows, -self._scores))
        rows, of = self._rows[order], np.searchsorted(self._levels, self._scores[order])
        above = self._above[::-1].cumsum()[::-1][of + 1]
        return rows, np.arange(len(rows)) + above + self._equal_before(rows, of)

    def _equal_before(self, rows: Positions, of: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many other rows of each one's level stand before it in the gallery."""
        levels, others = (np.concatenate(parts) for parts in zip((NONE, NONE), *self._equal, strict=True))
        count = np.zeros(len(rows), np.int64)
        for level in np.unique(levels):
            mine = np.flatnonzero(of == level)
            count[mine] = np.searchsorted(np.sort(others[levels == level]), rows[mine])
        return count


class _List:
    """The first rows of one query's ranking, as far as the gallery has passed by.

    Attributes:
        rows: best first once they are settled.
        scores: theirs.
    """

    def __init__(self, scorer: _Scorer, query: int, depth: int) -> None:
        self._scorer, self._query, self._depth = scorer, query, depth
        self.rows, self.scores = NONE, np.empty(0)
        self._reach = 0.0

    def add(self, scores: Vectors, start: int, reach: float) -> None:
        """Take in a block of scores that begins at row ``start``: all that may yet be among the first."""
        self._reach = max(self._reach, reach)
        better = np.flatnonzero(scores >= self._floor(self.scores))
        better = better[scores[better] >= self._floor(scores[better])]
        self.rows = np.concatenate([self.rows, better + start])
        self.scores = np.concatenate([self.scores, scores[better].astype(np.float64)])
        kept = self.scores >= self._floor(self.scores)
        self.rows, self.scores = self.rows[kept], self.scores[kept]
        if len(self.rows) > 2 * self._depth + 64:
            self.settle()

    def _floor(self, scores: NDArray) -> float:
        """Return the score below which none can be among the first, whatever the rounding."""
        if len(scores) < self._depth:
            return -np.inf
        return float(np.partition(scores, -self._depth)[-self._depth]) - self._reach

    def settle(self) -> None:
        """Put the rows in order, by exact scores where rounding may have changed it, and cut the list."""
        order = np.lexsort((self.rows, -self.scores))
        self.rows, self.scores = self.rows[order], self.scores[order]
        close = np.diff(self.scores) >= -self._reach
        doubtful = np.flatnonzero(np.append(close, False) | np.append(False, close))
        rows = self._scorer.gallery[self.rows[doubtful]]
        self.scores[doubtful] = self._scorer.exact(self._query, rows)
        order = np.lexsort((self.rows, -self.scores))[: self._depth]
        self.rows, self.scores = self.rows[order], self.scores[order]

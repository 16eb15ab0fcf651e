"""The hashing protocol over all queries, in blocks: scores, the first R places, and what stands there.

No matrix of queries by gallery is held or sorted: a block of scores (64 MiB), then for each query the first R
photos by one selection. Which photos of the rest are relevant is never asked.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError
from perisphere.metrics.concepts import Bits, shares, sharing_counts
from perisphere.metrics.hashing import Ties, Values, check_ties, leading, places
from perisphere.metrics.ranks import default_threads
from perisphere.metrics.scoring import Scores
from perisphere.progress import bar
from perisphere.sphere.geometry import Vectors

BLOCK_BYTES = 64 * 2**20
"""Of scores, where the caller gives no block."""

CURVE = 200
"""Points of the curves over places, at most."""

TIMED_SECONDS = 1.0
"""For how long ranking is timed."""


@dataclass(frozen=True)
class HashingFigures:
    """What each query's ranking is worth.

    Attributes:
        depths: R of each column, ascending.
        average_precision: as published, float64 ``[q, depths]``, NaN where nothing within R is relevant.
        weights: of each query in the mean of those, 0 to 1, ``[q, depths]``.
        strict: average precision divided by ``min(R, relevant)``, ``[q, depths]``, NaN without any relevant.
        found: (expected) relevant photos among the first of :attr:`curve_places`, ``[q, points]``.
        relevant: photos of the gallery that are relevant, int64 ``[q]``.
        curve_places: where the curves are read, int64 ``[points]``; every depth is among them.
    """

    depths: tuple[int, ...]
    average_precision: Values
    weights: Values
    strict: Values
    found: Values
    relevant: NDArray[np.int64]
    curve_places: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.relevant)

    def mean_average_precision(self, depth: int) -> float:
        """Return MAP@depth as published: over the queries with something relevant within ``depth``."""
        column = self.depths.index(depth)
        weights, values = self.weights[:, column], self.average_precision[:, column]
        if not weights.any():
            return float("nan")
        return float(np.nansum(weights * values) / weights.sum())

    def strict_mean_average_precision(self, depth: int) -> float:
        """Return the mean over the queries with anything relevant of the strict average precision."""
        return float(np.nanmean(self.strict[:, self.depths.index(depth)]))

    def counted(self, depth: int) -> float:
        """Return how many queries have something relevant within ``depth`` (expected ties: on average)."""
        return float(self.weights[:, self.depths.index(depth)].sum())

    @property
    def precision_curve(self) -> Values:
        """Mean share of relevant photos among the first places, over queries with any, ``[points]``."""
        found: Values = self.found[self.relevant > 0].mean(axis=0) / self.curve_places
        return found

    @property
    def recall_curve(self) -> Values:
        """Mean share of the relevant photos that is found, over queries with any, ``[points]``."""
        has = self.relevant > 0
        found: Values = (self.found[has] / self.relevant[has, None]).mean(axis=0)
        return found

    def precision_at(self, depth: int) -> float:
        """Return the mean precision among the first ``depth``, which divides even where fewer are shown."""
        return float(self.precision_curve[self._place(depth)])

    def recall_at(self, depth: int) -> float:
        """Return the mean share of the relevant photos among the first ``depth``."""
        return float(self.recall_curve[self._place(depth)])

    def _place(self, depth: int) -> int:
        return int(np.searchsorted(self.curve_places, depth))


def hashing_figures(
    scores: Scores,
    queries: Bits,
    gallery: Bits,
    *,
    depths: Sequence[int] = (5000,),
    ties: Ties = "database",
    itself: NDArray[np.int64] | None = None,
    block: int | None = None,
    threads: int | None = None,
) -> HashingFigures:
    """Judge the ranking of a gallery for each query.

    Args:
        scores: of the gallery for the queries, such as
            :class:`~perisphere.metrics.scoring.CodeScores`.
        queries: concepts of the queries, uint64 ``[q, words]``.
        gallery: concepts of the gallery, uint64 ``[n, words]``.
        depths: R of MAP@R, precision@R and recall@R.
        ties: as in :mod:`perisphere.metrics.hashing`.
        itself: the gallery row that is the query's own photo and takes no part, -1 where there is none,
            int64 ``[q]``.
        block: queries at a time; by default 64 MiB of scores.
        threads: that select; by default as many as FAISS uses.

    Raises:
        PerisphereError: the parts do not belong together, or no query has a relevant photo.
        UsageError: an option outside its values.
    """
    _check(scores, queries, gallery, depths, ties, block)
    own = np.full(len(queries), -1, np.int64) if itself is None else itself
    relevant = sharing_counts(queries, gallery)
    relevant -= (own >= 0) & (queries != 0).any(axis=1)  # a photo shares every concept with itself
    if not relevant.any():
        raise PerisphereError("no query shares a concept with a photo of the gallery; name other splits.")
    judge = _Judge(queries, gallery, own, relevant, tuple(sorted(set(depths))), ties == "expected")
    size = block or _block(scores.gallery)
    parts: list[tuple[Values, Values]] = []
    with ThreadPoolExecutor(threads or default_threads()) as pool, bar("ranking", len(own), "queries") as on:
        for start in range(0, len(scores), size):
            row, some = scores.block(slice(start, start + size)), range(start, min(start + size, len(own)))
            parts += pool.map(lambda query, row=row, start=start: judge(row(query - start), query), some)
            on(len(some))
    table, found = (np.stack(each) for each in zip(*parts, strict=True))
    published, weights, strict = np.moveaxis(table, -1, 0)
    return HashingFigures(judge.depths, published, weights, strict, found, relevant, judge.curve)


@dataclass(frozen=True)
class _Judge:
    """What the scores of one query are worth."""

    queries: Bits
    gallery: Bits
    itself: NDArray[np.int64]
    relevant: NDArray[np.int64]
    depths: tuple[int, ...]
    expected: bool

    @cached_property
    def curve(self) -> NDArray[np.int64]:
        """Places where curves are read: nearer together at the front, and every depth."""
        spread = np.geomspace(1, self.depths[-1], CURVE).round().astype(np.int64)
        return np.union1d(spread, np.array(self.depths, np.int64))

    @cached_property
    def longest(self) -> int:
        """Places that there are to look at."""
        return max(1, min(self.depths[-1], len(self.gallery) - int((self.itself >= 0).any())))

    def __call__(self, scores: Vectors, query: int) -> tuple[Values, Values]:
        """Return average precision, weight and strict average precision, ``[depths, 3]``, and the curve."""
        own, relevant = int(self.itself[query]), int(self.relevant[query])
        if own >= 0:
            scores[own] = -np.inf
        order = leading(scores, self.longest)
        hits = shares(self.gallery[order], self.queries[query]) & (scores[order] > -np.inf)
        seen = places(hits, scores[order] if self.expected else None, self.longest)
        figures = [
            (*seen.average_precision(depth), seen.strict_average_precision(depth, relevant))
            for depth in self.depths
        ]
        return np.array(figures), seen.found_at(self.curve)


def queries_per_second(scores: Scores, depth: int, threads: int | None = None) -> float:
    """Return how many queries a second are scored and ranked to ``depth``, in blocks, on all threads.

    Blocks of queries are ranked one after another for a second, beginning anew after the last.
    """
    size = min(_block(scores.gallery), max(1, len(scores)))
    longest, done, began = min(depth, scores.gallery), 0, time.perf_counter()
    with ThreadPoolExecutor(threads or default_threads()) as pool:
        while True:
            start = done % len(scores)
            count = min(size, len(scores) - start)
            row = scores.block(slice(start, start + count))
            list(pool.map(lambda place, row=row: leading(row(place), longest), range(count)))
            done, spent = done + count, time.perf_counter() - began
            if spent >= TIMED_SECONDS:
                return done / spent


def _block(gallery: int) -> int:
    return max(1, BLOCK_BYTES // (4 * max(1, gallery)))


def _check(
    scores: Scores, queries: Bits, gallery: Bits, depths: Sequence[int], ties: str, block: int | None
) -> None:
    check_ties(ties)
    if not depths or min(depths) < 1:
        raise UsageError(f"R is {min(depths, default='empty')}; give whole numbers from 1 on, such as 5000.")
    if block is not None and block < 1:
        raise UsageError(f"block is {block}; it must be at least 1 query.")
    if (len(queries), len(gallery)) != (len(scores), scores.gallery) or not len(scores):
        raise PerisphereError(
            f"scores of {len(scores)} queries and {scores.gallery} photos, but concepts of {len(queries)} "
            f"and {len(gallery)}: one set of concepts for each is needed, and at least one query."
        )

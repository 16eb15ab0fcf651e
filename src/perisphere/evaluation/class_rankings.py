"""Rankings of a gallery for queries of one class at a time, the query's own image kept where it stands.

Hierarchical precision looks at the first images of a ranking and average precision at the ranks of the
relevant ones. Queries of one class share what is relevant and how similar each image's class is, so they are
taken together.

A score and the row that has it are packed into one 64-bit number, ordered as the ranking is: the row takes
the place of the score's last bits. A sort or a partition of plain numbers, which the processor does in
vectors, then gives the ranking itself, with images of equal score in the order of the gallery. Where only the
first images are asked for, a partition finds them, and the ranks of the relevant images are counted among the
keys up to the last of them.

Scores are computed in float64: one swap of two images near the top of a few hundred rankings moves their mean
hierarchical precision by more than 1e-6, and float32 swaps some. With 10,000 images 38 of a score's 52 binary
digits remain, sixteen thousand times finer than float32. A product rounds one and the same pair differently
from place to place in a matrix, but equal vectors must have equal scores; so each distinct row of the gallery
is scored once.

For q queries, n images and d dimensions the floors are ``2 q n d`` operations and ``16 q n`` bytes (each
score written and read once); ``benchmarks/hierarchy.py`` measures the whole against them.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from perisphere.errors import UsageError
from perisphere.metrics.matching import Positions
from perisphere.metrics.ranks import Ranks, default_threads
from perisphere.sphere.geometry import (
    Metric,
    Vectors,
    as_vectors,
    check_metric,
    check_same_dim,
    finite_squares,
)

BLOCK_BYTES = 64 * 2**20
"""Scores held at a time, where the caller gives no block."""

CHUNK_BYTES = 4 * 2**20
"""Keys that one thread sorts at a time; they should fit its cache."""

GALLERY_BYTES = 32 * 2**20
"""Gallery rows that are brought to float64 at a time."""

Keys = NDArray[np.int64]
Scores = NDArray[np.float64]
Judgement = TypeVar("Judgement")


class Run(NamedTuple):
    """Some queries of one class, all of them in the gallery or none.

    Attributes:
        start: their place in the block, or in the whole where there are no blocks.
        of: their class.
        queries: their rows.
    """

    start: int
    of: int
    queries: Positions


@dataclass(frozen=True)
class Classes:
    """Which image is of which class, and where the queries stand in the gallery.

    Attributes:
        asked: class of each query, int64 ``[q]``, 0 to the number of classes - 1.
        shown: class of each gallery image, int64 ``[n]``.
        own: gallery row of each query's own image, int64 ``[q]``, -1 where it is not in the gallery.
        total: number of classes, some of which may have no image.
    """

    asked: NDArray[np.int64]
    shown: NDArray[np.int64]
    own: Positions
    total: int

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Gallery images of each class, int64 ``[classes]``."""
        return np.bincount(self.shown, minlength=self.total)

    def members(self, of: int) -> Positions:
        """Return the gallery rows of a class, ascending."""
        return self._members[of]

    @cached_property
    def _members(self) -> list[Positions]:
        return np.split(np.argsort(self.shown, kind="stable"), np.cumsum(self.counts)[:-1])

    @cached_property
    def order(self) -> Positions:
        """The queries, those of one class one after another, and of them first those not in the gallery."""
        return np.lexsort((self.own >= 0, self.asked))

    def runs(self, start: int, stop: int, most: int) -> Iterator[Run]:
        """Yield the queries ``order[start:stop]`` in runs of at most ``most``."""
        queries = self.order[start:stop]
        kinds = 2 * self.asked[queries] + (self.own[queries] >= 0)
        changes = [0, *(np.flatnonzero(np.diff(kinds)) + 1), len(queries)]
        for first, last in pairwise(changes):
            for at in range(first, last, most):
                some = queries[at : min(at + most, last)]
                yield Run(at, int(self.asked[some[0]]), some)


@dataclass(frozen=True)
class ClassRankings:
    """Rankings of the gallery for some queries of one class, all of them in the gallery or none.

    Attributes:
        queries: their rows, int64 ``[m]``.
        of: their class.
        top: the first gallery rows, best first, the query's own among them, int64 ``[m, t]``.
        place: zero-based place of the query's own image, int64 ``[m]``; the gallery's size where it has none.
        ranks: of the images of the same class, the query left out.
    """

    queries: Positions
    of: int
    top: Positions
    place: NDArray[np.int64]
    ranks: Ranks


def rank_classes(
    queries: NDArray,
    gallery: NDArray,
    classes: Classes,
    depth: int,
    judge: Callable[[ClassRankings], Judgement],
    *,
    metric: Metric = "cosine",
    block: int | None = None,
    threads: int | None = None,
) -> Iterator[Judgement]:
    """Rank the gallery for each query, and yield what ``judge`` makes of the rankings, a class at a time.

    Images of equal score stand in the order of the gallery. An image equal to the query is never farther from
    it than any other, however the product rounds.

    Args:
        queries: ``[q, d]``.
        gallery: ``[n, d]``.
        classes: of the rows of both.
        depth: images of each ranking that are wanted, beside the query's own; ``n`` or more sorts it whole.
        judge: called in several threads at a time.
        metric: cosine similarity, or Euclidean (l2) or absolute (l1) distance.
        block: queries whose scores are held at a time; by default 64 MiB of scores.
        threads: by default as many as FAISS uses.

    Raises:
        PerisphereError: different dimensions, or rows that are not finite.
        UsageError: an option outside its values.
    """
    check_metric(metric)
    _check(depth, block)
    queries, gallery = as_vectors(queries, "queries"), as_vectors(gallery, "gallery")
    check_same_dim(queries, gallery)
    finite_squares(queries, "queries")
    finite_squares(gallery, "gallery")
    distinct, copies, twins = _distinct(queries, gallery)
    scorer = _Scorer(distinct, metric)
    size = min(block or max(1, BLOCK_BYTES // (8 * max(1, len(gallery)))), max(1, len(queries)))
    buffer = np.empty((size, len(distinct)), np.float64)

    def rank(run: Run) -> Judgement:
        scores = buffer[run.start : run.start + len(run.queries)]
        scorer.finish(scores)
        same = np.flatnonzero(twins[run.queries] >= 0)
        scores[same, twins[run.queries[same]]] = np.inf
        return judge(_ranked(_keys(scores, copies), run, classes, depth))

    most = max(1, CHUNK_BYTES // (8 * max(1, len(gallery))))
    with ThreadPoolExecutor(threads or default_threads()) as pool:
        for start in range(0, len(queries), size):
            runs = classes.runs(start, start + size, most)
            scorer.products(queries[classes.order[start : start + size]], buffer)
            yield from pool.map(rank, runs)


def judge_lists(
    lists: Positions, classes: Classes, depth: int, judge: Callable[[ClassRankings], Judgement]
) -> Iterator[Judgement]:
    """Yield what ``judge`` makes of given lists, completed by the images that they lack, in gallery order.

    Args:
        lists: gallery rows, best first, int64 ``[q, k]``; -1 where a list is shorter.
        classes: of the queries and the gallery.
        depth: as for :func:`rank_classes`.
        judge: as for :func:`rank_classes`.
    """
    _check(depth, None)
    total = len(classes.shown)
    most = max(1, CHUNK_BYTES // (8 * max(1, total)))
    for run in classes.runs(0, len(lists), most):
        order = np.stack([_completed(lists[query], total) for query in run.queries])
        places = np.empty_like(order)
        np.put_along_axis(places, order, np.broadcast_to(np.arange(total), order.shape), axis=1)
        members = classes.members(run.of)
        yield judge(_described(order[:, : depth + 1], places[:, members], members, run, classes))


def _check(depth: int, block: int | None) -> None:
    for name, value in (("depth", depth), ("block", block)):
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}; it must be at least 1.")


def _distinct(queries: Vectors, gallery: Vectors) -> tuple[Vectors, Positions | None, Positions]:
    """Find equal rows.

    Returns:
        The distinct rows of the gallery; which of them each gallery row is, ``None`` where all are distinct;
        and which of them each query is, -1 where none.
    """
    known: dict[bytes, int] = {}
    first: list[int] = []
    copies = np.empty(len(gallery), np.int64)
    for row, vector in enumerate(gallery):
        number = known.setdefault(_bytes(vector), len(known))
        copies[row] = number
        if number == len(first):
            first.append(row)
    twins = np.array([known.get(_bytes(vector), -1) for vector in queries], np.int64)
    if len(first) == len(gallery):
        return gallery, None, twins
    return gallery[first], copies, twins


def _bytes(vector: Vectors) -> bytes:
    return (vector + 0.0).tobytes()  # 0 and -0 are equal


class _Scorer:
    """Scores of queries against rows of the gallery, higher is nearer, in two steps.

    The first is one product for many queries; the second is cheap, for the thread that goes on with some.
    """

    def __init__(self, gallery: Vectors, metric: Metric) -> None:
        self._gallery, self._metric = gallery, metric
        squares = np.einsum("ij,ij->i", gallery, gallery, dtype=np.float64)
        self._half = squares / 2
        self._inverse = 1 / np.sqrt(np.where(squares == 0, 1, squares))
        self._step = max(1, GALLERY_BYTES // (8 * gallery.shape[1]))

    def products(self, queries: Vectors, out: Scores) -> None:
        """Fill the first rows of ``out [b, n]``; for ``l1`` with negated distances."""
        asked = queries.astype(np.float64)
        for start in range(0, len(self._gallery), self._step):
            rows = self._gallery[start : start + self._step].astype(np.float64)
            part = out[: len(asked), start : start + len(rows)]
            if self._metric == "l1":
                np.negative(cdist(asked, rows, "cityblock"), out=part)
            else:
                np.matmul(asked, rows.T, out=part)

    def finish(self, scores: Scores) -> None:
        """Turn products into scores, in place.

        The query's own length changes no rank, so cosine divides by the gallery's lengths alone, and
        ``|q - g|^2 = |q|^2 - 2 (qg - |g|^2 / 2)`` makes Euclidean distance a subtraction.
        """
        if self._metric == "cosine":
            scores *= self._inverse
        elif self._metric == "l2":
            scores -= self._half


def _keys(scores: Scores, copies: Positions | None) -> Keys:
    """Return a number for each image that is the smaller the earlier it is ranked, int64 ``[m, n]``.

    Its last bits are the image's row. The scores, ``[m, distinct]``, are overwritten.
    """
    scores += 0.0  # 0 and -0 are equal
    keys = scores.view(np.int64)
    # The bits of a negative number grow as it falls; but for its sign they are turned round.
    keys ^= (keys >> 63) & np.int64(2**63 - 1)
    np.invert(keys, out=keys)
    if copies is not None:
        keys = keys[:, copies]
    keys &= ~_row_bits(keys.shape[1])
    keys |= np.arange(keys.shape[1])
    return keys


def _row_bits(total: int) -> int:
    return (1 << (total - 1).bit_length()) - 1


def _ranked(keys: Keys, run: Run, classes: Classes, depth: int) -> ClassRankings:
    """Find the first images, and the places of all of the queries' class; ``keys`` are put in order."""
    members, total = classes.members(run.of), keys.shape[1]
    wanted = keys[:, members]
    if depth + 1 < total:
        keys.partition(depth, axis=1)
        first = np.sort(keys[:, : depth + 1], axis=1)
        places = np.stack([_places(row, some) for row, some in zip(keys, wanted, strict=True)])
    else:
        keys.sort(axis=1)
        first = keys
        places = np.stack([np.searchsorted(row, some) for row, some in zip(keys, wanted, strict=True)])
    return _described(first & _row_bits(total), places, members, run, classes)


def _places(row: Keys, wanted: Keys) -> NDArray[np.int64]:
    """Count the keys before each wanted one; those after all of them need no order."""
    if not len(wanted):
        return np.empty(0, np.int64)
    near = row[row <= wanted.max()]
    near.sort()
    return np.searchsorted(near, wanted)


def _described(
    top: Positions, places: NDArray[np.int64], members: Positions, run: Run, classes: Classes
) -> ClassRankings:
    """Leave the queries out of what is relevant.

    Args:
        top: the first gallery rows, ``[m, t]``.
        places: of the members of the queries' class, zero-based, ``[m, members]``.
        members: their gallery rows.
        run: the queries.
        classes: of everything.
    """
    own, total = classes.own[run.queries], len(classes.shown)
    inside = bool(own[0] >= 0)
    place = np.full(len(own), total)
    if inside:
        itself = members == own[:, None]
        place = places[itself]
        places = places[~itself].reshape(len(own), -1)
    ranks = np.sort(places, axis=1) + 1
    ranks -= ranks > place[:, None]
    counts = np.full(len(own), ranks.shape[1])
    candidates = np.full(len(own), total - inside)
    return ClassRankings(run.queries, run.of, top, place, Ranks(ranks.reshape(-1), counts, candidates))


def _completed(found: Positions, total: int) -> Positions:
    """Append what a list lacks."""
    found = found[found >= 0]
    missing = np.ones(total, np.bool_)
    missing[found] = False
    return np.concatenate([found, np.flatnonzero(missing)])

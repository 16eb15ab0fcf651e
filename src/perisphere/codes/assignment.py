"""Code assignment: which word of each book, so that their sum comes closest to a vector.

Iterated conditional modes over the books of an additive code, as in WSDHQ (AAAI 2021), with perturbed
restarts (Martinez et al., ECCV 2016) and a beam (Babenko and Lempitsky, CVPR 2014) on top. In a metric ``G``
the error of a code is

    (z - sum c)' G (z - sum c) = z'Gz + 2 (sum (c'Gc / 2 - z'Gc) + sum over pairs of books of c'Gc')

so that one product of the vectors with ``G c``, and tables of the words' products with each other, are all
there is to look up: nothing in the search depends on the dimension, nor on how many tags made the metric. The
words of each book are taken from their mean, the vectors from the sum of these means: what all of them share
would drown the differences in rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import UsageError

BLOCK = 512
"""Rows at once: their costs (2 MiB for 4 books of 256) stay near the processor."""

Codes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class _Tables:
    """What the words alone decide; halves of costs throughout, and words ``c`` from the mean of their book.

    Attributes:
        centre: float32 ``[d]``, the sum of the books' means.
        seen: float32 ``[M K, d]``, ``G c`` of each word.
        half: float32 ``[M, K]``, ``c'Gc / 2``.
        cross: float32 ``[M, M, K, K]``, ``c'Gc'`` of words of two books.
        missing: float32 ``[M, M, K]``, what a book that says nothing adds to the costs of another's words: it
            lacks its mean.
    """

    centre: Floats
    seen: Floats
    half: Floats
    cross: Floats
    missing: Floats

    def alone(self, vectors: NDArray) -> Floats:
        """Return the cost of each word without any other, float32 ``[n, M, K]``."""
        costs = np.subtract(vectors, self.centre, dtype=np.float32) @ self.seen.T
        np.negative(costs, out=costs)
        costs += self.half.ravel()
        return costs.reshape(len(vectors), *self.half.shape)


@dataclass(frozen=True)
class _Perturbation:
    """Words exchanged in some books, by one permutation a book for all rows.

    Drawn once, so that a row's code depends neither on the block that it is in nor on the rows beside it.
    """

    books: Ints
    words: Ints
    orders: Ints

    def __call__(self, codes: Ints) -> Ints:
        changed = codes.copy()
        for book, exchange in zip(self.books, self.words, strict=True):
            changed[:, book] = exchange[codes[:, book]]
        return changed


@dataclass(frozen=True)
class _Search:
    """How to look for codes: the orders of the first sweeps, the beam's width, the restarts."""

    orders: Ints
    beam: int
    restarts: tuple[_Perturbation, ...]

    def __call__(self, alone: Floats, tables: _Tables) -> Ints:
        """Return the best code found for each row, int64 ``[n, M]``."""
        cross = tables.cross
        found: list[Ints] = []
        if len(self.orders):
            first = _visit(alone, tables, self.orders[0])
            found.append(_descend(alone, cross, first, self.orders[1:]))
        if self.beam:
            found.append(_descend(alone, cross, _grow(alone, cross, self.beam), self.orders))
        codes, costs = found[0], _costs(alone, cross, found[0])
        for other in found[1:]:
            codes, costs = _better(alone, cross, codes, costs, other)
        for perturb in self.restarts:
            other = _descend(alone, cross, perturb(codes), perturb.orders)
            codes, costs = _better(alone, cross, codes, costs, other)
        return codes


def assign(
    vectors: NDArray,
    words: NDArray,
    *,
    root: NDArray | None = None,
    sweeps: int = 3,
    restarts: int = 0,
    beam: int = 0,
    orders: Sequence[Sequence[int]] | NDArray | None = None,
    seed: int = 0,
    block: int = BLOCK,
) -> Codes:
    """Choose one word of each book for each vector.

    The published assignment is the default: from no word in any book, three sweeps, each through all books in
    a random order; each book takes the word that is best given the others' words. A beam and restarts are
    further candidates, of which the best is kept: with them no code gets worse.

    Args:
        vectors: ``[n, d]``; read in blocks, so that it may lie on the disk.
        words: ``[M, K, d]``, ``K`` at most 256.
        root: ``[d, d]`` root ``S`` of the metric ``S S'``; ``None`` is the Euclidean one.
        sweeps: through all books; 0 takes what the beam finds.
        restarts: perturbations of half of the books of the best code so far, each followed by sweeps (at
            least one).
        beam: partial codes kept while books are added in their order; 0 searches without a beam.
        orders: ``[sweeps, M]``, the books in the order of each sweep; drawn where ``None``.
        seed: of what is drawn: the same for every row, whatever the block.
        block: rows at once; memory is 4 bytes x ``M K`` times that, with a beam ``K beam`` times too; the
            tables of words take 12 (``M K``)^2 bytes while they are made.

    Returns:
        uint8 ``[n, M]``.

    Raises:
        UsageError: an option is out of its range.
    """
    search = _planned(words.shape[0], words.shape[1], sweeps, restarts, beam, orders, seed)
    if block < 1:
        raise UsageError(f"block is {block}; it must be at least 1.")
    tables = _tabulated(words, root)
    codes = np.empty((len(vectors), len(words)), np.uint8)
    for start in range(0, len(vectors), block):
        rows = slice(start, start + block)
        codes[rows] = search(tables.alone(vectors[rows]), tables)
    return codes


def nearest_words(vectors: NDArray, words: NDArray, *, block: int = BLOCK) -> Codes:
    """Choose each book's word as if there were no other book: exact where books are orthogonal.

    Args:
        vectors: ``[n, d]``, read in blocks.
        words: ``[M, K, d]``.
        block: rows at once.

    Returns:
        uint8 ``[n, M]``.
    """
    books, count, dim = words.shape
    seen = np.asarray(words, np.float32).reshape(-1, dim)
    half = np.einsum("kd,kd->k", seen, seen) / 2
    codes = np.empty((len(vectors), books), np.uint8)
    for start in range(0, len(vectors), block):
        rows = slice(start, start + block)
        costs = half - np.asarray(vectors[rows], np.float32) @ seen.T
        codes[rows] = costs.reshape(-1, books, count).argmin(axis=2)
    return codes


def _tabulated(words: NDArray, root: NDArray | None) -> _Tables:
    books, count, dim = words.shape
    whole = np.asarray(words, np.float64)
    means = whole.mean(axis=1)
    flat = (whole - means[:, None]).reshape(-1, dim)
    metric = None if root is None else np.asarray(root, np.float64) @ np.asarray(root, np.float64).T
    seen = flat if metric is None else flat @ metric
    products = (seen @ flat.T).reshape(books, count, books, count)
    half = np.einsum("nd,nd->n", flat, seen).reshape(books, count) / 2
    return _Tables(
        centre=means.sum(axis=0).astype(np.float32),
        seen=seen.astype(np.float32),
        half=half.astype(np.float32),
        cross=np.ascontiguousarray(products.transpose(0, 2, 1, 3), np.float32),
        missing=-(means @ seen.T).reshape(books, books, count).astype(np.float32),
    )


def _planned(
    books: int,
    words: int,
    sweeps: int,
    restarts: int,
    beam: int,
    orders: Sequence[Sequence[int]] | NDArray | None,
    seed: int,
) -> _Search:
    for name, value in (("sweeps", sweeps), ("restarts", restarts), ("beam", beam)):
        if value < 0:
            raise UsageError(f"{name} is {value}; it must be at least 0.")
    if not (sweeps or beam):
        raise UsageError("neither sweeps nor a beam: codes need one of them; give sweeps or beam from 1.")
    rng = np.random.default_rng(seed)
    given = _orders(rng, sweeps, books) if orders is None else np.asarray(orders, np.int64)
    if given.shape != (sweeps, books) or (np.sort(given, axis=1) != np.arange(books)).any():
        raise UsageError(f"orders {given.tolist()}: {sweeps} orders of books 0 to {books - 1} are needed.")
    again = restarts if books > 1 else 0  # one book is searched exactly at once
    perturbations = tuple(_perturbation(rng, books, words, max(sweeps, 1)) for _ in range(again))
    return _Search(given, beam, perturbations)


def _orders(rng: np.random.Generator, sweeps: int, books: int) -> Ints:
    drawn = [rng.permutation(books) for _ in range(sweeps)]
    return np.array(drawn, np.int64).reshape(sweeps, books)


def _perturbation(rng: np.random.Generator, books: int, words: int, sweeps: int) -> _Perturbation:
    chosen = rng.choice(books, books // 2, replace=False)
    exchange = np.stack([rng.permutation(words) for _ in chosen])
    return _Perturbation(chosen, exchange, _orders(rng, sweeps, books))


def _visit(alone: Floats, tables: _Tables, order: Ints) -> Ints:
    """Give each book in turn a word, beside those that have one already and without those that have none."""
    codes = np.zeros(alone.shape[:2], np.int64)
    for place, book in enumerate(order):
        costs = alone[:, book] + tables.missing[order[place + 1 :], book].sum(axis=0)
        for other in order[:place]:
            costs += tables.cross[other, book][codes[:, other]]
        codes[:, book] = costs.argmin(axis=1)
    return codes


def _descend(alone: Floats, cross: Floats, codes: Ints, orders: Ints) -> Ints:
    """Give each book in turn the word that is best beside the others' words.

    Args:
        alone: float32 ``[n, M, K]``.
        cross: float32 ``[M, M, K, K]``.
        codes: int64 ``[n, M]``, where the search begins.
        orders: int64 ``[sweeps, M]``.
    """
    codes = codes.copy()
    costs, addend = np.empty_like(alone[:, 0]), np.empty_like(alone[:, 0])
    for book in orders.ravel():
        costs[:] = alone[:, book]
        for other in range(len(cross)):
            if other != book:
                np.take(cross[other, book], codes[:, other], axis=0, out=addend, mode="clip")
                costs += addend
        np.argmin(costs, axis=1, out=codes[:, book])
    return codes


def _grow(alone: Floats, cross: Floats, width: int) -> Ints:
    """Add book after book, keeping the ``width`` best partial codes of a row; return the best whole one.

    Books that are still to come count as their mean.
    """
    count, books, words = alone.shape
    codes, costs = np.zeros((count, 1, 0), np.int64), np.zeros((count, 1), np.float32)
    for book in range(books):
        grown = costs[:, :, None] + alone[:, None, book]
        for other in range(book):
            grown += cross[other, book][codes[:, :, other]]
        flat = grown.reshape(count, -1)
        kept = min(1 if book == books - 1 else width, flat.shape[1])
        places = _smallest(flat, kept)
        costs = np.take_along_axis(flat, places, axis=1)
        before = np.take_along_axis(codes, (places // words)[:, :, None], axis=1)
        codes = np.concatenate([before, (places % words)[:, :, None]], axis=2)
    return codes[:, 0]


def _smallest(values: Floats, count: int) -> Ints:
    if count == 1:
        return values.argmin(axis=1)[:, None]
    if count == values.shape[1]:
        return np.broadcast_to(np.arange(count), values.shape)
    return np.argpartition(values, count - 1, axis=1)[:, :count]


def _costs(alone: Floats, cross: Floats, codes: Ints) -> NDArray[np.float64]:
    """Return half of each code's error, less what no code changes, float64 ``[n]``."""
    books = codes.shape[1]
    total = np.take_along_axis(alone, codes[:, :, None], axis=2)[:, :, 0].sum(axis=1, dtype=np.float64)
    for one in range(books):
        for other in range(one):
            total += cross[other, one, codes[:, other], codes[:, one]]
    return total


def _better(
    alone: Floats, cross: Floats, codes: Ints, costs: NDArray[np.float64], other: Ints
) -> tuple[Ints, NDArray[np.float64]]:
    """Return of two codes of each row the cheaper one, and its cost."""
    found = _costs(alone, cross, other)
    better = found < costs
    return np.where(better[:, None], other, codes), np.where(better, found, costs)

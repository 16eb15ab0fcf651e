"""Scores of a whole gallery for a block of queries: of float vectors by products, of codes by lookup tables.

Codes are never decoded: the score of a photo is a sum of one number a book, looked up in the query's table of
inner products with all codewords. Two books are looked up at once in a table of 65,536 sums, which fits the
cache. Photos of equal code have exactly equal scores, as the same numbers are added in the same order; a
product with decoded vectors rounds differently at the edges of its tiles and would break ties at random.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.sphere.geometry import Vectors, check_same_dim, finite_squares

Row = Callable[[int], Vectors]
"""From a query of a block to its scores of the gallery, float32 ``[n]``; safe to call from many threads."""

GALLERY_ROWS = 65_536
"""Gallery rows that are read, converted and multiplied at a time."""


class Scores(Protocol):
    """What scores a gallery for queries."""

    def __len__(self) -> int:
        """Return the number of queries."""

    @property
    def gallery(self) -> int:
        """Number of gallery rows."""

    def block(self, queries: slice) -> Row:
        """Return the scores of the queries of a block, higher is better; -inf is not found at all."""


class FloatScores:
    """Inner products of queries and gallery.

    Args:
        queries: ``[q, d]``.
        gallery: ``[n, d]``, float32 or float16, in memory or memory-mapped; read in parts.
        lengths: to multiply the gallery's rows with, ``[n]``, where they are unit rows of raw features.

    Raises:
        PerisphereError: different dimensions, or rows that are not finite.
    """

    def __init__(self, queries: NDArray, gallery: NDArray, lengths: NDArray | None = None) -> None:
        check_same_dim(queries, gallery)
        self._queries = np.ascontiguousarray(queries, np.float32)
        self._rows, self._lengths = gallery, lengths
        finite_squares(self._queries, "queries")
        for start in range(0, len(gallery), GALLERY_ROWS):
            finite_squares(self._part(start), f"gallery rows from {start}")

    def __len__(self) -> int:
        return len(self._queries)

    @property
    def gallery(self) -> int:
        """Number of gallery rows."""
        return len(self._rows)

    def block(self, queries: slice) -> Row:
        """Return the scores of a block of queries, which one product for all of them has given."""
        asked = self._queries[queries]
        scores = np.empty((len(asked), len(self._rows)), np.float32)
        for start in range(0, len(self._rows), GALLERY_ROWS):
            np.matmul(asked, self._part(start).T, out=scores[:, start : start + GALLERY_ROWS])
        return scores.__getitem__

    def _part(self, start: int) -> Vectors:
        rows = np.asarray(self._rows[start : start + GALLERY_ROWS], np.float32)
        if self._lengths is None:
            return rows
        return rows * self._lengths[start : start + GALLERY_ROWS, None]


class CodeScores:
    """Inner products of queries and decoded codes, summed from lookup tables.

    Args:
        queries: ``[q, d]``; the decoded ones where both sides are codes.
        tables: from queries ``[b, d]`` to their inner products with all codewords, float32 ``[b, M, K]``
            (``Codebooks.tables``).
        codes: uint8 ``[n, M]``.
    """

    def __init__(
        self, queries: NDArray, tables: Callable[[Vectors], Vectors], codes: NDArray[np.uint8]
    ) -> None:
        self._queries = np.ascontiguousarray(queries, np.float32)
        finite_squares(self._queries, "queries")
        self._tables, self._size = tables, len(codes)
        books, words = tables(self._queries[:1]).shape[1:]
        if codes.ndim != 2 or codes.shape[1] != books or (len(codes) and int(codes.max()) >= words):
            raise PerisphereError(
                f"codes {list(codes.shape)} do not belong to {books} books of {words} words; encode the "
                "gallery again with these codebooks (`perisphere codes encode`)."
            )
        pairs = range(0, books - 1, 2)
        self._pairs = [codes[:, m].astype(np.uint16) * np.uint16(words) + codes[:, m + 1] for m in pairs]
        self._last = np.ascontiguousarray(codes[:, -1]) if books % 2 else None

    def __len__(self) -> int:
        return len(self._queries)

    @property
    def gallery(self) -> int:
        """Number of gallery rows."""
        return self._size

    def block(self, queries: slice) -> Row:
        """Return the scores of a block of queries; each is summed when it is asked for."""
        tables = self._tables(self._queries[queries])

        def row(query: int) -> Vectors:
            table = tables[query]
            scores = np.zeros(self._size, np.float32) if self._last is None else _look(table[-1], self._last)
            for number, pair in enumerate(self._pairs):
                sums = np.add.outer(table[2 * number], table[2 * number + 1]).reshape(-1)
                scores += _look(sums, pair)
            return scores

        return row


def _look(table: Vectors, places: NDArray) -> Vectors:
    """Return the numbers of a table at some places."""
    found = np.empty(len(places), np.float32)
    # Unlike the plain form, "clip" needs no second buffer; every place is within the table.
    return np.take(table, places, out=found, mode="clip")

"""What an engine has to do to hold the vectors and rows of an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import polars as pl

from perisphere.index.filters import Expression

Found = tuple[np.ndarray, np.ndarray]
"""ids int64 ``[q, k]`` and scores float32 ``[q, k]``, higher is better."""

VECTOR = "vector"
"""The column of :meth:`Store.rows` that holds the vectors, an array of float32 of fixed length."""


class Store(Protocol):
    """Vectors and their rows in an engine, under ids that the index gives.

    An engine needs no transactions: the index notes in its folder what it has begun, and finishes it or takes
    it back. What an engine does must last when the call returns.
    """

    @property
    def window(self) -> int:
        """How many results a query may ask for."""

    @property
    def road(self) -> str:
        """How the engine searches, e.g. ``"milvus, FLAT"``."""

    def check(self, rows: pl.DataFrame) -> None:
        """Refuse rows that the engine cannot hold, before any is added."""

    def add(self, ids: np.ndarray, vectors: np.ndarray, rows: pl.DataFrame) -> None:
        """Add vectors (float32 ``[n, d]``) and rows (of catalog columns and ``root``) under new ``ids``."""

    def remove(self, ids: np.ndarray) -> None:
        """Remove ``ids`` (int64); those that are not there are passed over."""

    def rows(
        self, columns: Sequence[str], *, ids: np.ndarray | None = None, where: Expression | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield ``id`` and ``columns`` in blocks, by ascending id: of all, of ``ids``, or of what passes."""

    def search(self, queries: np.ndarray, k: int, where: Expression | None = None) -> Found:
        """Return the ``k`` best rows of each query (float32 ``[q, d]``); -1 and -inf stand for none."""

    def count(self, where: Expression | None = None) -> int:
        """Return how many rows there are, or pass."""

    def compact(self) -> None:
        """Give back the space of removed rows."""

    def drop(self) -> None:
        """Remove everything."""

    def close(self) -> None:
        """Let go of the engine; the object must not be used after this."""

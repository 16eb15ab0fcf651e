"""The vectors of points as a protocol of codes takes them: unit rows, or the lengths that a network gave."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.evaluation.points import Points
from perisphere.sphere.geometry import Vectors, finite_squares, is_unit

ROWS = 65_536
"""Read and converted at a time."""


@dataclass(frozen=True)
class PointFeatures:
    """Vectors on disk or in memory, and what brings each row to the length that is asked for.

    Attributes:
        vectors: float32 or float16 ``[n, d]``.
        factors: of each row, float32 ``[n]``; ``None`` where the rows are right as they are.
    """

    vectors: NDArray
    factors: Vectors | None

    @classmethod
    def of(cls, points: Points, unit: bool) -> "PointFeatures":
        """Return unit rows, or with ``unit`` false features of the lengths that the network gave.

        Raises:
            PerisphereError: the lengths were not kept, or a row is not finite.
        """
        if not unit and points.lengths is None:
            raise PerisphereError(
                f"{points.source}: keeps no lengths of features, which these codebooks need; embed again, or "
                "refit them on unit rows with `perisphere codes fit --start CODEBOOKS`."
            )
        squares = [
            finite_squares(np.asarray(points.vectors[start : start + ROWS], np.float32), points.source)
            for start in range(0, len(points), ROWS)
        ]
        length = np.sqrt(np.concatenate([*squares, np.empty(0, np.float32)]))
        if points.vectors.dtype == np.float16 or not is_unit(length**2):
            factors = (1 / np.where(length == 0, 1, length)).astype(np.float32)
            return cls(
                points.vectors, factors if points.lengths is None or unit else factors * points.lengths
            )
        return cls(points.vectors, None if unit else points.lengths)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.vectors)

    def rows(self) -> Vectors:
        """Return all rows, float32 ``[n, d]``."""
        parts = [np.empty((0, self.vectors.shape[1]), np.float32), *self.parts()]
        return np.concatenate(parts)

    def parts(self) -> Iterator[Vectors]:
        """Yield the rows in blocks, float32."""
        for start in range(0, len(self.vectors), ROWS):
            some = np.asarray(self.vectors[start : start + ROWS], np.float32)
            yield some if self.factors is None else some * self.factors[start : start + ROWS, None]

    def map(self, function: Callable[[Vectors], NDArray]) -> NDArray:
        """Return what ``function`` makes of each block of rows, one after another."""
        return np.concatenate([function(part) for part in self.parts()])

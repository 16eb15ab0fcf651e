"""The order of the photos of an epoch that learns from pairs: each photo, and one that shares its points."""

import numpy as np
from numpy.typing import NDArray

from perisphere.catalog.shared_points import Neighbours
from perisphere.training.loader import Places, derive


class PairOrder:
    """Every photo once as a query, each followed by its partner.

    A partner is drawn from the photos that share points with the query, or from all others where none does.
    Everything drawn follows from (seed, epoch).

    Args:
        neighbours: of the ``n`` photos, without their own selves.
        seed: of the draws.
        fixed: queries in the order given, and the same partners in every epoch, as validation needs it.

    Source: Wu et al., "Towers of Babel", ICCV 2021, section 4.2; there a photo could be drawn as its own
    partner, and a random one then took its place.
    """

    def __init__(self, neighbours: Neighbours, seed: int, *, fixed: bool = False) -> None:
        self.neighbours, self.seed, self.fixed = neighbours, seed, fixed
        self.shuffle = not fixed
        self.epoch = 0

    @property
    def count(self) -> int:
        """Photos of an epoch, queries and partners."""
        return 2 * len(self.neighbours)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next order."""
        self.epoch = 0 if self.fixed else epoch

    def __call__(self) -> Places:
        """Return the places of the epoch."""
        draw = np.random.default_rng(derive(self.seed, self.epoch))
        count = len(self.neighbours)
        queries = np.arange(count) if self.fixed else draw.permutation(count)
        return Places.of(np.stack((queries, self._partners(queries, draw)), 1).ravel())

    def _partners(self, queries: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.int64]:
        indptr, indices = self.neighbours.indptr, self.neighbours.indices
        degrees = np.diff(indptr)[queries]
        chance = draw.random(len(queries))
        others = len(queries) - 1
        stranger = (queries + 1 + (chance * others).astype(np.int64)) % len(queries)
        if not len(indices):
            return stranger
        drawn = np.minimum(indptr[queries] + (chance * degrees).astype(np.int64), len(indices) - 1)
        return np.where(degrees > 0, indices[drawn], stranger)

"""The order of the photos of an epoch whose batches hold P identities with K photos each.

Source: Hermans, Beyer and Leibe, "In defense of the triplet loss for person re-identification", 2017, section
2; how often an identity is drawn, and empty places: Wieczorek, Rychalska and Dabrowski, "On the unreasonable
effectiveness of centroids in image retrieval", ICONIP 2021.
"""

import numpy as np

from perisphere.errors import PerisphereError
from perisphere.training.loader import Places, derive

PHOTOS = 1
"""Tells the draws of photos from those of identities."""


class IdentityOrder:
    """Draws the identities of every batch and the photos of each, which are used up within the epoch.

    An identity with n photos is drawn ceil(n / K) times an epoch (its last photo is left out where it would
    be alone), P different ones for each batch, until fewer than P are left. So the number of batches differs
    a little from epoch to epoch. Everything follows from (seed, epoch): several devices share each batch, and
    their number changes nothing.

    Args:
        targets: int64 ``[n]``, the identity of each photo.
        identities: P, of a batch.
        instances: K, places of each identity.
        resample: fill the places of an identity that has too few photos left by repeating these; otherwise
            the places stay empty.
        seed: of the draws.

    Raises:
        PerisphereError: fewer than P identities have two photos.
    """

    shuffle = True

    def __init__(
        self, targets: np.ndarray, *, identities: int, instances: int, resample: bool, seed: int
    ) -> None:
        self.targets, self.identities, self.instances = targets, identities, instances
        self.resample, self.seed = resample, seed
        self.sizes = np.bincount(targets)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.times = -(-(self.sizes - (self.sizes % instances == 1)) // instances)
        if (usable := int((self.times > 0).sum())) < identities:
            raise PerisphereError(
                f"training photos: {usable} identities have two photos or more, and a batch needs "
                f"{identities}. Lower centroid.identities."
            )
        self.set_epoch(0)

    @property
    def count(self) -> int:
        """Places of this epoch."""
        return self.drawn.size * self.instances

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next order and draw the identities of its batches."""
        self.epoch = epoch
        self.drawn = self._identities(np.random.default_rng(derive(self.seed, epoch)))

    def __call__(self) -> Places:
        """Return the places of the epoch, K after K of one identity."""
        draw = np.random.default_rng(derive(self.seed, self.epoch, PHOTOS))
        shuffled = np.lexsort((draw.random(len(self.targets)), self.targets))
        drawn = self.drawn.ravel()
        used = _earlier(drawn) * self.instances
        left = np.minimum(self.sizes[drawn] - used, self.instances)
        place = np.tile(np.arange(self.instances), (len(drawn), 1))
        real = place < left[:, None]
        again = draw.integers(0, left[:, None], place.shape)
        rows = shuffled[(self.starts[drawn] + used)[:, None] + np.where(real, place, again)]
        return Places(rows.ravel(), real.ravel() | self.resample)

    def _identities(self, draw: np.random.Generator) -> np.ndarray:
        """Draw the identities of each batch, int64 ``[batches, P]``."""
        times = self.times.copy()
        available = np.flatnonzero(times)
        batches = []
        while len(available) >= self.identities:
            places = draw.choice(len(available), self.identities, replace=False)
            chosen = available[places]
            batches.append(chosen)
            times[chosen] -= 1
            available = np.delete(available, places[times[chosen] == 0])
        return np.stack(batches)


def _earlier(values: np.ndarray) -> np.ndarray:
    """Return how often each value has occurred before, int64 ``[n]``."""
    by_value = np.argsort(values, kind="stable")
    ordered = values[by_value]
    first = np.searchsorted(ordered, ordered)
    earlier = np.empty(len(values), np.int64)
    earlier[by_value] = np.arange(len(values)) - first
    return earlier

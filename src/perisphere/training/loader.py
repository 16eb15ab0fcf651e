"""Batches of photos whose order is a pure function of (seed, epoch)."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from perisphere.encoder import Preprocessing
from perisphere.encoder.loading import batches
from perisphere.encoder.preprocessing import View
from perisphere.errors import PerisphereError
from perisphere.progress import bar
from perisphere.training.photos import Photos

PADDING = -100
"""Target of a row that only fills the last batch up; cross-entropy leaves it out."""

VIEWS = 2**32
"""Tells the seed of an epoch's views from the seeds of its steps."""


class Batch(NamedTuple):
    """Photos of one step on one device.

    Attributes:
        pictures: uint8 RGB ``[n, h, w, 3]``, or what the frozen part of the network made of them.
        targets: int64 ``[n]``, class numbers or :data:`PADDING`.
        seed: for everything random that is done to these pictures.
        real: bool ``[n]``, false where a place has no photo of its own: it shows some other photo and counts
            as an empty picture of its class, or only fills the batch up.
    """

    pictures: Tensor
    targets: Tensor
    seed: int
    real: Tensor


class Places(NamedTuple):
    """The places of an epoch, batch after batch.

    Attributes:
        rows: int64 ``[n]``, positions of photos.
        real: bool ``[n]``, see :class:`Batch`.
    """

    rows: np.ndarray
    real: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> "Places":
        """Give each place its own photo."""
        return cls(rows, np.ones(len(rows), bool))


def derive(*numbers: int) -> int:
    """Return a seed of 63 bits that depends on all ``numbers`` and their order."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Order(Protocol):
    """The order of the photos in one epoch; Lightning sets the epoch, after a resume too."""

    epoch: int
    shuffle: bool

    @property
    def count(self) -> int:
        """Return how many places the epoch has."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next order."""
        ...

    def __call__(self) -> Places:
        """Return the places of the epoch."""
        ...


class EpochOrder:
    """Every photo once, shuffled anew in each epoch or in the order given."""

    def __init__(self, count: int, seed: int, *, shuffle: bool) -> None:
        self.count, self.seed, self.shuffle = count, seed, shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next order."""
        self.epoch = epoch

    def __call__(self) -> Places:
        """Return the places of the epoch."""
        if not self.shuffle:
            return Places.of(np.arange(self.count))
        return Places.of(np.random.default_rng(derive(self.seed, self.epoch)).permutation(self.count))


class Batches(ABC):
    """Batches for one of ``world`` devices that share each batch.

    Args:
        targets: int64 ``[n]``, the class of each photo.
        batch_size: of all devices together.
        seed: of the order and of the batches' seeds.
        shuffle: whether each epoch has its own order; an incomplete last batch is then left out.
        rank: which device this is.
        world: number of devices.
        order: of the photos, in place of every one of them once.
        steps: batches of all epochs together, the last of which is then shorter; ``None``: no limit.
        group: places, one after another, that one device takes together; a batch is a whole number of them
            for each device.
    """

    def __init__(
        self,
        targets: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        world: int = 1,
        order: Order | None = None,
        steps: int | None = None,
        group: int = 1,
    ) -> None:
        self.targets, self.seed, self.rank, self.world, self.steps = targets, seed, rank, world, steps
        self.sampler: Order = order or EpochOrder(len(targets), seed, shuffle=shuffle)
        self.batch_sampler = None  # Lightning asks for both names of a DataLoader
        together = world * group
        whole = min(batch_size, -(-self.sampler.count // together) * together)
        self.share = whole // world

    @abstractmethod
    def pictures(self, rows: np.ndarray) -> Iterator[Tensor]:
        """Yield what there is of the photos at positions ``rows``, a share at a time.

        Rows below zero only fill a batch up.
        """

    @abstractmethod
    def varied(self, rows: np.ndarray, epoch: int) -> Iterator[Tensor]:
        """Yield the same, changed as this loader changes it from epoch to epoch."""

    def __len__(self) -> int:
        left = self._whole if self.steps is None else self.steps - self.sampler.epoch * self._whole
        return max(1, min(self._whole, left))

    @property
    def _whole(self) -> int:
        """Batches of an epoch that nothing cuts short."""
        whole = self.share * self.world
        count = self.sampler.count
        return max(count // whole, 1) if self.sampler.shuffle else -(-count // whole)

    @property
    def epochs(self) -> int | None:
        """Epochs that ``steps`` take, the last of them perhaps a shorter one; ``None`` without a limit."""
        return None if self.steps is None else -(-self.steps // self._whole)

    def __iter__(self) -> Iterator[Batch]:
        epoch, places = self.sampler.epoch, self.sampler()
        order, real = self._own(places.rows, -1), self._own(places.real, False)
        for step, batch in enumerate(self.varied(order, epoch)):
            own = slice(step * self.share, (step + 1) * self.share)
            targets = np.where(order[own] < 0, PADDING, self.targets[order[own]])
            yield Batch(
                batch, torch.from_numpy(targets), derive(self.seed, epoch, step), torch.from_numpy(real[own])
            )

    def _own(self, order: np.ndarray, filling: int) -> np.ndarray:
        """Return this device's share of every batch, one after another; ``filling`` fills up."""
        whole = self.share * self.world
        filled = np.full(len(self) * whole, filling, order.dtype)
        filled[: min(len(order), len(filled))] = order[: len(filled)]
        if self.sampler.shuffle:
            filled[len(order) :] = order[: max(len(filled) - len(order), 0)]
        return filled.reshape(-1, self.world, self.share)[:, self.rank].ravel()


class Loader(Batches):
    """Batches of pictures.

    Photos are decoded once and kept as uint8 where they fit under ``cache_mb``, since then a small network on
    few cores is bounded by its own arithmetic; otherwise threads decode ahead of the network.

    Args:
        photos: what to load.
        preprocessing: its geometry is applied.
        cache_mb: limit of the pictures kept in memory.
        workers: decoding threads; 0 means one a core.
        shorter: pixels of the shorter side, from and to: a random one for each photo, of which a random place
            is seen. Photos are then decoded anew in every epoch.
        order: how :class:`Batches` orders them.
    """

    def __init__(
        self,
        photos: Photos,
        preprocessing: Preprocessing,
        *,
        cache_mb: int,
        workers: int = 0,
        shorter: tuple[int, int] | None = None,
        **order: Any,
    ) -> None:
        super().__init__(photos.targets, **order)
        self.photos, self.preprocessing, self.workers = photos, preprocessing, workers
        self.shorter = shorter
        height, width = preprocessing.size
        fits = len(photos) * height * width * 3 <= cache_mb * 2**20
        self.cache = self._decoded() if fits and shorter is None else None

    def pictures(self, rows: np.ndarray, views: Sequence[View] | None = None) -> Iterator[Tensor]:
        """Yield the pictures at positions ``rows``, a share at a time: uint8 ``[share, h, w, 3]``.

        Args:
            rows: int64 ``[n]``.
            views: the part of each to see; ``None``: what the preprocessing shows.
        """
        return self._streamed(rows, views) if self.cache is None else self._cached(rows)

    def varied(self, rows: np.ndarray, epoch: int) -> Iterator[Tensor]:
        """Yield pictures of random parts of the photos where ``shorter`` asks for them."""
        return self.pictures(rows, None if self.shorter is None else self._views(epoch))

    def _views(self, epoch: int) -> list[View]:
        """Draw the parts of an epoch for the joint batches, and return this device's share of them."""
        assert self.shorter is not None
        low, high = self.shorter
        count = len(self) * self.share * self.world
        draws = np.random.default_rng(derive(self.seed, epoch, VIEWS))
        sides, places = draws.integers(low, high, count, endpoint=True), draws.random((count, 2))
        own = np.arange(count).reshape(-1, self.world, self.share)[:, self.rank].ravel()
        return [View(int(sides[row]), *places[row].tolist()) for row in own]

    def _cached(self, order: np.ndarray) -> Iterator[Tensor]:
        assert self.cache is not None
        for start in range(0, len(order), self.share):
            yield self.cache[torch.from_numpy(order[start : start + self.share]).clamp(min=0)]

    def _streamed(self, order: np.ndarray, views: Sequence[View] | None) -> Iterator[Tensor]:
        paths = [self.photos.paths[row] for row in order.clip(min=0)]
        size, workers = self.share, self.workers
        for batch in batches(paths, self.preprocessing, batch_size=size, workers=workers, views=views):
            if batch.failures:
                raise PerisphereError(batch.failures[0][1])
            yield torch.from_numpy(np.asarray(batch.pictures))

    def _decoded(self) -> Tensor:
        height, width = self.preprocessing.size
        pictures = torch.empty(len(self.photos), height, width, 3, dtype=torch.uint8)
        done = 0
        with bar("decoding", len(self.photos)) as advance:
            for batch in batches(self.photos.paths, self.preprocessing, batch_size=256, workers=self.workers):
                if batch.failures:
                    raise PerisphereError(batch.failures[0][1])
                pictures[batch.start : batch.stop] = torch.from_numpy(np.asarray(batch.pictures))
                advance(batch.stop - done)
                done = batch.stop
        return pictures

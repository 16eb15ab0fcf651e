"""From a batch of uint8 pictures to what the method segmentation learns from, on the device."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from perisphere.encoder import Preprocessing
from perisphere.methods.segmentation import Views
from perisphere.training.augmentation import Augmentation, Windows
from perisphere.training.concept_photos import ConceptData
from perisphere.training.loader import Batch, derive

NEGATIVES = 2**33
"""Tells the seed of what is drawn about points from those of pictures."""


@dataclass(frozen=True)
class PreparePairs:
    """Augments (in training) and normalises pictures, and moves the points that pairs share along.

    Attributes:
        preprocessing: of the encoder that is trained.
        augmentation: of the training pictures; both of a pair are changed, each on its own.
        data: concepts and points of the photos, whose numbers are the targets of a batch.
        paired: whether photos to validate with come in pairs as those to learn from do.
        most: points of a pair at most.
        rank: which of ``world`` devices this is.
        world: number of devices.
    """

    preprocessing: Preprocessing
    augmentation: Augmentation
    data: ConceptData
    paired: bool
    most: int | None
    rank: int = 0
    world: int = 1

    def __call__(self, batch: Batch, training: bool) -> Views:
        """Return the queries of a batch and then their partners, which lie side by side in it."""
        pictures, numbers = batch.pictures, batch.targets
        if not training:
            pictures, numbers = pictures[numbers >= 0], numbers[numbers >= 0]
        images, windows = self._varied(pictures, numbers, batch.seed, training)
        paired = training or self.paired
        if paired:
            order = torch.arange(len(images)).view(-1, 2).T.reshape(-1).to(images.device)
            images, numbers = images[order], numbers[order]
            windows = Windows(*(part[order] for part in windows))
        seed = derive(batch.seed, self.rank, NEGATIVES)
        photos = numbers.cpu().numpy()
        points, real = self._points(photos, windows, seed) if paired else (None, None)
        size = self.preprocessing.size
        if images.shape[2:] != size:
            images = torch.nn.functional.interpolate(images, size, mode="area")
        return Views(
            self.preprocessing.normalise((images * 255).permute(0, 2, 3, 1)),
            images,
            torch.from_numpy(self.data.related[photos]).to(images.device),
            torch.from_numpy(self.data.primary[photos]).to(images.device),
            points,
            real,
            seed,
        )

    def _varied(self, pictures: Tensor, numbers: Tensor, seed: int, training: bool) -> tuple[Tensor, Windows]:
        """Return pictures in 0..1, changed in training, and what they show of the given ones."""
        images = pictures.permute(0, 3, 1, 2).float() / 255
        if not training:
            return images, Windows.whole(len(images), images.device)
        aspects = None
        if self.preprocessing.resize == "squash":
            aspects = torch.from_numpy(self.data.aspects[numbers.cpu().numpy()]).to(images.device)
        varied = self.augmentation.varied(
            images,
            self.preprocessing.size,
            seed,
            self.rank,
            self.world,
            mean=self.preprocessing.mean_colour,
            aspects=aspects,
        )
        return varied.images, varied.windows

    def _points(self, photos: np.ndarray, windows: Windows, seed: int) -> tuple[Tensor, Tensor]:
        """Return where the pairs share points, of queries and then partners ``photos``."""
        pairs = len(photos) // 2
        device = windows.top.device
        draw = np.random.default_rng(seed)
        places, real = self.data.points.shared(photos[:pairs], photos[pairs:], self.most, draw)
        points, seen = torch.from_numpy(places).to(device), torch.from_numpy(real).to(device)
        parts = []
        for half, columns in ((slice(None, pairs), slice(0, 2)), (slice(pairs, None), slice(2, 4))):
            moved, inside = Windows(*(part[half] for part in windows)).points(points[..., columns])
            parts.append(moved)
            seen = seen & inside
        return torch.cat(parts, -1), seen

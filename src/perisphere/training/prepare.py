"""From a batch of uint8 pictures to the network's input, on the device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from perisphere.encoder import Preprocessing
from perisphere.training.augmentation import Augmentation
from perisphere.training.loader import Batch


@dataclass(frozen=True)
class Prepare:
    """Augments (in training) and normalises.

    Attributes:
        preprocessing: of the encoder that is trained.
        augmentation: of the training pictures.
        rank: which of ``world`` devices this is.
        world: number of devices.
    """

    preprocessing: Preprocessing
    augmentation: Augmentation
    rank: int = 0
    world: int = 1

    def __call__(self, batch: Batch, training: bool) -> tuple[Tensor, Tensor]:
        """Return images float32 ``[n, 3, h, w]`` and targets int64 ``[n]``.

        What frozen layers made of the photos passes as it is.
        """
        pictures = batch.pictures
        if pictures.dtype != torch.uint8:
            return pictures, batch.targets
        if training and self.augmentation.active:
            images = pictures.permute(0, 3, 1, 2).float() / 255
            images = self.augmentation(
                images,
                self.preprocessing.size,
                batch.seed,
                self.rank,
                self.world,
                mean=self.preprocessing.mean_colour,
            )
            pictures = (images * 255).permute(0, 2, 3, 1)
        return self.preprocessing.normalise(pictures), batch.targets

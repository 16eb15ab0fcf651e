"""What every method does that learns from photos with a class each: count its figures over an epoch."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from perisphere.nets import EmbeddingNet


class Supervised(LightningModule, ABC):
    """A loss on embeddings of photos with a class each.

    At the end of an epoch it logs every figure of :meth:`judge` as ``train/NAME`` and ``val/NAME``: means
    over the photos of all devices. Training may have further ones.

    Args:
        net: images to embeddings; what remains after training.
        prepare: batch from the loader to (float32 images ``[n, 3, h, w]``, int64 targets ``[n]``); targets
            below zero are left out. Its second argument says whether the batch is for training.
        optimise: what ``configure_optimizers`` returns.

    Attributes:
        figures: the names that :meth:`judge` returns; ``loss`` and ``accuracy`` (0..1) are among them.
        learned: the names of what is counted in training alone.
    """

    figures: tuple[str, ...] = ("loss", "accuracy")
    learned: tuple[str, ...] = ()

    def __init__(
        self,
        net: EmbeddingNet,
        *,
        prepare: Callable[[Any, bool], tuple[Tensor, Tensor]],
        optimise: Callable[[], Any],
    ) -> None:
        super().__init__()
        self.net, self.prepare, self.optimise = net, prepare, optimise
        self._sums: dict[str, Tensor] = {}

    @abstractmethod
    def judge(self, images: Tensor, targets: Tensor, training: bool) -> dict[str, Tensor]:
        """Return the :attr:`figures`, each a mean over the photos.

        Args:
            images: float32 ``[n, 3, h, w]``, at least one.
            targets: int64 ``[n]``, 0 or more.
            training: whether this is a step of training or of validation.
        """

    def logits(self, images: Tensor) -> Tensor | None:
        """Return what the classifier on top says of images, float ``[n, classes]``; None if there is none."""
        return None

    def configure_optimizers(self) -> Any:
        """Hand Lightning the optimiser and its schedule."""
        return self.optimise()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, ...]:
        """Augment and normalise on the device, in full precision."""
        return self.prepare(batch, bool(self.trainer.training))

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Return the mean loss of the batch."""
        images, targets = batch
        figures = self.judge(images, targets, True)
        self._count("train", figures, len(targets))
        return figures["loss"]

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Add up the figures of the batch; rows that only fill it up count for nothing."""
        images, targets = batch
        known = targets >= 0
        nothing = dict.fromkeys(self.figures, images.new_zeros(()))
        figures = self.judge(images[known], targets[known], False) if known.any() else nothing
        self._count("val", figures, int(known.sum()))

    def on_train_epoch_end(self) -> None:
        """Log the means of the epoch."""
        self._log("train")

    def on_validation_epoch_end(self) -> None:
        """Log the means of the pass."""
        self._log("val")

    def _names(self, phase: str) -> tuple[str, ...]:
        return self.figures + self.learned if phase == "train" else self.figures

    def _count(self, phase: str, figures: dict[str, Tensor], photos: int) -> None:
        means = torch.stack([figures[name].detach().double() for name in self._names(phase)])
        sums = torch.cat([means * photos, means.new_tensor([photos])])
        self._sums[phase] = self._sums[phase] + sums if phase in self._sums else sums

    def _log(self, phase: str) -> None:
        *sums, photos = self.trainer.strategy.reduce(self._sums.pop(phase), reduce_op="sum").tolist()
        names = self._names(phase)
        means = {f"{phase}/{name}": value / photos for name, value in zip(names, sums, strict=True)}
        self.log_dict(means, logger=False)


def accuracy(scores: Tensor, targets: Tensor, tie: float = 0.0) -> Tensor:
    """Return the share of rows whose own class has the highest score.

    Args:
        scores: float ``[n, classes]``.
        targets: int64 ``[n]``.
        tie: an own score that is lower than the highest one by no more than this counts as the highest.
            0 takes the first of equal scores.
    """
    if not tie:
        return (scores.argmax(1) == targets).double().mean()
    own = scores.gather(1, targets[:, None]).squeeze(1)
    return (scores.amax(1) - own <= tie).double().mean()

"""Method ``landmark``: a network learns to tell the classes apart, and its embedding then serves retrieval.

Source: classification fine-tuning for retrieval, Babenko et al., "Neural codes for image retrieval",
ECCV 2014.
"""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional

from perisphere.nets import EmbeddingNet


class Landmark(LightningModule):
    """Cross-entropy over classes on the embedding.

    At the end of an epoch it logs ``train/loss``, ``train/accuracy``, ``val/loss`` and ``val/accuracy``:
    means over the photos of all devices, in 0..1 for the accuracies.

    Args:
        net: images to embeddings; what remains after training.
        classifier: embeddings ``[n, dim]`` to logits ``[n, classes]``; thrown away after training.
        prepare: batch from the loader to (float32 images ``[n, 3, h, w]``, int64 targets ``[n]``); targets
            below zero are left out. Its second argument says whether the batch is for training.
        optimise: what ``configure_optimizers`` returns.
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al. 2016).
    """

    def __init__(
        self,
        net: EmbeddingNet,
        classifier: nn.Module,
        *,
        prepare: Callable[[Any, bool], tuple[Tensor, Tensor]],
        optimise: Callable[[], Any],
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.net, self.classifier = net, classifier
        self.prepare, self.optimise, self.label_smoothing = prepare, optimise, label_smoothing
        self._sums: dict[str, Tensor] = {}

    def configure_optimizers(self) -> Any:
        """Hand Lightning the optimiser and its schedule."""
        return self.optimise()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        return self.classifier(self.net(images))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Augment and normalise on the device, in full precision."""
        return self.prepare(batch, bool(self.trainer.training))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the mean loss of the batch."""
        images, targets = batch
        logits = self(images)
        loss = functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        self._count("train", logits.detach(), targets, loss.detach())
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Add up the loss (without smoothing) and the hits of the batch."""
        images, targets = batch
        logits = self(images)
        known = targets >= 0
        loss = (
            functional.cross_entropy(logits[known], targets[known]) if known.any() else logits.new_zeros(())
        )
        self._count("val", logits, targets, loss)

    def on_train_epoch_end(self) -> None:
        """Log the means of the epoch."""
        self._log("train")

    def on_validation_epoch_end(self) -> None:
        """Log the means of the pass."""
        self._log("val")

    def _count(self, phase: str, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        known = int((targets >= 0).sum())
        hits = (logits.argmax(1) == targets).sum()
        sums = torch.stack([loss.double() * known, hits.double(), hits.new_tensor(known).double()])
        self._sums[phase] = self._sums[phase] + sums if phase in self._sums else sums

    def _log(self, phase: str) -> None:
        sums = self.trainer.strategy.reduce(self._sums.pop(phase), reduce_op="sum")
        loss, accuracy = (sums[:2] / sums[2]).tolist()
        self.log_dict({f"{phase}/loss": loss, f"{phase}/accuracy": accuracy}, logger=False)

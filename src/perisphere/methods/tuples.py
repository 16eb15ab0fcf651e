"""Method ``tuples``: photos of one class are drawn together and hard negatives pushed away.

Source: Radenovic et al., "Fine-tuning CNN image retrieval with no human annotation", PAMI 2019.
"""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional

from perisphere.losses import NEGATIVE, POSITIVE, QUERY
from perisphere.nets import EmbeddingNet

Loss = Callable[[Tensor, Tensor], Tensor]


class Tuples(LightningModule):
    """A loss over tuples of a query, its positive and its negatives, which lie one after another in a batch.

    At the end of an epoch it logs ``train/loss`` and ``val/loss``, means over the tuples.

    Args:
        net: images to embeddings.
        loss: unit vectors ``[n, d]`` and labels ``[n]`` to the sum over the tuples, see
            :mod:`perisphere.losses.tuples`.
        negatives: of each tuple.
        prepare: batch from the loader to (float32 images ``[n, 3, h, w]``, int64 targets ``[n]``); rows with
            targets below zero only fill a batch up. Its second argument says whether it is for training.
        optimise: what ``configure_optimizers`` returns.
    """

    def __init__(
        self,
        net: EmbeddingNet,
        loss: Loss,
        negatives: int,
        *,
        prepare: Callable[[Any, bool], tuple[Tensor, Tensor]],
        optimise: Callable[[], Any],
    ) -> None:
        super().__init__()
        self.net, self.loss, self.prepare, self.optimise = net, loss, prepare, optimise
        self.pattern = torch.tensor([QUERY, POSITIVE, *[NEGATIVE] * negatives])
        self._sums: dict[str, Tensor] = {}

    def configure_optimizers(self) -> Any:
        """Hand Lightning the optimiser and its schedule."""
        return self.optimise()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Augment and normalise on the device, in full precision."""
        return self.prepare(batch, bool(self.trainer.training))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the summed loss of the batch: gradients add up over tuples, as published."""
        return self._step("train", batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Add up the loss of the batch."""
        self._step("val", batch)

    def on_train_epoch_end(self) -> None:
        """Log the mean of the epoch."""
        self._log("train")

    def on_validation_epoch_end(self) -> None:
        """Log the mean of the pass."""
        self._log("val")

    def _step(self, phase: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, targets = batch
        images = images[targets >= 0]
        vectors = functional.normalize(self.net(images))
        tuples = len(images) // len(self.pattern)
        loss = self.loss(vectors, self.pattern.to(vectors.device).repeat(tuples))
        sums = torch.stack([loss.detach().double(), loss.new_tensor(tuples, dtype=torch.float64)])
        self._sums[phase] = self._sums[phase] + sums if phase in self._sums else sums
        return loss

    def _log(self, phase: str) -> None:
        sums = self.trainer.strategy.reduce(self._sums.pop(phase), reduce_op="sum")
        self.log_dict({f"{phase}/loss": float(sums[0] / sums[1])}, logger=False)

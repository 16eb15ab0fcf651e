"""The learning rate of every step: set from the place in the run, so that a resumed run has the same."""

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from perisphere.training.schedules import Constant, Plateau


class Rates(Callback):
    """Sets the rate of every parameter group before each step: ``group["rate"] * lr`` times the factor.

    Args:
        schedule: what the rate does over the epochs.
        lr: the learning rate.
        epochs: that the schedule spans.
        first: epochs before it, at the rate ``first_lr``.
        first_lr: of these; by default ``lr``.

    Attributes:
        share: what a plateau has left of the rate.
        least: the least validation loss so far.
        waited: epochs without a lower one.
    """

    def __init__(
        self,
        schedule: Constant,
        lr: float,
        *,
        epochs: int,
        first: int = 0,
        first_lr: float | None = None,
    ) -> None:
        self.schedule, self.lr, self.epochs = schedule, lr, epochs
        self.first, self.first_lr = first, first_lr or lr
        self.share, self.least, self.waited = 1.0, math.inf, 0

    def state_dict(self) -> dict[str, Any]:
        """Return what a plateau has seen."""
        return {"share": self.share, "least": self.least, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what the run that is resumed had seen."""
        self.share, self.least, self.waited = (state_dict[name] for name in ("share", "least", "waited"))

    def rate(self, epoch: float, step: int = 0) -> float:
        """Return the learning rate at ``epoch`` (2.5 = half-way through the third), after ``step`` steps."""
        if epoch < self.first:
            return self.first_lr
        return self.lr * self.share * self.schedule.factor(epoch - self.first, self.epochs, self.lr, step)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the rates of the step."""
        epoch = trainer.current_epoch + batch_idx / trainer.num_training_batches
        rate = self.rate(epoch, trainer.global_step)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = group["rate"] * rate

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the validation loss."""
        if isinstance(self.schedule, Plateau) and trainer.current_epoch >= self.first:
            self.observe(float(trainer.callback_metrics["val/loss"]))

    def observe(self, loss: float) -> None:
        """Lower the rate where the loss has not fallen for long enough (as Keras 2.2 counts)."""
        assert isinstance(self.schedule, Plateau)
        if loss < self.least - self.schedule.threshold:
            self.least, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited >= self.schedule.patience:
            floor = min(self.share, self.schedule.min_lr / self.lr)
            self.share, self.waited = max(self.share * self.schedule.gamma, floor), 0

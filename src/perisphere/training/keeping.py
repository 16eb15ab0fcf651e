"""What a run keeps at the end of every epoch: history, the best encoder, checkpoints.

All three keepers are Lightning ``Checkpoint`` callbacks, so that Lightning calls them last and in this order:
the checkpoint then holds the state of the other two, and a killed run goes on from the end of an epoch.
"""

import json
import math
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from perisphere.encoder import Encoder
from perisphere.progress import Advance, bar
from perisphere.storage import whole_file
from perisphere.training.loader import Batches, derive


class History(Checkpoint):
    """One row of metrics an epoch: in ``rows``, in a JSON file, and as one point each in TensorBoard.

    Args:
        path: of the JSON file.
        tensorboard: folder of the event files.
        before: rows of the data sets trained on before.
        data: number of this data set, from 1.
    """

    def __init__(self, path: Path, tensorboard: Path, before: list[dict[str, Any]], data: int) -> None:
        self.path, self.tensorboard, self.before, self.data = path, tensorboard, before, data
        self.rows: list[dict[str, Any]] = []
        self.lr = 0.0
        self.writer: SummaryWriter | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the rows of the run that is resumed."""
        self.rows = list(state_dict["rows"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the event file; points after the resumed epoch are withdrawn."""
        if trainer.is_global_zero:
            purge = len(self.rows) + 1 if self.rows else None
            self.writer = SummaryWriter(str(self.tensorboard), purge_step=purge)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Remember the highest learning rate of the step, which the schedule changes right after it."""
        self.lr = max(group["lr"] for group in trainer.optimizers[0].param_groups)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row."""
        metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        metrics["lr"] = self.lr
        epoch = trainer.current_epoch + 1
        self.rows.append({"data": self.data, "epoch": epoch, **metrics})
        if self.writer is not None:
            for name, value in metrics.items():
                self.writer.add_scalar(name, value, epoch)
            self.writer.flush()
            with whole_file(self.path) as part:
                part.write_text(json.dumps(self.before + self.rows, indent=1) + "\n")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the event file."""
        if self.writer is not None:
            self.writer.close()


class Best(Checkpoint):
    """Writes the encoder whenever validation improves: in accuracy or, where that is the same, in loss.

    Without validation it writes the last one.

    Args:
        folder: of the encoder.
        encoder: makes the encoder of an epoch (from 1) with its metrics.
        by: a figure that decides alone, in the epochs that have it.
        since: epochs that are never kept, whatever their figures.
    """

    def __init__(
        self,
        folder: Path,
        encoder: Callable[[int, dict[str, float]], Encoder],
        by: str | None = None,
        since: int = 0,
    ) -> None:
        self.folder, self.encoder, self.by, self.since = folder, encoder, by, since
        self.value: list[float] = [-math.inf, -math.inf]
        self.epoch = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far and its epoch."""
        return {"value": self.value, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best of the run that is resumed."""
        self.value, self.epoch = state_dict["value"], state_dict["epoch"]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the encoder if this epoch is the one to keep."""
        epoch = trainer.current_epoch + 1
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        value = self._value(metrics, last=epoch == trainer.max_epochs)
        if epoch > self.since and value > self.value:
            self.value, self.epoch = value, epoch
            if trainer.is_global_zero:
                self.encoder(epoch, metrics).save(self.folder, overwrite=self.folder.exists())

    def _value(self, metrics: dict[str, float], *, last: bool) -> list[float]:
        """Return what an epoch is worth; minus infinity for one that is not to be kept."""
        if self.by is not None:
            return [metrics.get(self.by, -math.inf), -math.inf]
        if "val/loss" in metrics:
            return [metrics.get("val/accuracy", 0.0), -metrics["val/loss"]]
        return [0.0 if last else -math.inf, -math.inf]


class Checkpoints(Checkpoint):
    """Writes ``last.ckpt`` at the end of every epoch and keeps one every so many epochs.

    Args:
        folder: of the files.
        every: epochs between the ones kept; 0 keeps none.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every

    @property
    def last(self) -> Path:
        """The checkpoint that a resumed run goes on from."""
        return self.folder / "last.ckpt"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the checkpoint beside its name, then rename it."""
        epoch = trainer.current_epoch + 1
        if self.every and epoch % self.every == 0:
            _write(trainer, self.folder / f"epoch-{epoch:04d}.ckpt")
        _write(trainer, self.last)


def _write(trainer: Trainer, path: Path) -> None:
    # every device takes part in gathering the state, the first one writes
    if not trainer.is_global_zero:
        trainer.save_checkpoint(path)
        return
    with whole_file(path) as part:
        trainer.save_checkpoint(part)


class EpochSeeds(Callback):
    """Seeds every random generator from (seed, data set, epoch, rank), so that no state has to be kept."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed Python, NumPy and PyTorch."""
        seed = derive(*self.numbers, trainer.current_epoch, trainer.global_rank)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - the global state is what is to be fixed
        torch.manual_seed(seed)


class EpochLength(Callback):
    """Tells Lightning the length of every epoch, since it asks but once: identities leave some more or fewer.

    Args:
        batches: to learn from; their number depends on the epoch.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the length of this epoch, which Lightning has just set the order to."""
        loop, length = trainer.fit_loop, len(self.batches)
        if length == loop.max_batches:
            return
        assert loop._combined_loader is not None  # Lightning has no public place for this
        assert loop._data_fetcher is not None
        loop.max_batches = trainer.val_check_batch = length
        loop._combined_loader.limits = [length]
        iter(loop._data_fetcher)


class FrozenNorms(Callback):
    """Keeps batch norms whose parameters are frozen in evaluation mode: their statistics stay too."""

    def __init__(self, norms: Sequence[nn.Module]) -> None:
        self.norms = norms

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Undo the training mode of the whole."""
        for norm in self.norms:
            norm.eval()


class Bar(Callback):
    """A bar over all epochs, counted in photos: so many an epoch, whose length may differ a little."""

    def __init__(self, photos: int) -> None:
        self.photos, self.left = photos, photos
        self._open = ExitStack()
        self._advance: Advance = lambda n=1: None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar where it stands."""
        if trainer.is_global_zero:
            self._advance = self._open.enter_context(bar("training", self.photos * (trainer.max_epochs or 0)))
            self._advance(self.photos * trainer.current_epoch)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Move it by one batch."""
        seen = min(len(args[1][0]) * trainer.world_size, self.left)
        self.left -= seen
        self._advance(seen)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move it to the end of the epoch."""
        self._advance(self.left)
        self.left = self.photos

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the terminal as it was."""
        self._open.close()

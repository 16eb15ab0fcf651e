"""Fine-tuning in two phases: first the new layers alone, on top of a network that stays as it is, then all.

Source: Barz and Denzler, "Hierarchy-based image embeddings for semantic image retrieval", WACV 2019.
"""

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from perisphere.errors import UsageError
from perisphere.nets import EmbeddingNet

NEW = ("projection", "bnneck")
"""Parts of the network that are new, beside everything that lies outside it (classifiers, centres)."""


class NewLayersFirst(Callback):
    """Keeps the backbone and its pooling as they are during the first epochs, statistics included.

    Args:
        net: frozen as wished for the time afterwards.
        epochs: in which only the new layers learn.
    """

    def __init__(self, net: EmbeddingNet, epochs: int) -> None:
        self.epochs = epochs
        parts: list[nn.Module] = [part for name, part in net.named_children() if name not in NEW]
        self.kept = [tensor for part in parts for tensor in part.parameters() if tensor.requires_grad]
        self.norms = [one for part in parts for one in part.modules() if isinstance(one, _BatchNorm)]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a network without new layers.

        Raises:
            UsageError: nothing would learn.
        """
        kept = {id(tensor) for tensor in self.kept}
        if all(id(tensor) in kept or not tensor.requires_grad for tensor in pl_module.parameters()):
            raise UsageError(
                "'finetune_init': there is neither a projection nor a classifier to learn first. "
                "Set net.projection, or leave finetune_init out."
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze, or begin the second phase as a new run would: without momentum."""
        first = trainer.current_epoch < self.epochs
        if trainer.world_size == 1:  # saves the way back; several devices wait for every gradient
            for tensor in self.kept:
                tensor.requires_grad_(not first)
        for norm in self.norms:
            norm.train(not first)
        if trainer.current_epoch == self.epochs:
            trainer.optimizers[0].state.clear()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Leave the kept parameters out of the step, its weight decay and the norm of its gradient."""
        if trainer.current_epoch < self.epochs:
            for tensor in self.kept:
                tensor.grad = None

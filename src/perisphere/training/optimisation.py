"""From a recipe's words to PyTorch's optimiser and its learning-rate schedule."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from perisphere.nets import EmbeddingNet
from perisphere.training.freezing import parameter_groups
from perisphere.training.recipe import Adam, Recipe, Sgd


def optimiser(choice: Sgd | Adam, groups: list[dict]) -> Optimizer:
    """Build the optimiser over parameter groups that carry their own rates."""
    if isinstance(choice, Sgd):
        return torch.optim.SGD(
            groups, choice.lr, choice.momentum, weight_decay=choice.weight_decay, nesterov=choice.nesterov
        )
    kind = torch.optim.AdamW if choice.name == "adamw" else torch.optim.Adam
    return kind(groups, choice.lr, choice.betas, weight_decay=choice.weight_decay)


def optimisation(
    recipe: Recipe, net: EmbeddingNet, classifier: nn.Module, *, steps: int, epochs: int
) -> dict[str, Any]:
    """Return what Lightning's ``configure_optimizers`` returns.

    Args:
        recipe: optimiser and schedule.
        net: frozen as wished.
        classifier: on top of it.
        steps: optimiser steps an epoch.
        epochs: of this data set.
    """
    groups = parameter_groups(net, classifier, recipe.optimizer.rates, recipe.optimizer.lr)
    chosen = optimiser(recipe.optimizer, groups)
    schedule = LambdaLR(chosen, lambda step: recipe.schedule.factor(step / steps, epochs))
    return {"optimizer": chosen, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

"""From a recipe's words to PyTorch's optimiser: what learns, how fast, and what decays."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

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


def optimisation(recipe: Recipe, net: EmbeddingNet, classifier: nn.Module) -> Optimizer:
    """Return what Lightning's ``configure_optimizers`` returns.

    Args:
        recipe: its optimiser; the schedule is kept by :class:`~perisphere.training.rates.Rates`.
        net: frozen as wished.
        classifier: on top of it.
    """
    choice = recipe.optimizer
    groups = parameter_groups(net, classifier, choice.rates, choice.lr)
    for group in groups:
        group["rate"] = group["lr"] / choice.lr
    return optimiser(choice, decaying(groups, choice, nn.ModuleList([net, classifier])))


def decaying(groups: list[dict], choice: Sgd | Adam, whole: nn.Module) -> list[dict]:
    """Divide each group by the weight decay of its parameters.

    Kernels (two axes or more) decay as the optimiser says, the others only with ``decay: all``. A module with
    a ``weight_decay`` of its own decays by that, kernels alone.

    Args:
        groups: with ``params``, which are parameters of ``whole``.
        choice: the optimiser.
        whole: the modules that hold them.

    Returns:
        The groups, each with its ``weight_decay``; one with several is divided, the largest first.
    """
    own = {id(tensor): decay for tensor, decay in _own_decays(whole)}

    def decay(tensor: Tensor) -> float:
        if tensor.ndim > 1:
            return own.get(id(tensor), choice.weight_decay)
        return choice.weight_decay if choice.decay == "all" and id(tensor) not in own else 0.0

    divided = []
    for group in groups:
        for value in sorted({decay(tensor) for tensor in group["params"]}, reverse=True):
            params = [tensor for tensor in group["params"] if decay(tensor) == value]
            divided.append({**group, "params": params, "weight_decay": value})
    return divided


def _own_decays(whole: nn.Module) -> Iterator[tuple[Tensor, float]]:
    for module in whole.modules():
        value = getattr(module, "weight_decay", None)
        if isinstance(value, float):
            yield from ((tensor, value) for tensor in module.parameters())

"""From a recipe's words to PyTorch's optimiser: what learns, how fast, and what decays."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from perisphere.errors import UsageError, nearest
from perisphere.training.freezing import parameter_groups
from perisphere.training.recipe import Adam, Recipe, Sgd
from perisphere.training.start import LearningNet


def optimiser(choice: Sgd | Adam, groups: list[dict]) -> Optimizer:
    """Build the optimiser over parameter groups that carry their own rates."""
    if isinstance(choice, Sgd):
        return torch.optim.SGD(
            groups, choice.lr, choice.momentum, weight_decay=choice.weight_decay, nesterov=choice.nesterov
        )
    kind = torch.optim.AdamW if choice.name == "adamw" else torch.optim.Adam
    return kind(groups, choice.lr, choice.betas, weight_decay=choice.weight_decay)


def optimisation(recipe: Recipe, net: LearningNet, classifier: nn.Module) -> Optimizer:
    """Return what Lightning's ``configure_optimizers`` returns.

    Args:
        recipe: its optimiser; the schedule is kept by :class:`~perisphere.training.rates.Rates`.
        net: frozen as wished.
        classifier: on top of it.
    """
    choice = recipe.optimizer
    check_decays(choice.decays, net)
    groups = parameter_groups(net, classifier, choice.rates, choice.lr, choice.bias_rate)
    for group in groups:
        group["rate"] = group["lr"] / choice.lr
    return optimiser(choice, decaying(groups, choice, nn.ModuleList([net, classifier])))


def decaying(groups: list[dict], choice: Sgd | Adam, whole: nn.Module) -> list[dict]:
    """Divide each group by the weight decay of its parameters.

    Kernels (two axes or more) decay as the optimiser says; the scales of norms not with ``decay: kernels``,
    biases and shifts only with ``decay: all``. A module with a ``weight_decay`` of its own decays by that,
    kernels alone.

    Args:
        groups: with ``params`` and ``name``; the parameters are those of ``whole``.
        choice: the optimiser.
        whole: the modules that hold them.

    Returns:
        The groups, each with its ``weight_decay``; one with several is divided, the largest first.
    """
    own = {id(tensor): decay for tensor, decay in _own_decays(whole)}
    biases = {id(tensor) for name, tensor in whole.named_parameters() if name.rpartition(".")[2] == "bias"}

    def decay(tensor: Tensor, usual: float) -> float:
        if tensor.ndim > 1:
            return own.get(id(tensor), usual)
        decays = choice.decay == "all" or (choice.decay == "weights" and id(tensor) not in biases)
        return usual if decays and id(tensor) not in own else 0.0

    divided = []
    for group in groups:
        usual = choice.decays.get(group["name"], choice.weight_decay)
        decays = [decay(tensor, usual) for tensor in group["params"]]
        for value in sorted(set(decays), reverse=True):
            params = [
                tensor
                for tensor, of_tensor in zip(group["params"], decays, strict=True)
                if of_tensor == value
            ]
            divided.append({**group, "params": params, "weight_decay": value})
    return divided


def check_decays(decays: dict[str, float], net: LearningNet) -> None:
    """Refuse a weight decay of a stage that the network does not have, or below zero.

    Raises:
        UsageError: names it, and the nearest.
    """
    known = [*(name for name, _ in net.stages), "classifier"]
    for name, value in decays.items():
        if name not in known:
            mend = nearest(name, known) or f" The names are {', '.join(known)}."
            raise UsageError(f"'optimizer.decays': {net.spec.backbone} has no stage {name!r}.{mend}")
        if value < 0:
            raise UsageError(f"'optimizer.decays.{name}' is {value}; it must be 0 or more.")


def _own_decays(whole: nn.Module) -> Iterator[tuple[Tensor, float]]:
    for module in whole.modules():
        value = getattr(module, "weight_decay", None)
        if isinstance(value, float):
            yield from ((tensor, value) for tensor in module.parameters())

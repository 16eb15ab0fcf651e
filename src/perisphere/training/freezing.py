"""Which parameters learn, and at what rate."""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from perisphere.errors import UsageError, nearest
from perisphere.training.recipe import Freeze
from perisphere.training.start import LearningNet

RATES = ("backbone", "head")
DEFAULT = Freeze()


def freeze(net: LearningNet, rule: Freeze) -> None:
    """Switch the gradient of parameters off.

    A stage is one of ``net.stages`` or a block within one (``layer3.5``).
    ``first`` and ``trainable`` count the backbone's parameter tensors in registration order.

    Raises:
        UsageError: a stage or a number that the network does not have.
    """
    if rule.head_only:
        net.requires_grad_(False)
    stages = dict(net.stages)
    parts = {**dict(net.backbone.named_modules()), **stages}
    for name in rule.stages:
        if not name or name not in parts:
            mend = nearest(name, list(stages)) or f" Its stages are {', '.join(stages)}."
            raise UsageError(f"'freeze.stages': {net.spec.backbone} has no stage {name!r}.{mend}")
        parts[name].requires_grad_(False)
    tensors = list(net.backbone.parameters())
    for key in ("first", "trainable"):
        number = getattr(rule, key)
        if number is not None and number > len(tensors):
            raise UsageError(
                f"'freeze.{key}' is {number}; {net.spec.backbone} has {len(tensors)} parameter tensors. "
                f"Give 0 to {len(tensors)}."
            )
    frozen = len(tensors) - rule.trainable if rule.trainable is not None else rule.first or 0
    for tensor in tensors[:frozen]:
        tensor.requires_grad_(False)


def frozen_norms(net: nn.Module, rule: Freeze = DEFAULT) -> list[nn.Module]:
    """Return the batch norms whose statistics stay: those with parameters of which none learns.

    The rule may say all of them, or none.
    """
    if rule.frozen_norms == "train":
        return []
    if rule.all_norms:
        return [module for module in net.modules() if isinstance(module, _BatchNorm)]
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm) and module.affine]
    return [norm for norm in norms if not any(tensor.requires_grad for tensor in norm.parameters())]


def parameter_groups(
    net: LearningNet, classifier: nn.Module, rates: dict[str, float], lr: float, bias_rate: float = 1.0
) -> list[dict]:
    """Group the parameters that learn by learning rate.

    Args:
        net: its stages are the groups' names.
        classifier: belongs to ``head``, with the stages after the backbone (pooling, projection, bnneck).
        rates: multiples of ``lr`` by stage, or ``backbone`` or ``head`` for all of theirs; a stage's own
            goes first.
        lr: learning rate.
        bias_rate: multiple of the rate of its stage for what is added: parameters called ``bias``.

    Raises:
        UsageError: a rate of a stage that the network does not have, or below zero; or nothing learns.
    """
    within = {name for name, _ in net.backbone.stages()}
    parts: list[tuple[str, nn.Module]] = [*net.stages, ("classifier", classifier)]
    known = [*RATES, *(name for name, _ in parts)]
    for name, rate in rates.items():
        if name not in known:
            mend = nearest(name, known) or f" The names are {', '.join(known)}."
            raise UsageError(f"'optimizer.rates': {net.spec.backbone} has no stage {name!r}.{mend}")
        if rate < 0:
            raise UsageError(f"'optimizer.rates.{name}' is {rate}; it must be 0 or more.")
    groups: list[dict[str, Any]] = []
    for name, part in parts:
        rate = rates.get(name, rates.get("backbone" if name in within else "head", 1.0))
        for multiple, learning in _by_rate(part, bias_rate):
            groups.append({"params": learning, "lr": lr * rate * multiple, "name": name})
    if not any(group["params"] for group in groups):
        raise UsageError(
            "'freeze' leaves nothing to learn: this method has no classifier on top. Keep a stage, such as "
            "the projection, out of it (freeze.trainable=2)."
        )
    return groups


def _by_rate(part: nn.Module, bias_rate: float) -> list[tuple[float, list[nn.Parameter]]]:
    """Return the parameters of a part that learn, by the multiple of its rate: all, or biases apart."""
    named = [(name, tensor) for name, tensor in part.named_parameters() if tensor.requires_grad]
    if bias_rate == 1:
        divided = [(1.0, [tensor for _, tensor in named])]
    else:
        biases = {name for name, _ in named if name.rpartition(".")[2] == "bias"}
        divided = [
            (1.0, [tensor for name, tensor in named if name not in biases]),
            (bias_rate, [tensor for name, tensor in named if name in biases]),
        ]
    return [(multiple, tensors) for multiple, tensors in divided if tensors]

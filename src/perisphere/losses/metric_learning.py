"""Losses and miners of pytorch-metric-learning, by name.

Source: Musgrave et al., "PyTorch metric learning", 2020, https://github.com/KevinMusgrave/pytorch-metric-learning.
"""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from perisphere.errors import UsageError, nearest
from perisphere.losses.distances import full_precision

PACKAGE = "pytorch_metric_learning"
PARTS = {
    "distance": ("distances", "BaseDistance"),
    "reducer": ("reducers", "BaseReducer"),
    "embedding_regularizer": ("regularizers", "BaseRegularizer"),
    "weight_regularizer": ("regularizers", "BaseRegularizer"),
}
"""Options whose value is an object there: its module, and what it must be."""

TRIAL_DIM, TRIAL_CLASSES, TRIAL_PHOTOS = 8, 4, 4
"""What :func:`check` tries a loss with; photos of each class."""


class MetricLearningLoss(nn.Module):
    """A loss on vectors with a label each, on the pairs or triplets of a miner if there is one.

    Args:
        loss: of pytorch-metric-learning.
        miner: of pytorch-metric-learning.
    """

    def __init__(self, loss: nn.Module, miner: nn.Module | None) -> None:
        super().__init__()
        self.loss, self.miner = loss, miner

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Return a scalar, of float vectors ``[n, d]`` and int64 labels ``[n]``; never in half precision."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = full_precision(vectors)
            mined = None if self.miner is None else self.miner(vectors, labels)
            value: Tensor = self.loss(vectors, labels, mined)
            return value


def metric_learning(
    loss: str,
    options: Mapping[str, Any],
    miner: str | None,
    miner_options: Mapping[str, Any],
    *,
    dim: int,
    classes: int,
) -> MetricLearningLoss:
    """Build a loss, with fresh weights if it has any.

    Args:
        loss: name of its class.
        options: of the loss. ``distance``, ``reducer`` and regularizers are names, or mappings of ``name``
            and options.
        miner: name of its class.
        miner_options: likewise.
        dim: length of a vector, for a loss that must know it.
        classes: number of classes, for a loss that must know it.

    Raises:
        UsageError: the package is missing, a name or an option is unknown, or a value is refused there.
    """
    sizes = {"num_classes": classes, "embedding_size": dim, "descriptors_dim": dim}
    return MetricLearningLoss(
        _make("losses", "BaseMetricLossFunction", loss, options, sizes),
        None if miner is None else _make("miners", "BaseMiner", miner, miner_options, {}),
    )


def check(loss: str, options: Mapping[str, Any], miner: str | None, miner_options: Mapping[str, Any]) -> None:
    """Try a loss on a few drawn vectors; random states stay as they are.

    Raises:
        UsageError: see :func:`metric_learning`; or it does not give a number that can be learned from.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tried = metric_learning(loss, options, miner, miner_options, dim=TRIAL_DIM, classes=TRIAL_CLASSES)
        vectors = torch.randn(TRIAL_CLASSES * TRIAL_PHOTOS, TRIAL_DIM, requires_grad=True)
        labels = torch.arange(TRIAL_CLASSES).repeat_interleave(TRIAL_PHOTOS)
        try:
            tried(vectors, labels).backward()
        except Exception as error:  # whatever a foreign class makes of options that it took unseen
            raise UsageError(f"{loss}: cannot learn from photos and labels so: {_line(error)}") from error


def _make(module: str, base: str, name: str, options: Mapping[str, Any], sizes: Mapping[str, int]) -> Any:
    """Make an object of a class of the package; of ``sizes`` it is given those that it requires."""
    known = _classes(module, base)
    if name not in known:
        mend = nearest(name, list(known)) or f" Known: {', '.join(known)}."
        raise UsageError(f"{PACKAGE}.{module} has no {name!r}.{mend}")
    accepted = _parameters(known[name])
    for option in options:
        if option not in accepted:
            mend = nearest(option, list(accepted)) or f" Known: {', '.join(accepted)}."
            raise UsageError(f"{name} has no option {option!r}.{mend}")
    needed = {option: size for option, size in sizes.items() if accepted.get(option)}
    for option in needed.keys() & options.keys():
        raise UsageError(f"{name}: {option} follows from the network and the classes. Leave it out.")
    values = needed | {option: _value(option, value) for option, value in options.items()}
    try:
        return known[name](**values)
    except Exception as error:  # the package checks by assertions and arithmetic
        raise UsageError(f"{name}: its options are refused: {_line(error)}") from error


def _value(option: str, value: Any) -> Any:
    """Turn the name of an object into the object."""
    if option not in PARTS:
        return value
    tree = {"name": value} if isinstance(value, str) else value
    if not isinstance(tree, dict) or not isinstance(tree.get("name"), str):
        raise UsageError(f"{option}: give the name of a class, or name: and its options.")
    module, base = PARTS[option]
    return _make(module, base, tree["name"], {key: tree[key] for key in tree if key != "name"}, {})


def _classes(module: str, base: str) -> dict[str, type]:
    """Return the classes of a module that are of a kind, by name, without those that only others build on."""
    try:
        found = vars(import_module(f"{PACKAGE}.{module}"))
    except ModuleNotFoundError as error:
        raise UsageError(
            "losses of pytorch-metric-learning need that package: pip install 'perisphere[metric-learning]'."
        ) from error
    kind = found[base]
    return {
        name: value
        for name, value in sorted(found.items())
        if isinstance(value, type) and issubclass(value, kind) and not name.startswith(("Base", "Generic"))
    }


def _parameters(made: type) -> dict[str, bool]:
    """Return the options that a class and its parents take, and whether each is required."""
    options: dict[str, bool] = {}
    for parent in made.__mro__:
        if "__init__" not in vars(parent) or not parent.__module__.startswith(PACKAGE):
            continue
        for name, parameter in list(inspect.signature(parent).parameters.items()):
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                options.setdefault(name, parameter.default is parameter.empty)
    return options


def _line(error: Exception) -> str:
    """Return what a foreign error says in one line."""
    return (str(error) or type(error).__name__).strip().split("\n")[0].rstrip(".") + "."

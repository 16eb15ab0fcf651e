"""What all methods share around Lightning: recipes, loading, devices, checkpoints, resume."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perisphere.training.entry import train
    from perisphere.training.recipe import Recipe
    from perisphere.training.recipe_files import find, load, packaged
    from perisphere.training.runs import train_runs

__all__ = ["Recipe", "find", "load", "packaged", "train", "train_runs"]

_HOMES = {
    "Recipe": "recipe",
    "find": "recipe_files",
    "load": "recipe_files",
    "packaged": "recipe_files",
    "train": "entry",
    "train_runs": "runs",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a list of recipes need not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

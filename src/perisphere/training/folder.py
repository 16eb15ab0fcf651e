"""The folder of a run: made once, and resumed only with the recipe that it was begun with."""

import json
import shutil
from pathlib import Path
from typing import Any

from perisphere.errors import PerisphereError, UsageError
from perisphere.training.recipe import Recipe
from perisphere.training.recipe_files import load, save

RECIPE, HISTORY = "recipe.yaml", "history.json"
MAY_CHANGE = {"devices", "accelerator", "workers", "cache_mb", "checkpoint_every", "out"}
"""What a resumed run may set otherwise than the killed one."""


def prepare_folder(recipe: Recipe, *, resume: bool) -> Path:
    """Make the folder of a new run, or check that the one there can be resumed.

    Raises:
        PerisphereError: the folder is there without ``resume``, or it is not a run.
        UsageError: the recipe differs from the one that the run began with.
    """
    out = recipe.folder
    written = out / RECIPE
    if resume:
        if not written.is_file():
            raise PerisphereError(f"{out}: there is no run to resume. Leave --resume out to begin one.")
        _same_recipe(recipe, written)
        return out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PerisphereError(f"{out}: exists already. Go on with --resume, or name another folder with -o.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PerisphereError(
            f"{out}: cannot be written ({error.strerror}). Name another with -o."
        ) from error
    save(recipe, written)
    return out


def remove_unused(folder: Path) -> None:
    """Remove the folder of a run that ended before its training began: it holds the recipe alone."""
    if [part.name for part in folder.iterdir()] == [RECIPE]:
        shutil.rmtree(folder)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint of a run holds; nothing that it names is run.

    Raises:
        PerisphereError: the file is missing, damaged, or asks for more than tensors and plain values.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes the reader raise
        reason = " ".join(str(error).split())[:200]
        raise PerisphereError(f"{path}: cannot be read ({reason}); train again.") from error


def _same_recipe(recipe: Recipe, written: Path) -> None:
    begun = load(written).model_dump(mode="json", exclude=MAY_CHANGE)
    wanted = recipe.model_dump(mode="json", exclude=MAY_CHANGE)
    for key in wanted:
        if begun[key] != wanted[key]:
            raise UsageError(
                f"{written}: the run began with {key}={json.dumps(begun[key])}, "
                f"not {json.dumps(wanted[key])}. Resume with the same, or begin another run with -o."
            )

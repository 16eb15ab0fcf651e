"""The one call that trains: a recipe in, an encoder out."""

import sys
from collections.abc import Callable
from pathlib import Path

from perisphere.errors import PerisphereError
from perisphere.training.devices import Place, check_devices, launch, place_from_environment
from perisphere.training.folder import RECIPE, prepare_folder, remove_unused
from perisphere.training.recipe import Recipe
from perisphere.training.recipe_files import save


def train(recipe: Recipe, *, resume: bool = False, tell: Callable[[str], None] = lambda _: None) -> Path:
    """Train as the recipe says and return the folder of the written encoder.

    The recipe's folder then holds ``encoder``, ``checkpoints``, ``tensorboard``, ``history.json`` (one row of
    metrics an epoch) and ``recipe.yaml``. A run that was killed goes on with ``resume`` from the last whole
    epoch and ends with the same weights, bit by bit, as one that was not.

    Args:
        recipe: see :func:`perisphere.training.load`.
        resume: go on with the run in the recipe's folder.
        tell: takes notes for the user, e.g. classes without validation photos.

    Raises:
        PerisphereError: the folder exists, photos or tags are not there, photos have one class only, the
            disk is full.
        UsageError: the recipe names stages or numbers that its network does not have, or devices that this
            machine does not have.
    """
    place = place_from_environment(recipe)  # where a launcher started this process as one of several
    check_devices(recipe, place)
    if place is None or place.rank == 0:
        prepare_folder(recipe, resume=resume)
    try:
        return _trained(recipe, place, tell)
    except PerisphereError:
        if not resume and (place is None or place.rank == 0):
            remove_unused(recipe.folder)
        raise


def _trained(recipe: Recipe, place: Place | None, tell: Callable[[str], None]) -> Path:
    """Train here, or on several devices in processes of their own; return the encoder's folder."""
    if place is None and recipe.devices > 1:
        written = recipe.folder / RECIPE
        save(recipe, written)
        launch([sys.executable, "-m", "perisphere.training.worker", str(written)], recipe.devices)
        return recipe.folder / "encoder"
    from perisphere.training.run import run  # brings Lightning, which the launcher does not need

    return run(recipe, place or Place(recipe.accelerator), tell=tell)

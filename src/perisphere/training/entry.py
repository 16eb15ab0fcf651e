"""The one call that trains: a recipe in, an encoder out."""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from perisphere.errors import PerisphereError, UsageError
from perisphere.training.devices import ALONE, Nodes, Place, check_devices, launch, place_from_environment
from perisphere.training.folder import RECIPE, prepare_folder, remove_unused
from perisphere.training.recipe import Recipe
from perisphere.training.recipe_files import save


def train(
    recipe: Recipe,
    *,
    resume: bool = False,
    nodes: Nodes = ALONE,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train as the recipe says and return the folder of the written encoder.

    The recipe's folder then holds ``encoder``, ``checkpoints``, ``tensorboard``, ``history.json`` (one row of
    metrics an epoch) and ``recipe.yaml``. A run that was killed goes on with ``resume`` from the last whole
    epoch and ends with the same weights, bit by bit, as one that was not.

    Args:
        recipe: see :func:`perisphere.training.load`.
        resume: go on with the run in the recipe's folder.
        nodes: the machines that train together, each with the recipe's number of devices; this is called on
            each, and the recipe's folder and photos lie on storage that all of them see.
        tell: takes notes for the user, e.g. classes without validation photos.

    Raises:
        PerisphereError: the folder exists, photos or tags are not there, photos have one class only, the
            disk is full.
        UsageError: the recipe names stages or numbers that its network does not have, devices that this
            machine does not have, or more devices than can share its batch.
    """
    place = place_from_environment(recipe)  # where a launcher started this process as one of several
    check_devices(recipe, place)
    _check_nodes(recipe, nodes, place)
    first = nodes.rank == 0 and (place is None or place.rank == 0)
    if first:
        prepare_folder(recipe, resume=resume)
    try:
        return _trained(recipe, place, nodes, tell)
    except PerisphereError:
        if not resume and first:
            remove_unused(recipe.folder)
        raise


def _check_nodes(recipe: Recipe, nodes: Nodes, place: Place | None) -> None:
    if nodes.count == 1:
        return
    if place is not None:
        raise UsageError("--nodes: torchrun has told this process its place already; leave --nodes out.")
    if problem := recipe.unshared(nodes.count * recipe.devices):
        raise UsageError(f"--nodes {nodes.count}: {problem}.")


def _trained(recipe: Recipe, place: Place | None, nodes: Nodes, tell: Callable[[str], None]) -> Path:
    """Train here, or on several devices in processes of their own; return the encoder's folder."""
    if place is None and nodes.count * recipe.devices > 1:
        if nodes.count > 1:
            tell(f"machine {nodes.rank} of {nodes.count}, which meet at {nodes.master}:{nodes.port}")
        with TemporaryDirectory(prefix="perisphere-") as folder:
            written = (recipe.folder if nodes.rank == 0 else Path(folder)) / RECIPE
            save(recipe, written)
            worker = [sys.executable, "-m", "perisphere.training.worker", str(written)]
            launch(worker, recipe.devices, nodes)
        return recipe.folder / "encoder"
    from perisphere.training.run import run  # brings Lightning, which the launcher does not need

    return run(recipe, place or Place(recipe.accelerator), tell=tell)

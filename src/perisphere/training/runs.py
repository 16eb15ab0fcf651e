"""One recipe trained several times with seeds one after another, and what their figures say together."""

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from perisphere.errors import PerisphereError
from perisphere.storage import whole_file
from perisphere.training.devices import place_from_environment
from perisphere.training.entry import train
from perisphere.training.folder import RECIPE
from perisphere.training.recipe import Recipe

RUNS = "runs.json"


def train_runs(
    recipe: Recipe, runs: int, *, resume: bool = False, tell: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Train a recipe ``runs`` times, with its seed and those after it, and return their figures.

    The recipe's folder then holds ``run-0``, ``run-1``, ... (see :func:`~perisphere.training.train`),
    and ``runs.json``: what is returned. With ``resume`` complete runs are kept, the one that was stopped goes
    on, and those that are not there are begun; there may be more of them than before.

    Args:
        recipe: what to train.
        runs: how often.
        resume: go on in the recipe's folder.
        tell: takes notes for the user.

    Returns:
        ``runs`` (seed, encoder, epoch and metrics of each), ``mean`` and ``deviation`` (of a sample, n - 1)
        of every figure that all runs have.

    Raises:
        PerisphereError: the folder holds something else, and what ``train`` raises.
    """
    place = place_from_environment(recipe)
    first = place is None or place.rank == 0
    if first:
        _check_folder(recipe.folder, resume=resume)
    done: list[dict[str, Any]] = []
    for number in range(runs):
        one = recipe.model_copy(update={"seed": recipe.seed + number, "out": recipe.folder / f"run-{number}"})
        tell(f"run {number + 1} of {runs}: seed {one.seed}")
        encoder = train(one, resume=(one.folder / RECIPE).is_file(), tell=tell)
        if first:
            done.append(_figures(one, encoder))
            _write(recipe.folder / RUNS, summary(done))
    return summary(done)


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return runs with the mean and the deviation of every figure that all of them have."""
    names = (
        [name for name in runs[0]["metrics"] if all(name in run["metrics"] for run in runs)] if runs else []
    )
    values = {name: [run["metrics"][name] for run in runs] for name in names}
    return {
        "runs": list(runs),
        "mean": {name: statistics.fmean(of) for name, of in values.items()},
        "deviation": {name: statistics.stdev(of) if len(of) > 1 else None for name, of in values.items()},
    }


def _figures(recipe: Recipe, encoder: Path) -> dict[str, Any]:
    described = json.loads((encoder / "encoder.json").read_text(encoding="utf-8"))
    return {
        "seed": recipe.seed,
        "encoder": str(encoder),
        "epoch": described["provenance"]["epoch"],
        "metrics": described["metrics"],
    }


def _check_folder(folder: Path, *, resume: bool) -> None:
    if (folder / RECIPE).is_file():
        raise PerisphereError(
            f"{folder}: holds a single run. Name another folder with -o, or leave --runs out."
        )
    there = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if resume and not there:
        raise PerisphereError(f"{folder}: there are no runs to resume. Leave --resume out to begin them.")
    if there and not resume:
        raise PerisphereError(
            f"{folder}: exists already. Go on with --resume, or name another folder with -o."
        )


def _write(path: Path, facts: dict[str, Any]) -> None:
    with whole_file(path) as part:
        part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

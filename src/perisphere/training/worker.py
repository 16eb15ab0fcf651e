"""One process of a run on several devices: ``python -m perisphere.training.worker RECIPE.yaml``."""

import os
import sys

from perisphere.errors import PerisphereError
from perisphere.training.devices import place_from_environment
from perisphere.training.recipe_files import load
from perisphere.training.run import run


def main(recipe_file: str) -> int:
    """Train as the place in the environment says; return the exit code."""
    if "LOCAL_RANK" not in os.environ:
        print("this program is started by `perisphere train --devices N`", file=sys.stderr)
        return 2
    first = os.environ.get("RANK", "0") == "0"
    try:
        recipe = load(recipe_file)
        place = place_from_environment(recipe)
        assert place is not None
        run(recipe, place, tell=_tell if first else lambda _: None)
    except PerisphereError as error:
        if first:
            print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _tell(note: str) -> None:
    print(note, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""One process of a run on several devices: ``python -m perisphere.training.worker RECIPE.yaml``."""

import os
import sys
import traceback

from perisphere.errors import UsageError
from perisphere.training.devices import REPORTS, place_from_environment, report_failure
from perisphere.training.recipe_files import load
from perisphere.training.run import run


def main(recipe_file: str) -> int:
    """Train as the place in the environment says; return the exit code.

    What went wrong is for the process that started this one to print, so that it is said once.
    """
    if REPORTS not in os.environ:
        print("this program is started by `perisphere train --devices N`", file=sys.stderr)
        return 2
    first = os.environ.get("RANK", "0") == "0"
    try:
        recipe = load(recipe_file)
        place = place_from_environment(recipe)
        assert place is not None
        run(recipe, place, tell=_tell if first else lambda _: None)
    except Exception as error:
        if os.environ.get("PERISPHERE_DEBUG"):
            traceback.print_exc()
        report_failure(error)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _tell(note: str) -> None:
    print(note, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

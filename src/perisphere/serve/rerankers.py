"""Which re-rankers a request may ask for: while one works, every other search waits."""

from perisphere.search.rerank import Chain, DatabaseAugmentation
from perisphere.serve.refused import RefusedError

STEPS = 4
MOST = {
    "n": 100,
    "vote": 1000,
    "k": 100,
    "kq": 100,
    "k1": 100,
    "k2": 100,
    "depth": 1000,
    "iterations": 100,
    "features": 2000,
    "side": 1024,
}
"""Of a parameter, by its name, whichever re-ranker has it."""


def check_rerankers(chain: Chain) -> None:
    """Refuse what takes seconds, or memory without bounds; the command line takes all of it.

    Raises:
        RefusedError: 422 for too many steps, too large a parameter, or one that moves the whole index.
    """
    if len(chain.steps) > STEPS:
        raise RefusedError(422, f"rerank: {len(chain.steps)} steps; at most {STEPS} are taken here.")
    for step in chain.steps:
        if isinstance(step, DatabaseAugmentation):
            raise RefusedError(422, f"rerank: {step.name} moves all images of the index. Leave it out here.")
        for name, most in MOST.items():
            if (value := getattr(step, name, 0)) > most:
                raise RefusedError(
                    422, f"rerank: {name}={value} of {step.name}; at most {most:,} is taken here."
                )

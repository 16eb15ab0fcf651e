"""Which gallery rows count for a query: relevant ones, and ones to ignore."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
Rows = Callable[[int], Positions]
"""From a query's row to the distinct gallery rows that it selects, in any order."""

NONE: Positions = np.empty(0, np.int64)


def matching(query_keys: Sequence[Hashable], gallery_keys: Iterable[Hashable]) -> Rows:
    """Select the gallery rows whose key equals the query's; ``None`` equals nothing.

    Labels as keys say what is relevant. Ids as keys leave the query itself out; pairs of label and camera
    leave out the photos of the same person by the same camera.

    Example:
        >>> rows = matching(["dome"], ["tower", "dome", None, "dome"])
        >>> rows(0).tolist()
        [1, 3]
    """
    gathered: dict[Hashable, list[int]] = defaultdict(list)
    for position, key in enumerate(gallery_keys):
        if key is not None:
            gathered[key].append(position)
    table = {key: np.array(positions, np.int64) for key, positions in gathered.items()}
    return lambda query: table.get(query_keys[query], NONE)


def either(*rules: Rows) -> Rows:
    """Select the gallery rows that at least one of ``rules`` selects."""
    return lambda query: np.unique(np.concatenate([rule(query) for rule in rules]))

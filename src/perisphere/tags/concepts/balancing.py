"""Large classes thinned, so that a class has no more photos than others."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def thin(
    classes: Sequence[str | None], landmarks: Sequence[str | None], most: int, seed: int = 0
) -> NDArray[np.bool_]:
    """Choose at most so many photos of each class, as evenly from the landmarks as these allow.

    A landmark with few photos of a class keeps them all; those with many give up the same number at first.
    What is kept of a class depends on no other class.

    Args:
        classes: of each photo; photos without one are kept.
        landmarks: of each photo.
        most: photos of a class.
        seed: of the choice within a landmark.

    Returns:
        bool ``[n]``, the photos that are kept.
    """
    groups: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, (name, landmark) in enumerate(zip(classes, landmarks, strict=True)):
        if name is not None:
            groups[name][landmark or ""].append(row)
    kept = np.ones(len(classes), bool)
    for name, by_landmark in sorted(groups.items()):
        generator = np.random.default_rng([seed, *name.encode()])
        rows = [by_landmark[landmark] for landmark in sorted(by_landmark)]
        for group, count in zip(rows, _even([len(group) for group in rows], most), strict=True):
            kept[generator.permutation(group)[count:]] = False
    return kept


def _even(sizes: Sequence[int], most: int) -> list[int]:
    """Return how many each group keeps, ``most`` in all or everything; the smallest groups lose last."""
    counts, left = [0] * len(sizes), most
    for place, group in enumerate(sorted(range(len(sizes)), key=lambda group: (sizes[group], group))):
        counts[group] = min(sizes[group], left // (len(sizes) - place))
        left -= counts[group]
    return counts

"""Matches of two places each to points that many photos share."""

import numpy as np
from numpy.typing import NDArray


def linked_points(
    pairs: NDArray[np.int64], image: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Join matched places to points, one match after the other (union-find).

    A match that would give a point two places in one image contradicts those before it and is refused.

    Args:
        pairs: int64 ``[m, 2]``, the two places of each match.
        image: int64 ``[n]``, the image of each place.

    Returns:
        The point of each place, int64 ``[n]``, numbered from 0 in the order of their first places, -1 for a
        place that no kept match touches; and which matches were refused, bool ``[m]``.
    """
    above = list(range(len(image)))
    shown = [{int(number)} for number in image]  # images of the places below a root
    refused = np.zeros(len(pairs), bool)
    for number, (a, b) in enumerate(pairs.tolist()):
        first, second = _root(above, a), _root(above, b)
        if first == second:
            continue
        if len(shown[first]) < len(shown[second]):
            first, second = second, first
        if shown[first].isdisjoint(shown[second]):
            above[second] = first
            shown[first] |= shown[second]
            shown[second] = set()
        else:
            refused[number] = True
    roots = [_root(above, place) for place in range(len(image))]
    numbers: dict[int, int] = {}
    points = [numbers.setdefault(root, len(numbers)) if len(shown[root]) > 1 else -1 for root in roots]
    return np.array(points, np.int64), refused


def _root(above: list[int], place: int) -> int:
    while above[place] != place:
        above[place] = above[above[place]]
        place = above[place]
    return place

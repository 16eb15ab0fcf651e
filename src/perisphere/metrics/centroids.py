"""Centroids: one point for each identity, the mean of its photos' features."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.metrics.matching import Positions
from perisphere.sphere.geometry import Vectors

ROWS = 1024
"""Rows of a group that are summed at a time: half a million distractors may share one label."""


class Centroids(NamedTuple):
    """One point for each identity, in the order in which the identities first appear.

    Attributes:
        points: the means, float32 ``[m, d]``; not brought to length 1.
        ids: identity of each.
        counts: photos behind each, int64 ``[m]``.
    """

    points: Vectors
    ids: list[Hashable]
    counts: NDArray[np.int64]


def centroids(
    vectors: NDArray, ids: Sequence[Hashable] | NDArray, *, lengths: NDArray | None = None
) -> Centroids:
    """Return the centroid of every identity; rows whose identity is ``None`` take no part.

    Sums are taken in float64, so that the order of the photos changes nothing that float32 can hold.

    Args:
        vectors: float32 ``[n, d]``, in memory or memory-mapped.
        ids: identity of each row.
        lengths: of the features before they were brought to length 1, float32 ``[n]``: a centroid is then
            the mean of the features as the network gave them, as published (Wieczorek et al., "On the
            Unreasonable Effectiveness of Centroids in Image Retrieval", ICONIP 2021).

    Raises:
        PerisphereError: not one identity, or one length, a row.

    Example:
        >>> import numpy as np
        >>> centroids(np.array([[1, 0], [5, 5], [3, 2]]), ["a", "b", "a"]).points.tolist()
        [[2.0, 1.0], [5.0, 5.0]]
    """
    members = members_of(plain(ids, len(vectors), "ids"))
    points = means(vectors, members.values(), lengths)
    return Centroids(points, list(members), np.array([len(rows) for rows in members.values()], np.int64))


def means(vectors: NDArray, groups: Iterable[Positions], lengths: NDArray | None = None) -> Vectors:
    """Return the mean of each group of rows, float32 ``[groups, d]``; groups may share rows.

    Args:
        vectors: ``[n, d]``.
        groups: rows of each, at least one.
        lengths: that the rows are multiplied by first, ``[n]``.
    """
    if lengths is not None and len(lengths) != len(vectors):
        raise PerisphereError(f"{len(lengths)} lengths for {len(vectors)} rows; give one a row.")
    listed = list(groups)
    found = np.empty((len(listed), vectors.shape[1]), np.float32)
    for mean, rows in zip(found, listed, strict=True):
        total = np.zeros(vectors.shape[1])
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            if lengths is None:
                total += vectors[some].sum(axis=0, dtype=np.float64)
            else:
                total += lengths[some].astype(np.float64) @ vectors[some]
        mean[:] = total / len(rows)
    return found


def members_of(ids: Sequence[Hashable]) -> dict[Hashable, Positions]:
    """Return the rows of each identity, ascending; those of ``None`` are left out."""
    gathered: dict[Hashable, list[int]] = defaultdict(list)
    for row, identity in enumerate(ids):
        if identity is not None:
            gathered[identity].append(row)
    return {identity: np.array(rows, np.int64) for identity, rows in gathered.items()}


def plain(values: Any, rows: int, name: str) -> list[Any]:
    """Return ``values``, one a row, as a list of plain values: numbers of arrays hash slowly.

    Raises:
        PerisphereError: another number of values.
    """
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if len(listed) != rows:
        raise PerisphereError(f"{name} has {len(listed)} values for {rows} rows; give one a row.")
    return listed

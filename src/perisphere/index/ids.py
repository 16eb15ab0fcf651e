"""Ids: whole numbers above 0, given once and never again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np

from perisphere.errors import PerisphereError

MAX_ID = 2**62


def whole_numbers(ids: Sequence[int] | np.ndarray | int) -> np.ndarray:
    """Return ``ids`` as int64 ``[n]``.

    Raises:
        PerisphereError: they are no whole numbers, or too large for an id.
    """
    array = np.atleast_1d(np.asarray(ids))
    if not array.size:
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind != "i":  # as numbers too large for int64 make it
        for number in np.asarray(ids, dtype=object).flat:
            if isinstance(number, int) and abs(number) > MAX_ID:
                raise PerisphereError(f"The id {number} is out of range: ids lie between 1 and 2^62.")
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise PerisphereError(
            f"ids must be a list of whole numbers, not {array.dtype} of shape {list(array.shape)}."
        )
    return array.astype(np.int64)


def given_ids(ids: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
    """Return the caller's own ids for ``count`` vectors, int64 ``[count]``.

    Raises:
        PerisphereError: another number of ids than vectors, an id given twice, or one out of range.
    """
    given = whole_numbers(ids)
    if len(given) != count:
        raise PerisphereError(f"{len(given)} ids came with {count} vectors: give one id for each vector.")
    values, times = np.unique(given, return_counts=True)
    if (times > 1).any():
        raise PerisphereError(f"The id {values[times > 1][0]} is given twice: each image needs its own.")
    if count and not 0 < values[0] <= values[-1] <= MAX_ID:
        raise PerisphereError(
            f"The ids run from {values[0]} to {values[-1]}: they must lie between 1 and 2^62."
        )
    return given


def free_ids(given: np.ndarray, taken: int) -> np.ndarray:
    """Return ``given`` where all are above ``taken``, the largest id that there ever was.

    Raises:
        PerisphereError: one is not.
    """
    if given.min() <= taken:
        raise PerisphereError(
            f"The id {given.min()} is taken or was once: ids are never used twice. "
            f"Give ids above {taken}, or none."
        )
    return given


def present(connection: sqlite3.Connection, ids: np.ndarray) -> np.ndarray:
    """Return those of ``ids`` that are in the index, int64."""
    query = "SELECT id FROM images WHERE id IN (SELECT value FROM json_each(?))"
    found = connection.execute(query, (str(ids.tolist()),))
    return np.fromiter((row[0] for row in found), dtype=np.int64)

"""How near matched points come to where they should be."""

import numpy as np
from numpy.typing import NDArray


def within(found: NDArray, true: NDArray, sizes: NDArray, share: float) -> NDArray[np.bool_]:
    """Tell which points lie within a share of their photo's larger side (PCK).

    Source: percentage of correct keypoints, Yang and Ramanan, PAMI 2013, with the photo as the frame.

    Args:
        found: ``[n, 2]``, x and y in pixels.
        true: ``[n, 2]``.
        sizes: ``[n, 2]``, width and height in pixels of the photo that they lie in.
        share: of the larger side, 0..1; the border counts as within.

    Returns:
        bool ``[n]``.
    """
    return np.linalg.norm(found - true, axis=1) <= share * sizes.max(1)


def mean_by_group(values: NDArray, groups: NDArray) -> float:
    """Return the mean over groups of the means within them (such as pairs of photos); NaN without any."""
    if not len(values):
        return float("nan")
    _, group = np.unique(groups, return_inverse=True)
    return float((np.bincount(group, weights=values) / np.bincount(group)).mean())

"""The metric of the supervised quantization loss: errors count as far as tags see them."""

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError


def metric_root(points: NDArray) -> NDArray[np.float32]:
    """Return the symmetric root ``S`` of ``G = T'T``, so that ``|r T'| = |r S|`` for every ``r``.

    The supervised cosine quantization loss of WSDHQ (AAAI 2021) is the squared length of an error's products
    with all tag vectors. ``S`` has as many rows as a vector has numbers, however many tags there are.

    Args:
        points: ``[T, d]``, the tag vectors ``T``, or any directions that an error shall be measured along.

    Returns:
        float32 ``[d, d]``.

    Raises:
        PerisphereError: no points, all of them zero, or values that are not finite.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or not np.isfinite(points).all() or not points.any():
        raise PerisphereError(
            f"points {list(points.shape)} make no metric: rows of finite numbers, not all zero, are needed."
        )
    values, directions = np.linalg.eigh(points.T @ points)
    root: NDArray[np.float64] = (directions * np.sqrt(np.maximum(values, 0))) @ directions.T
    return root.astype(np.float32)

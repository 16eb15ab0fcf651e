"""Tags that belong together lend each other meaning: vectors moved toward those of correlated tags."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from perisphere.sphere import normalise

_BLOCK = 1_024


def cosine_graph(vectors: NDArray[np.float32], threshold: float) -> sp.csr_array:
    """Join tags whose vectors have at least a cosine, sparse ``[T, T]`` of ones, with an empty diagonal.

    The correlation graph of WSDHQ (Wang et al., AAAI 2021), which looks at word vectors and not at photos.
    """
    unit = normalise(vectors)
    blocks = []
    for start in range(0, len(unit), _BLOCK):
        near = unit[start : start + _BLOCK] @ unit.T >= threshold
        near[np.arange(len(near)), start + np.arange(len(near))] = False
        blocks.append(sp.csr_array(near.astype(np.float64)))
    return sp.csr_array(sp.vstack(blocks))


def strongest(graph: sp.csr_array, neighbours: int) -> sp.csr_array:
    """Keep the ``neighbours`` largest weights of each row, and bring each row to the sum 1.

    Of equal weights those of the first columns are kept. A row without weights stays empty.
    """
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    order = np.lexsort((graph.indices, -graph.data, rows))
    place = np.arange(len(order)) - graph.indptr[rows]
    order = order[place < neighbours]
    data, rows, columns = graph.data[order], rows[order], graph.indices[order]
    sums = np.bincount(rows, data, minlength=graph.shape[0])
    found = sp.csr_array((data / sums[rows], (rows, columns)), shape=graph.shape)
    found.sort_indices()
    return found


def enhance(vectors: NDArray[np.float32], weights: sp.csr_array, strength: float) -> NDArray[np.float32]:
    """Move each vector toward the weighted mean of its correlated tags' vectors.

    Args:
        vectors: float32 ``[T, d]``.
        weights: sparse ``[T, T]``, rows that sum to 1 or are empty (:func:`strongest`).
        strength: 0 leaves the vectors, 1 replaces them by the mean.

    Returns:
        float32 ``[T, d]``; a tag without correlated ones, and one that would end at zero, keeps its vector.
    """
    means = weights @ vectors.astype(np.float64)
    moved = ((1 - strength) * vectors + strength * means).astype(np.float32)
    before, after = np.linalg.norm(vectors, axis=1), np.linalg.norm(moved, axis=1)
    stays = (np.diff(weights.indptr) == 0) | (after < 1e-6 * before)
    moved[stays] = vectors[stays]
    return moved

"""Scores of queries with chosen images of a gallery."""

import numpy as np
from numpy.typing import NDArray

from perisphere.index.exact import GATHER_BYTES, scores_of
from perisphere.index.ranking import NONE
from perisphere.search.rerank.context import Gallery, Ids
from perisphere.sphere.geometry import Vectors, normalise


def pair_scores(queries: Vectors, ids: Ids, gallery: Gallery) -> NDArray[np.float32]:
    """Return the score of each query with its own images, by the gallery's metric.

    Args:
        queries: float32 ``[q, d]``.
        ids: int64 ``[q, m]``, -1 where there is none.
        gallery: where the images are.

    Returns:
        float32 ``[q, m]``, higher is better, ``-inf`` where there is no image. A block of queries is gathered
        at a time.
    """
    queries = normalise(queries) if gallery.metric == "cosine" else queries
    out = np.full(ids.shape, -np.inf, np.float32)
    step = max(1, GATHER_BYTES // (4 * queries.shape[1] * max(1, ids.shape[1])))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        there = ids[part] != NONE
        if not there.any():
            continue
        known = np.where(there, ids[part], ids[part][there][0])  # a stand-in keeps the block rectangular
        near = gallery.vectors(known.ravel()).reshape(*known.shape, -1)
        out[part] = np.where(there, scores_of(queries[part], near, gallery.metric), -np.inf)
    return out

"""Visual words: k-means over a bounded sample of local descriptors (Sivic and Zisserman, ICCV 2003)."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError

PER_WORD = 1000
"""Descriptors in the sample for each word."""
RESTARTS, ITERATIONS = 3, 30


def fit_vocabulary(
    descriptors: Iterable[NDArray[np.float32]],
    words: int,
    *,
    images: int,
    sample: int | None = None,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Cluster descriptors into words, the same ones for the same seed.

    Args:
        descriptors: float32 ``[m, d]`` of one picture after the other; read once, as long as the sample lacks
            any.
        words: clusters.
        images: how many pictures there are; each gives an equal share of the sample, drawn at random.
        sample: descriptors in memory at most; by default 1,000 a word.
        seed: of the draw and of the first centres.

    Returns:
        float32 ``[words, d]``.

    Raises:
        PerisphereError: fewer descriptors than words.
    """
    from perisphere.sphere.engine import faiss

    drawn = _drawn(descriptors, images, sample or PER_WORD * words, np.random.default_rng(seed))
    if len(drawn) < words:
        raise PerisphereError(
            f"the images have {len(drawn)} key points for {words} words; give more images or fewer --words."
        )
    machine = faiss.Kmeans(
        drawn.shape[1],
        words,
        niter=ITERATIONS,
        nredo=RESTARTS,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(drawn),
    )
    machine.train(drawn)
    return np.array(machine.centroids, np.float32)


def _drawn(
    descriptors: Iterable[NDArray[np.float32]], images: int, sample: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    share = -(-sample // max(images, 1))
    parts, missing = [np.empty((0, 0), np.float32)], sample
    for rows in descriptors:
        count = min(len(rows), share, missing)
        if count:
            parts.append(rows[rng.choice(len(rows), count, replace=False)])
        missing -= count
        if missing == 0:
            break
    return np.concatenate(parts[1:]) if len(parts) > 1 else parts[0]

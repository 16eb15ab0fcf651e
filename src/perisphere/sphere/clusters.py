"""Centres of groups of points on the sphere: given groups (centroids) and found ones (spherical k-means)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import UsageError
from perisphere.sphere.geometry import Vectors, as_vectors, normalise
from perisphere.sphere.neighbours import top_k


def centroids(vectors: NDArray, groups: NDArray) -> tuple[NDArray, Vectors]:
    """Return the direction of the mean of each group's rows.

    Args:
        vectors: ``[n, d]``; each row counts by its direction alone.
        groups: ``[n]``, the group of each row (numbers or strings).

    Returns:
        The distinct groups, sorted, ``[g]``, and their centroids, unit rows, float32 ``[g, d]``. A group
        whose rows cancel each other has no direction: its centroid is zero.
    """
    directions = normalise(vectors)
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    if len(group_of) != len(directions):
        raise UsageError(f"{len(directions)} vectors and {len(group_of)} groups; give one group a vector.")
    order = np.argsort(group_of, kind="stable")
    starts = np.searchsorted(group_of[order], np.arange(len(names)))
    sums = np.add.reduceat(directions[order], starts, axis=0, dtype=np.float64) if len(names) else directions
    means = sums / np.bincount(group_of, minlength=len(names))[:, None]
    # A mean this short is rounding error, not a direction.
    means[np.linalg.norm(means, axis=1) < 1e-7] = 0
    return names, normalise(means)


@dataclass(frozen=True)
class Clusters:
    """The outcome of :func:`kmeans`.

    Attributes:
        centres: unit rows, float32 ``[k, d]``.
        assignment: the nearest centre of each row, int64 ``[n]``.
        objective: mean cosine of the rows with their centre.
    """

    centres: Vectors
    assignment: NDArray[np.int64]
    objective: float


def kmeans(vectors: NDArray, k: int, *, seed: int = 0, iterations: int = 25, restarts: int = 1) -> Clusters:
    """Cluster directions by spherical k-means (Dhillon and Modha, 2001), seeded.

    Args:
        vectors: ``[n, d]``; each row counts by its direction alone.
        k: number of clusters, 1 to n.
        seed: of the initial centres.
        iterations: of Lloyd's algorithm.
        restarts: runs from different initial centres; the best is kept.

    Raises:
        UsageError: ``k`` outside 1 to n.
    """
    from perisphere.sphere.engine import faiss

    directions = normalise(as_vectors(vectors))
    count, dim = directions.shape
    if not 1 <= k <= count:
        raise UsageError(f"k is {k}, but {count} vectors can have 1 to {count} clusters.")
    machine = faiss.Kmeans(
        dim, k, niter=iterations, nredo=restarts, seed=seed, spherical=True, min_points_per_centroid=1
    )
    machine.train(directions)
    centres = normalise(np.asarray(machine.centroids))
    assignment, scores = top_k(directions, centres, 1)
    return Clusters(centres, assignment[:, 0], float(scores.mean()))

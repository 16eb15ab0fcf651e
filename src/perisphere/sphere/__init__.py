"""Geometry of the unit sphere: pure functions on arrays."""

from perisphere.sphere.clusters import Clusters, centroids, kmeans
from perisphere.sphere.geometry import METRICS, Metric, cosine, l1, l2, lengths, normalise
from perisphere.sphere.neighbours import top_k

__all__ = [
    "METRICS",
    "Clusters",
    "Metric",
    "centroids",
    "cosine",
    "kmeans",
    "l1",
    "l2",
    "lengths",
    "normalise",
    "top_k",
]

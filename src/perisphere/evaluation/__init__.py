"""Metrics, protocols and reports: how good an encoder or an index is."""

from perisphere.evaluation.matching import either, matching
from perisphere.evaluation.points import Points, read_points
from perisphere.evaluation.protocols import classification, retrieval
from perisphere.evaluation.ranks import Ranks, exact_ranks, rank_blocks
from perisphere.evaluation.report import Report, compare

__all__ = [
    "Points",
    "Ranks",
    "Report",
    "classification",
    "compare",
    "either",
    "exact_ranks",
    "matching",
    "rank_blocks",
    "read_points",
    "retrieval",
]

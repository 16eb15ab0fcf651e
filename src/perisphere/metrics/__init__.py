"""Metrics of rankings: arrays in, numbers out; which rows count is said by functions of the query's row."""

from perisphere.metrics.matching import NONE, Positions, Rows, either, matching
from perisphere.metrics.places import Places, places_in, ranks_of
from perisphere.metrics.ranks import MISSING, Ranks, Ties, exact_ranks, rank_blocks

__all__ = [
    "MISSING",
    "NONE",
    "Places",
    "Positions",
    "Ranks",
    "Rows",
    "Ties",
    "either",
    "exact_ranks",
    "matching",
    "places_in",
    "rank_blocks",
    "ranks_of",
]

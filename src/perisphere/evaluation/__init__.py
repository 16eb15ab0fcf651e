"""Metrics, protocols and reports: how good an encoder or an index is."""

from perisphere.evaluation.annotated import annotate
from perisphere.evaluation.centroid import judge_centroid
from perisphere.evaluation.gallery import Gallery
from perisphere.evaluation.hashing import judge_hashing
from perisphere.evaluation.hierarchy import judge_hierarchy
from perisphere.evaluation.judged import Judged
from perisphere.evaluation.landmark import judge_landmark
from perisphere.evaluation.points import Points, read_points
from perisphere.evaluation.protocols import classification, judge_retrieval, retrieval
from perisphere.evaluation.reid import judge_reid
from perisphere.evaluation.report import Report, compare
from perisphere.evaluation.reranking import Reranking
from perisphere.evaluation.revisited import check_kind, judge
from perisphere.evaluation.streaming import stream_places, stream_top
from perisphere.evaluation.text import judge_text
from perisphere.metrics.matching import either, matching
from perisphere.metrics.places import places_in, ranks_of
from perisphere.metrics.ranks import Ranks, exact_ranks, rank_blocks

__all__ = [
    "Gallery",
    "Judged",
    "Points",
    "Ranks",
    "Report",
    "Reranking",
    "annotate",
    "check_kind",
    "classification",
    "compare",
    "either",
    "exact_ranks",
    "judge",
    "judge_centroid",
    "judge_hashing",
    "judge_hierarchy",
    "judge_landmark",
    "judge_reid",
    "judge_retrieval",
    "judge_text",
    "matching",
    "places_in",
    "rank_blocks",
    "ranks_of",
    "read_points",
    "retrieval",
    "stream_places",
    "stream_top",
]

"""Re-rankers: each puts the lists of a search into a better order, whatever the encoder and the gallery."""

from perisphere.search.rerank.chain import RERANKERS, Chain, parse_chain
from perisphere.search.rerank.context import Context, Gallery
from perisphere.search.rerank.diffusion import Diffusion
from perisphere.search.rerank.expansion import (
    AlphaExpansion,
    DatabaseAugmentation,
    QueryExpansion,
    augmented,
    expanded,
)
from perisphere.search.rerank.galleries import ArrayGallery, IndexGallery
from perisphere.search.rerank.geometric import GeometricVerification, Match
from perisphere.search.rerank.kreciprocal import KReciprocal
from perisphere.search.rerank.label import LabelReranking, majority
from perisphere.search.rerank.reranker import Reranker
from perisphere.search.rerank.soft_label import SoftLabelReranking

__all__ = [
    "RERANKERS",
    "AlphaExpansion",
    "ArrayGallery",
    "Chain",
    "Context",
    "DatabaseAugmentation",
    "Diffusion",
    "Gallery",
    "GeometricVerification",
    "IndexGallery",
    "KReciprocal",
    "LabelReranking",
    "Match",
    "QueryExpansion",
    "Reranker",
    "SoftLabelReranking",
    "augmented",
    "expanded",
    "majority",
    "parse_chain",
]

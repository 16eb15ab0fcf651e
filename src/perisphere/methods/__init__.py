"""One file per training method."""

from perisphere.methods.center import Center, Centers
from perisphere.methods.centroid import Centroid, CentroidHead, CentroidTerms, Extra
from perisphere.methods.hierarchy import Hierarchy
from perisphere.methods.label_embedding import LabelEmbedding, LabelEmbeddings
from perisphere.methods.landmark import Landmark
from perisphere.methods.quantization import Quantization, QuantizationTerms
from perisphere.methods.segmentation import Segmentation, SegmentationTerms
from perisphere.methods.tag_targets import TagTargets
from perisphere.methods.tuples import Tuples

__all__ = [
    "Center",
    "Centers",
    "Centroid",
    "CentroidHead",
    "CentroidTerms",
    "Extra",
    "Hierarchy",
    "LabelEmbedding",
    "LabelEmbeddings",
    "Landmark",
    "Quantization",
    "QuantizationTerms",
    "Segmentation",
    "SegmentationTerms",
    "TagTargets",
    "Tuples",
]

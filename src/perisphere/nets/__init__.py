"""Networks: backbones, pooling and heads; published weights read safely into them."""

from perisphere.nets.classifiers import CosineClassifier, LinearClassifier, SemanticClassifier
from perisphere.nets.embedding import EmbeddingNet, Summary, build, describe
from perisphere.nets.keras_weights import import_keras
from perisphere.nets.pickled import read_checkpoint
from perisphere.nets.pretrained import TransformersNet, TransformersSpec
from perisphere.nets.registry import InputSpec, architectures, input_spec
from perisphere.nets.segmentation import Maps, SegmentationNet, SegmentationSpec, build_segmentation
from perisphere.nets.spec import NetSpec
from perisphere.nets.weights import (
    MatchReport,
    ShapeDifference,
    classifier_from,
    fitting_architectures,
    import_weights,
    load_into,
)

__all__ = [
    "CosineClassifier",
    "EmbeddingNet",
    "InputSpec",
    "LinearClassifier",
    "Maps",
    "MatchReport",
    "NetSpec",
    "SegmentationNet",
    "SegmentationSpec",
    "SemanticClassifier",
    "ShapeDifference",
    "Summary",
    "TransformersNet",
    "TransformersSpec",
    "architectures",
    "build",
    "build_segmentation",
    "classifier_from",
    "describe",
    "fitting_architectures",
    "import_keras",
    "import_weights",
    "input_spec",
    "load_into",
    "read_checkpoint",
]

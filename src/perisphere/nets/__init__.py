"""Networks: backbones, pooling and heads; published weights read safely into them."""

from perisphere.nets.classifiers import CosineClassifier, LinearClassifier
from perisphere.nets.embedding import EmbeddingNet, build
from perisphere.nets.registry import InputSpec, architectures, input_spec
from perisphere.nets.spec import NetSpec

__all__ = [
    "CosineClassifier",
    "EmbeddingNet",
    "InputSpec",
    "LinearClassifier",
    "NetSpec",
    "architectures",
    "build",
    "input_spec",
]

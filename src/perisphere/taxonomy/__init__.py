"""Class trees and DAGs, how similar their classes are, and classes as points on the sphere."""

from perisphere.taxonomy.class_points import ClassPoints
from perisphere.taxonomy.embedding import Method, deviation, embed
from perisphere.taxonomy.relations import Id
from perisphere.taxonomy.similarity import Kind, similarities
from perisphere.taxonomy.taxonomy import Taxonomy

__all__ = [
    "ClassPoints",
    "Id",
    "Kind",
    "Method",
    "Taxonomy",
    "deviation",
    "embed",
    "similarities",
]

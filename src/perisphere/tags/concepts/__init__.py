"""Concepts out of captions and category names: words of many languages, labels of photos, agreement."""

from perisphere.tags.concepts.concept_words import ConceptWords, Mention
from perisphere.tags.concepts.label_vectors import LabelVectors, label_vectors
from perisphere.tags.concepts.labelling import Labelled, PhotoText, label

__all__ = ["ConceptWords", "LabelVectors", "Labelled", "Mention", "PhotoText", "label", "label_vectors"]

"""Tags: what users type, as points on the sphere: vocabularies, word vectors, correlation and merging."""

from perisphere.tags.tags import Tags, TextPoint

__all__ = ["Tags", "TextPoint"]

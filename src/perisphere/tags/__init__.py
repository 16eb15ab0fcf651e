"""Tags: what users type, as points on the sphere: vocabularies, word vectors, correlation and merging."""

from perisphere.tags.build import Account, Making, build_tags
from perisphere.tags.tags import Tags, TextPoint

__all__ = ["Account", "Making", "Tags", "TextPoint", "build_tags"]

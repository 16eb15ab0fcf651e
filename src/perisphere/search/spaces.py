"""What places queries on the sphere of an index, each loaded when it is first asked for."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from perisphere.index import Index
from perisphere.search.class_query import known_classes
from perisphere.search.index_encoder import kept_encoder, the_encoder
from perisphere.search.text_query import known_tags
from perisphere.search.word_query import known_words

if TYPE_CHECKING:
    from perisphere.encoder import Encoder
    from perisphere.tags import Tags
    from perisphere.tags.concepts.concept_words import ConceptWords
    from perisphere.taxonomy import ClassPoints


@dataclass(frozen=True)
class Spaces:
    """An index, and what was given beside it; see :func:`~perisphere.search.searching.search`."""

    index: Index
    given_encoder: "Encoder | None" = None
    given_classes: "ClassPoints | None" = None
    given_tags: "Tags | None" = None
    given_vocabulary: "ConceptWords | None" = None

    @cached_property
    def encoder(self) -> "Encoder":
        """The encoder that made the index."""
        return the_encoder(self.index, self.given_encoder)

    @cached_property
    def classes(self) -> "ClassPoints":
        """The class points in the space of the index."""
        return known_classes(self.index, self.given_encoder, self.given_classes)

    @cached_property
    def tags(self) -> "Tags":
        """The tags in the space of the index."""
        return known_tags(self.index, self.given_encoder, self.given_tags)

    @cached_property
    def vocabulary(self) -> "ConceptWords":
        """The words of concepts."""
        return known_words(self.index, self.given_vocabulary)

    @cached_property
    def of_texts(self) -> Literal["joint", "tags"] | None:
        """By what texts are points: the encoder's own text tower or tags; ``None`` where they are not.

        Tags that are given come first, as they were asked for.
        """
        if self.given_tags is not None:
            return "tags"
        kept = kept_encoder(self.index, self.given_encoder)
        if kept is None:
            return None
        return "joint" if kept.text is not None else "tags" if kept.tags is not None else None

"""The concepts of one photo out of its caption and the names of its categories."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from perisphere.tags.concepts.concept_words import ConceptWords, Mention
from perisphere.tags.concepts.tokens import tokens_of

Place = Literal["category", "caption", "higher category", "nowhere"]


@dataclass(frozen=True)
class PhotoText:
    """What is written about a photo.

    Attributes:
        caption: empty where there is none.
        categories: names from below the landmark down to the photo's own.
        landmark: the landmark's name, whose words mean no concept (``Sainte-Chapelle``).
    """

    caption: str = ""
    categories: Sequence[str] = ()
    landmark: str = ""


@dataclass(frozen=True)
class Labelled:
    """The concepts of a photo and where they came from.

    Attributes:
        concepts: the primary one first, then those of higher categories, nearest to the root first.
        place: where the primary one stood.
        word: the word that named it, empty where nothing did.
        hint: the word was a hint, see :class:`~perisphere.tags.concepts.concept_words.Entry`.
    """

    concepts: tuple[str, ...] = ()
    place: Place = "nowhere"
    word: str = ""
    hint: bool = False


def label(
    text: PhotoText, words: ConceptWords, *, first: str | None = "en", inherit: bool = False
) -> Labelled:
    """Return the concepts of a photo.

    The primary one is named by the photo's own category, else by its caption. Words of the first language
    come before those of others, in which a category is a title more often than a description (``Chapelle
    Saint-Éloi``, of a photo captioned as a statue); names come before hints. Others are those of the
    categories above. In English alone, this rule reproduces the published labels where their text is whole
    (Wu et al., "Towers of Babel", ICCV 2021).

    Args:
        text: what is written about the photo.
        words: which words mean what.
        first: language of names that come before those of others; none puts all on a par.
        inherit: where neither own category nor caption names a concept, take that of the nearest category
            above. More photos get a label, and more of them a wrong one.
    """
    *above, own = [mentions_in(name, words, text.landmark) for name in text.categories] or [[]]
    caption = mentions_in(text.caption, words, text.landmark)
    places: list[tuple[Place, list[Mention]]] = [("category", own), ("caption", caption)]
    if inherit:
        places += [("higher category", mentions) for mentions in reversed(above)]
    named = [(_rank(mention, first), place, mention) for place, mentions in places for mention in mentions]
    if not named:
        return Labelled()
    _, place, primary = min(named, key=lambda one: one[0])  # of one rank, the first
    return _labelled(primary, place, above)


def _rank(mention: Mention, first: str | None) -> tuple[bool, bool]:
    return mention.hint, first is not None and mention.language != first and not mention.hint


def mentions_in(text: str, words: ConceptWords, landmark: str = "") -> list[Mention]:
    """Return what a text names, but for words that are part of the landmark's name there."""
    mentions = words.find(text)
    if not mentions or not landmark:
        return mentions
    name, tokens = set(tokens_of(landmark)), tokens_of(text)
    return [mention for mention in mentions if not _part_of(name, tokens, mention)]


def _part_of(name: set[str], tokens: tuple[str, ...], mention: Mention) -> bool:
    """Tell whether a mention and a word beside it are the landmark's (``sainte chapelle``)."""
    inside = set(tokens[mention.start : mention.stop]) <= name
    beside = (*tokens[max(0, mention.start - 1) : mention.start], *tokens[mention.stop : mention.stop + 1])
    return inside and any(token in name for token in beside if token)


def _labelled(primary: Mention, place: Place, above: Sequence[Sequence[Mention]]) -> Labelled:
    """Put the primary concept before those that the categories above name, the root's first."""
    others = [mention.concept for mentions in above for mention in mentions if not mention.hint]
    return Labelled(tuple(dict.fromkeys((primary.concept, *others))), place, primary.word, primary.hint)

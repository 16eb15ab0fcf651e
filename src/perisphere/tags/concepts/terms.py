"""The terms of a text: concepts where the mapping knows a word, else words that can mean something."""

from collections.abc import Collection
from dataclasses import dataclass, field

from perisphere.tags.concepts.concept_words import ConceptWords
from perisphere.tags.concepts.labelling import mentions_in
from perisphere.tags.concepts.tokens import BREAK, tokens_of
from perisphere.tags.words import FUNCTION_WORDS

_LINKING = """
inside outside near towards toward along behind around
de du des d la le les l un une et en dans sur aux au par avec a el los las del y con una uno i e dos das do
da di dal dalla dello della delle dei degli il lo gli nel nella su sul sulla der die das den dem ein eine
und im am vom zum zur von mit an auf bei aus in van het een op te s els amb dels
w z na v ze ve az es och pa av og af
"""
LINKS = frozenset(_LINKING.split())
"""Words of other languages that join those that mean something."""

_SHORTEST = 3


@dataclass(frozen=True)
class Terms:
    """The terms of a text.

    Attributes:
        segments: terms between links and punctuation, in their order; no segment is empty.
        forms: what each term was written as: term by form.
        concepts: the terms that the mapping knows.
    """

    segments: tuple[tuple[str, ...], ...] = ()
    forms: dict[str, str] = field(default_factory=dict)
    concepts: frozenset[str] = frozenset()

    @property
    def words(self) -> set[str]:
        """All terms."""
        return set(self.forms.values())

    def plain(self) -> set[str]:
        """Return the terms that the mapping does not know."""
        return self.words - self.concepts

    def head(self, without: Collection[str] = ()) -> str:
        """Return what a name is the name of: ``facade`` of ``West facade of Reims cathedral``.

        It is the last term of the first segment, or the last concept there, since in some languages what
        qualifies a word follows it (``Fachada oeste``).

        Args:
            without: words of the landmark's name.
        """
        for segment in self.segments:
            left = [term for term in segment if term not in without]
            if left:
                return next((term for term in reversed(left) if term in self.concepts), left[-1])
        return ""


def terms_of(text: str, words: ConceptWords, landmark: str = "") -> Terms:
    """Return the terms of a text without function words, numbers and the landmark's own name."""
    name = set(tokens_of(landmark)) - {BREAK}
    tokens = tokens_of(text)
    mentions = {mention.start: mention for mention in mentions_in(text, words, landmark)}
    segments: list[list[str]] = [[]]
    forms: dict[str, str] = {}
    at = 0
    while at < len(tokens):
        mention = mentions.get(at)
        stop = mention.stop if mention else at + 1
        form = " ".join(token for token in tokens[at:stop] if token)
        term = mention.concept if mention else form
        if mention or (means_something(form) and form not in name):
            segments[-1].append(term)
            forms[form] = term
        elif form not in name:
            segments.append([])
        at = stop
    found = frozenset(mention.concept for mention in mentions.values())
    return Terms(tuple(tuple(segment) for segment in segments if segment), forms, found)


def means_something(word: str) -> bool:
    """Tell words from links, numbers and what is too short; one ideograph is a word."""
    if word in LINKS or word in FUNCTION_WORDS or not word.isalpha():
        return False
    return len(word) >= _SHORTEST or not word.isascii()

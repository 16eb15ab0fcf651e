"""The words of a text in their order, brought to one spelling, and where a phrase ends."""

import html
import re
from functools import lru_cache

from perisphere.tags.words import normalise

BREAK = ""
"""Stands between two words that punctuation divides; no word is empty."""

SHORT = 300
"""Characters of texts that are kept with what was found in them, as the names of categories are."""

# Marks belong to the letters before them, in scripts that write vowels so too.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0dff\u0e31-\u0e4e\u0eb1-\u0ecd"
_PIECES = re.compile(rf"[\w{_MARKS}]+|[^\w\s]")
# An apostrophe divides a word from its article (l'orgue), a hyphen the halves of one (Saint-Michel):
# neither ends a phrase.
_JOINTS = frozenset(
    "'`\u00b4\u02bc\u2018\u2019-\u2010\u2011\u2012\u2013\u2014\u200b\u00b7\"\u201c\u201d\u00ab\u00bb&"
)


def tokens_of(text: str) -> tuple[str, ...]:
    """Return the words of a text, normalised, with :data:`BREAK` where punctuation divides them.

    ``"Détail: l&#39;orgue (Rouen)"`` becomes ``("detail", "", "l", "orgue", "", "rouen")``.
    """
    return _short(text) if len(text) <= SHORT else _tokens(text)


def _tokens(text: str) -> tuple[str, ...]:
    tokens: list[str] = []
    for piece in _PIECES.findall(html.unescape(text).replace("_", " ")):
        word = normalise(piece)
        if word:
            tokens += word.split(" ")
        elif piece not in _JOINTS and tokens and tokens[-1] != BREAK:
            tokens.append(BREAK)
    return tuple(tokens[:-1] if tokens and tokens[-1] == BREAK else tokens)


_short = lru_cache(maxsize=1 << 14)(_tokens)

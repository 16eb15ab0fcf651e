"""The words of a text in their order, brought to one spelling, and where a phrase ends."""

import html
import re
from functools import lru_cache

from perisphere.tags.words import normalise

BREAK = ""
"""Stands between two words that punctuation divides; no word is empty."""

_PIECES = re.compile(r"[^\W_]+(?:[\u0300-\u036f]+[^\W_]*)*|[^\w\s]")
# An apostrophe divides a word from its article (l'orgue), a hyphen the halves of one (Saint-Michel):
# neither ends a phrase.
_JOINTS = frozenset("'`´ʼ‘’-‐‑–—\u200b\u00b7\"“”«»&")  # noqa: RUF001


@lru_cache(maxsize=4096)
def tokens_of(text: str) -> tuple[str, ...]:
    """Return the words of a text, normalised, with :data:`BREAK` where punctuation divides them.

    ``"Détail: l&#39;orgue (Rouen)"`` becomes ``("detail", "", "l", "orgue", "", "rouen")``.
    """
    tokens: list[str] = []
    for piece in _PIECES.findall(html.unescape(text.replace("_", " "))):
        word = normalise(piece)
        if word:
            tokens += word.split(" ")
        elif piece not in _JOINTS and tokens and tokens[-1] != BREAK:
            tokens.append(BREAK)
    return tuple(tokens[:-1] if tokens and tokens[-1] == BREAK else tokens)

"""What people type as a tag, brought to one spelling: case, accents, separators."""

import re
import unicodedata
from functools import lru_cache

LONGEST = 100
"""Characters of a tag; what is longer is a text, or noise."""

_MACHINE = re.compile(r"[a-z][a-z0-9_]*:[a-z][a-z0-9_]*=", re.IGNORECASE)
_APOSTROPHES = dict.fromkeys(map(ord, "'`\u00b4\u02bc\u2018\u2019"))
# Of Latin and Greek letters; in other scripts, as in the Russian short i, a mark makes another letter.
_ACCENTED = re.compile("([\x00-\u03ff])[\u0300-\u036f]+")
# Letters that are no base letter with a mark, as they are typed on other keyboards.
_LETTERS = str.maketrans(
    {
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "\u0131": "i",
        "ħ": "h",
        "\u0451": "\u0435",
    }
)

_ENGLISH = """
a about above after again all also am an and any are as at be because been before being below between
both but by can did do does down during each few for from further had has have he her here hers him his
how i if in into is it its just me more most my no nor not now of off on once only or other our out over
own same she so some such than that the their them then there these they this those through to too under
until up very was we were what when where which while who whom why will with within without you your
"""
FUNCTION_WORDS = frozenset(_ENGLISH.split())
"""English words that say nothing of a picture; ``a`` to ``your``."""


@lru_cache(maxsize=1 << 18)
def normalise(word: str) -> str:
    """Return a tag in lower case, without accents and apostrophes, its words divided by single blanks.

    ``"São_Paulo"`` becomes ``"sao paulo"``; what has neither letters nor digits becomes an empty text.
    """
    folded = unicodedata.normalize("NFKC", word[: 4 * LONGEST]).casefold().translate(_APOSTROPHES)
    plain = _ACCENTED.sub(r"\1", unicodedata.normalize("NFD", folded))
    composed = unicodedata.normalize("NFC", plain).translate(_LETTERS)
    return " ".join("".join(letter if _belongs(letter) else " " for letter in composed).split())


def joined(tag: str) -> str:
    """Return a normalised tag without its blanks: ``new york`` and ``newyork`` are the same so."""
    return tag.replace(" ", "")


def objection(word: str, tag: str) -> str | None:
    """Say why what was typed is no tag, ``None`` where it is one.

    Args:
        word: as it was typed.
        tag: the same, normalised.

    Returns:
        ``machine tag`` (Flickr's ``namespace:predicate=value``), ``too long``, ``no letters``, ``number``,
        ``one letter`` or ``function word``.
    """
    if _MACHINE.match(word.strip()):
        return "machine tag"
    if len(word) > LONGEST:
        return "too long"
    if not any(letter.isalpha() for letter in tag):
        return "number" if any(letter.isdigit() for letter in tag) else "no letters"
    if len(tag) == 1 and tag.isascii():  # one ideograph is a word
        return "one letter"
    return "function word" if tag in FUNCTION_WORDS else None


def words_of(text: str) -> list[str]:
    """Return the words of a caption, each once: normalised, without function words and numbers."""
    words = dict.fromkeys(normalise(part) for part in text.split())
    single = dict.fromkeys(word for several in words for word in several.split())
    return [word for word in single if len(word) > 2 and objection(word, word) is None]


def _belongs(letter: str) -> bool:
    """Tell letters, digits and the marks of scripts that write vowels as marks."""
    return letter.isalnum() or unicodedata.category(letter) in ("Mn", "Mc")

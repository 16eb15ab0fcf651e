"""Two spellings of one word: singular and plural, and a letter mistyped."""

import re
from collections.abc import Iterator
from typing import Literal

SHORTEST = 6
"""Letters from which on a slip leaves a word recognisable; ``horse`` and ``house`` are two words."""

SHORTEST_OTHER = 9
"""The same where a letter is missing or too many, which makes other words: ``minster``, ``minister``."""

Slip = Literal["sure", "doubtful"]

_IRREGULAR = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "feet": "foot",
    "teeth": "tooth",
    "geese": "goose",
    "mice": "mouse",
    "oxen": "ox",
    "leaves": "leaf",
    "knives": "knife",
    "wives": "wife",
    "buses": "bus",
}
_PLURALS = {one: many for many, one in _IRREGULAR.items()}
_ENDING_LIKE_ONE = """
alps always andes andreas andres arms ashes athens atlas blues briefs brussels cannes canvas carlos
charles chris christmas clothes cosmos customs dallas does elias falls flanders flandes frances frans
funds glasses goods grounds hans hers https is james jeans jonas judas kansas lens lucas lukas lyons
mars marseilles mass mathias matias means naples news nicolas ours pants paris physics politics rapids
reims remains savings series shorts species spectacles spirits texas theirs this thomas tights times
tobias tomas tours towards trans tres vargas vegas versailles wales waters wells woods yes yours
"""
_NO_PLURALS = frozenset(_ENDING_LIKE_ONE.split())
"""They end like plurals, but are none, or mean something else than their singular."""


_ONE_SLIP_APART = """
angels/angles united/untied silver/sliver sacred/scared casual/causal martial/marital calvary/cavalry
carving/craving desert/dessert deserts/desserts later/latter super/supper diner/dinner diners/dinners
filed/filled filing/filling tiled/tilled tiling/tilling poled/polled poling/polling liter/litter
canon/cannon canons/cannons below/bellow hooter/hotter holly/holy
"""
_TWO_WORDS = frozenset(frozenset(pair.split("/")) for pair in _ONE_SLIP_APART.split())
"""Words that differ like slips."""

_INFLECTED = re.compile(r"([b-df-hjkmnp-tv-z])\1(ed|ing)")
"""Endings before which a doubled letter makes another word (``staring``, ``starring``), but for
the ``l`` of ``travelling``."""


def singulars(word: str) -> list[str]:
    """Return the words whose English plural a word can be; also of the last word of several."""
    *first, last = word.split(" ")
    front = "".join(f"{part} " for part in first)
    return [front + single for single in _singulars(last)]


def other_number(word: str) -> list[str]:
    """Return the singulars and plurals that a word can have."""
    *first, last = word.split(" ")
    front = "".join(f"{part} " for part in first)
    return [front + other for other in (*_singulars(last), *_plurals(last))]


def slip(rare: str, common: str) -> Slip | None:
    """Say whether a rare tag is a commoner one with one letter transposed, doubled, missing or exchanged.

    All words but one must agree, and of that one the first letter and all digits. Exchanged letters, a letter
    at the end, and a doubled one before ``ed`` and ``ing`` make other words, or those of another language:
    they are doubtful, and so are inner letters missing in short words.
    """
    ours, theirs = rare.split(" "), common.split(" ")
    if len(ours) != len(theirs):
        return None
    differing = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    return _slip(*differing[0]) if len(differing) == 1 else None


def shortened(tag: str) -> Iterator[str]:
    """Yield a tag, and it with each letter left out: tags one slip apart have one of these in common."""
    yield tag
    for place in range(1, len(tag)):
        yield tag[:place] + tag[place + 1 :]


def _singulars(word: str) -> list[str]:
    if word in _IRREGULAR:
        return [_IRREGULAR[word]]
    if len(word) < 4 or word in _NO_PLURALS or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return []
    found = [word[:-1]]
    if word.endswith(("ches", "shes", "xes", "sses", "zes")) or (word.endswith("oes") and len(word) > 5):
        found.append(word[:-2])
    if word.endswith("ies") and len(word) > 4:
        found.append(f"{word[:-3]}y")
    return found


def _plurals(word: str) -> list[str]:
    if word in _PLURALS:
        return [_PLURALS[word]]
    if len(word) < 3 or not word.isalpha():
        return []
    candidates = [f"{word}s", f"{word}es", f"{word[:-1]}ies"]
    return [many for many in candidates if word in _singulars(many)]


def _slip(rare: str, common: str) -> Slip | None:
    shorter, longer = sorted((rare, common), key=len)
    if rare[0] != common[0] or [c for c in rare if c.isdigit()] != [c for c in common if c.isdigit()]:
        return None
    if len(longer) < SHORTEST or len(longer) - len(shorter) > 1 or frozenset((rare, common)) in _TWO_WORDS:
        return None
    pairs = zip(shorter, longer, strict=False)
    place = next((at for at, (a, b) in enumerate(pairs) if a != b), len(shorter))
    if len(shorter) == len(longer):
        return _exchanged(shorter, longer, place)
    if shorter[place:] != longer[place + 1 :] or (place == len(shorter) and longer[-1] == "s"):
        return None  # a last s is another number, or another language's ending
    if place == len(shorter) or _INFLECTED.fullmatch(longer, place - 1):
        return "doubtful"
    doubled = longer[place] == longer[place - 1]
    return "sure" if doubled or len(longer) >= SHORTEST_OTHER else "doubtful"


def _exchanged(a: str, b: str, place: int) -> Slip | None:
    """Judge words of one length that differ from ``place`` on."""
    if a[place : place + 2] == b[place : place + 2][::-1] and a[place + 2 :] == b[place + 2 :]:
        return "sure"
    return "doubtful" if a[place + 1 :] == b[place + 1 :] else None

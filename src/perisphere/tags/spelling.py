"""Two spellings of one word: singular and plural, and a letter mistyped."""

from collections.abc import Iterator

SHORTEST = 6
"""Letters from which on a word with one mistyped is recognisable; ``horse`` and ``house`` are two words."""

SHORTEST_EXCHANGED = 8
"""The same where a letter stands for another, which more often makes another word: ``postal``, ``portal``."""

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
}
_PLURALS = {one: many for many, one in _IRREGULAR.items()}
_ENDING_LIKE_ONE = """
alps always andes arms atlas canvas charles chris christmas clothes cosmos customs dallas does funds
glasses goods grounds hers is james jeans kansas lens lucas mars mass means news nicolas ours pants paris
physics rapids reims remains savings series shorts spectacles species spirits texas theirs this thomas
times towards vegas wales waters woods yes yours
"""
_NO_PLURALS = frozenset(_ENDING_LIKE_ONE.split())
"""They end like plurals, but are none, or mean something else than their singular."""


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


def one_slip(rare: str, common: str) -> bool:
    """Tell whether a rare tag is a commoner one with one letter left out, doubled, exchanged or transposed.

    The first letter and all digits must agree, all words but one, and the word must be long enough.
    """
    ours, theirs = rare.split(" "), common.split(" ")
    if len(ours) != len(theirs):
        return False
    differing = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    return len(differing) == 1 and _one_slip(*differing[0])


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
    if word.endswith(("ches", "shes", "xes", "ses", "zes", "oes")):
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


def _one_slip(rare: str, common: str) -> bool:
    shorter, longer = sorted((rare, common), key=len)
    exchanged = len(shorter) == len(longer)
    if rare[0] != common[0] or [c for c in rare if c.isdigit()] != [c for c in common if c.isdigit()]:
        return False
    if len(longer) < SHORTEST or len(longer) - len(shorter) > 1:
        return False
    place = next((at for at, (a, b) in enumerate(zip(shorter, longer, strict=False)) if a != b), len(shorter))
    if not exchanged:
        # A last s more is another number or another language's ending, not a slip.
        return shorter[place:] == longer[place + 1 :] and not (place == len(shorter) and longer[-1] == "s")
    if (
        shorter[place : place + 2] == longer[place : place + 2][::-1]
        and shorter[place + 2 :] == longer[place + 2 :]
    ):
        return True
    return len(longer) >= SHORTEST_EXCHANGED and shorter[place + 1 :] == longer[place + 1 :]

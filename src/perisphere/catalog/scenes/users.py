"""The users who tag photos: their languages, their habits, and the tags that they write."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from perisphere.catalog.scenes.concepts import mentionable
from perisphere.catalog.scenes.photo import Photo
from perisphere.catalog.scenes.words import CHATTER, LANGUAGES, WORDS, plural
from perisphere.catalog.scenes.world import tag_stream

USERS = 300
_MENTIONED = {
    "family": 0.6,
    "style": 0.45,
    "light": 0.4,
    "part": 0.45,
    "around": 0.3,
    "colour": 0.12,
    "common": 0.12,
    "name": 0.35,
}


@dataclass(frozen=True)
class Rates:
    """How noisy tags are; chances, unless said otherwise.

    Attributes:
        untagged: a photo has no tag at all.
        mentioned: a true thing is written down, by its kind; ``name`` is the name of the place.
        foreign: a user writes in another language than English.
        own_language: such a user takes a word of that language, and not the English one.
        synonym: an English word is another one than the usual.
        plural: an English noun stands in the plural.
        misspelt: a word has a slip of the keyboard.
        capital: a user begins words with a capital letter.
        false: mean number of things that are not in the photo, as users tag whole albums at once.
        chatter: mean number of words that say nothing about a photo.
    """

    untagged: float = 0.04
    mentioned: dict[str, float] = field(default_factory=lambda: dict(_MENTIONED))
    foreign: float = 0.3
    own_language: float = 0.7
    synonym: float = 0.3
    plural: float = 0.15
    misspelt: float = 0.05
    capital: float = 0.15
    false: float = 0.3
    chatter: float = 1.2


RATES = Rates()


@dataclass(frozen=True)
class Tag:
    """A tag that a user wrote, and what is true of it.

    Attributes:
        text: as written.
        kind: ``concept`` (a true thing of any kind), ``name`` (of the place), ``false`` (a thing that is not
            in the photo) or ``chatter``.
        thing: what was meant, a key of :data:`~perisphere.catalog.scenes.words.WORDS`; empty without.
        language: of the word.
        changes: of ``synonym``, ``plural``, ``misspelt``, those that it has.
    """

    text: str
    kind: str
    thing: str = ""
    language: str = "en"
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class User:
    """Habits of one user.

    Attributes:
        language: ``en``, or one of :data:`~perisphere.catalog.scenes.words.LANGUAGES`.
        capital: begins words with a capital letter.
        joint: what stands between the words of a tag.
        chatter: the user's own favourites among empty words.
    """

    language: str
    capital: bool
    joint: str
    chatter: tuple[str, ...]


def user(seed: int, number: int, rates: Rates = RATES) -> User:
    """Return user ``number`` of the world ``seed``."""
    rng = tag_stream(seed, number)
    language = str(rng.choice(LANGUAGES)) if rng.random() < rates.foreign else "en"
    joint = str(rng.choice(("", " ", "_", "-"), p=(0.5, 0.3, 0.1, 0.1)))
    favourites = rng.choice(len(CHATTER), 6, replace=False)
    return User(language, bool(rng.random() < rates.capital), joint, tuple(CHATTER[k] for k in favourites))


def write_tags(photo: Photo, seed: int, rates: Rates = RATES) -> tuple[Tag, ...]:
    """Let a user of the world ``seed`` tag a photo; the same arguments give the same tags.

    Args:
        photo: as taken.
        seed: of the world.
        rates: how noisy the tags are.

    Returns:
        The tags as written, each text once, in the order of writing; empty for an untagged photo.
    """
    rng = tag_stream(seed, photo.landmark.number, photo.number)
    who = user(seed, int(rng.integers(USERS)), rates)
    if rng.random() < rates.untagged:
        return ()
    written = [*_true(photo, who, rng, rates), *_untrue(photo, who, rng, rates)]
    order = rng.permutation(len(written))
    return tuple({written[k].text: written[k] for k in order}.values())


def _true(photo: Photo, who: User, rng: np.random.Generator, rates: Rates) -> Iterator[Tag]:
    for thing in mentionable(photo):
        if rng.random() < rates.mentioned[WORDS[thing].kind]:
            yield _called(thing, "concept", who, rng, rates)
    if rng.random() < rates.mentioned["name"]:
        place = photo.landmark.name.split()[0] if rng.random() < 0.6 else photo.landmark.name
        yield Tag(_cased(place.lower(), who), "name")


def _untrue(photo: Photo, who: User, rng: np.random.Generator, rates: Rates) -> Iterator[Tag]:
    shown = {*mentionable(photo), *photo.visible_parts(0)}
    absent = [thing for thing, word in WORDS.items() if thing not in shown and word.kind != "common"]
    for k in rng.choice(len(absent), min(len(absent), int(rng.poisson(rates.false))), replace=False):
        yield _called(absent[k], "false", who, rng, rates)
    for _ in range(int(rng.poisson(rates.chatter))):
        yield Tag(_cased(str(rng.choice(who.chatter)), who), "chatter")


def _called(thing: str, kind: str, who: User, rng: np.random.Generator, rates: Rates) -> Tag:
    """Write a thing down, as ``who`` would."""
    word, changes = WORDS[thing], list[str]()
    own = who.language != "en" and rng.random() < rates.own_language
    language = who.language if own else "en"
    choices = word.foreign[language] if own else word.english
    text = choices[0]
    if len(choices) > 1 and rng.random() < rates.synonym:
        text = str(rng.choice(choices[1:]))
        changes.append("synonym")
    if language == "en" and word.countable and rng.random() < rates.plural and plural(text) != text:
        text = plural(text)
        changes.append("plural")
    if rng.random() < rates.misspelt and len(text) >= 4:
        text = slip(text, rng)
        changes.append("misspelt")
    return Tag(_cased(text, who), kind, thing, language, tuple(changes))


def _cased(text: str, who: User) -> str:
    joined = text.replace(" ", who.joint)
    return joined[:1].upper() + joined[1:] if who.capital else joined.lower()


def slip(word: str, rng: np.random.Generator) -> str:
    """Swap two letters, drop one or write one twice, never the first; always another word.

    Args:
        word: of at least 4 letters.
        rng: the dice.
    """
    k = int(rng.integers(1, len(word) - 1))
    swapped = word[:k] + word[k + 1] + word[k] + word[k + 2 :]
    dropped = word[:k] + word[k + 1 :]
    doubled = word[:k] + word[k] + word[k:]
    return [swapped if swapped != word else doubled, dropped, doubled][int(rng.integers(3))]

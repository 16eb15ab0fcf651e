"""Which words of which languages mean which concept, and where they stand in a text."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.foreign.typed_text import read_typed
from perisphere.tags.concepts.tokens import SHORT, tokens_of
from perisphere.tags.spelling import singulars
from perisphere.tags.words import LONGEST

BUILT_IN = Path(__file__).with_name("architecture.tsv")
"""Words for the ten concepts of WikiScenes in 26 languages."""

NOTHING = "-"
"""Stands for the concept of phrases that name none, though a word in them would (``choir boys``)."""

ALIKE = frozenset(("en", "fr", "es", "pt", "ca"))
"""Languages whose plurals end in ``s`` and are found under their singular."""

_STRENGTHS = ("name", "hint")
# Words of these scripts stand side by side without blanks; they are found anywhere.
_UNDIVIDED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_SHORTEST_STEM = 3


@dataclass(frozen=True)
class Entry:
    """A line of a mapping file.

    Attributes:
        word: one word or several; ``*`` at either end of a single word stands for more letters.
        language: its code, such as ``en``.
        concept: what it means.
        hint: the word only goes with the concept (``sculpture``), where a name means it (``estatua``).
    """

    word: str
    language: str
    concept: str
    hint: bool = False


@dataclass(frozen=True)
class Mention:
    """A concept's word in a text.

    Attributes:
        concept: what is meant.
        word: as the text has it, normalised.
        start: the first token of :func:`~perisphere.tags.concepts.tokens.tokens_of`.
        stop: the token behind the last one.
        language: of the word; of several that share it, the first in the mapping file.
        hint: see :class:`Entry`.
    """

    concept: str
    word: str
    start: int
    stop: int
    language: str = "en"
    hint: bool = False


class ConceptWords:
    """Words by concept.

    Args:
        entries: of mapping files; of two for one word the later one counts.
        concepts: all of them in their order; that of the entries if not given.

    Raises:
        PerisphereError: a word has no letters, or a ``*`` in its middle or with too few letters beside it.
    """

    def __init__(self, entries: Iterable[Entry], concepts: Sequence[str] = ()) -> None:
        self.entries = list(dict.fromkeys(entries))
        named = (entry.concept for entry in self.entries if entry.concept != NOTHING)
        self.concepts = tuple(dict.fromkeys((*concepts, *named)))
        phrases: dict[tuple[str, ...], Entry] = {}
        self._starts: dict[str, Entry] = {}
        self._ends: dict[str, Entry] = {}
        self._undivided: dict[str, Entry] = {}
        for entry in self.entries:
            self._add(entry, phrases)
        self._phrases: dict[str, list[tuple[tuple[str, ...], Entry]]] = {}
        for phrase in sorted(phrases, key=len, reverse=True):
            self._phrases.setdefault(phrase[0], []).append((phrase, phrases[phrase]))
        longest = sorted(map(re.escape, self._undivided), key=len, reverse=True)
        self._inside = re.compile("|".join(longest)) if longest else None
        self._single = lru_cache(maxsize=1 << 16)(self._look_up)
        self._kept = lru_cache(maxsize=1 << 14)(self._mentions)  # names of categories come again and again

    @classmethod
    def built_in(cls) -> Self:
        """Return the words for the ten concepts of WikiScenes."""
        return cls(read_entries(BUILT_IN))

    def of(self, concepts: Sequence[str]) -> "ConceptWords":
        """Return the words of some concepts alone, in the order asked for; each name is a word of itself."""
        kept = [entry for entry in self.entries if entry.concept in concepts or entry.concept == NOTHING]
        names = [Entry(name.replace("_", " "), "en", name) for name in concepts]
        return ConceptWords([*(entry for entry in kept if entry not in names), *names], concepts)

    def speaking(self, languages: Collection[str]) -> "ConceptWords":
        """Return the words of some languages alone.

        Raises:
            UsageError: no word is of one of the languages.
        """
        known = sorted({entry.language for entry in self.entries})
        for language in languages:
            if language not in known:
                raise UsageError(
                    f"language {language!r} has no words here; there are {', '.join(known)}."
                    f"{nearest(language, known)}"
                )
        return ConceptWords(entry for entry in self.entries if entry.language in languages)

    def find(self, text: str) -> list[Mention]:
        """Return the concepts that a text names, in its order; of words that overlap, the longest.

        Spelling is levelled (case, accents), English-like plurals are found under their singular.
        """
        return list(self._kept(text) if len(text) <= SHORT else self._mentions(text))

    def concepts_in(self, text: str) -> list[str]:
        """Return the different concepts that a text names, in its order."""
        return list(dict.fromkeys(mention.concept for mention in self.find(text)))

    def _add(self, entry: Entry, phrases: dict[tuple[str, ...], Entry]) -> None:
        """File an entry by its form; where two languages share a word and what it means, the first has it."""
        stem = entry.word.strip("*")
        tokens = tuple(token for token in tokens_of(stem) if token)
        if not tokens or "*" in stem:
            raise PerisphereError(f"concept word {entry.word!r}: needs letters, and * only at its ends.")
        if _UNDIVIDED.search(stem):
            self._undivided["".join(tokens)] = entry
        elif stem == entry.word:
            known = phrases.setdefault(tokens, entry)
            if (known.concept, known.hint) != (entry.concept, entry.hint):
                phrases[tokens] = entry
        elif len(tokens) > 1 or len(tokens[0]) < _SHORTEST_STEM:
            raise PerisphereError(f"concept word {entry.word!r}: * goes with one word of 3 letters or more.")
        else:
            if entry.word.endswith("*"):
                self._starts[tokens[0]] = entry
            if entry.word.startswith("*"):
                self._ends[tokens[0]] = entry

    def _mentions(self, text: str) -> tuple[Mention, ...]:
        tokens = tokens_of(text)
        mentions: list[Mention] = []
        at = 0
        while at < len(tokens):
            stop, found = self._longest(tokens, at)
            word = " ".join(token for token in tokens[at:stop] if token) if found else ""
            named = (entry for entry in found if entry.concept != NOTHING)
            mentions += [Mention(e.concept, word, at, stop, e.language, e.hint) for e in named]
            at = stop
        return tuple(mentions)

    def _longest(self, tokens: tuple[str, ...], at: int) -> tuple[int, tuple[Entry, ...]]:
        """Return the token behind the longest phrase that starts at one, and what it means."""
        for first in _forms(tokens[at]):
            for phrase, entry in self._phrases.get(first, ()):
                if len(phrase) > 1 and _same(phrase, tokens[at : at + len(phrase)], entry.language):
                    return at + len(phrase), (entry,)
        return at + 1, self._single(tokens[at])

    def _look_up(self, token: str) -> tuple[Entry, ...]:
        """Return what one word means: as it stands, as a plural, as a compound; several only undivided."""
        if not token:
            return ()
        for form in _forms(token):
            for phrase, entry in self._phrases.get(form, ()):
                if len(phrase) == 1 and _same(phrase, (token,), entry.language):
                    return (entry,)
        for length in range(len(token), _SHORTEST_STEM - 1, -1):
            found = self._ends.get(token[-length:]) or self._starts.get(token[:length])
            if found:
                return (found,)
        if self._inside is None or not _UNDIVIDED.search(token):
            return ()
        return tuple(self._undivided[word] for word in self._inside.findall(token))


@lru_cache(maxsize=1 << 16)
def _forms(token: str) -> tuple[str, ...]:
    """Return a word and what it can be the plural of."""
    return (token, *singulars(token))


def _same(phrase: tuple[str, ...], tokens: tuple[str, ...], language: str) -> bool:
    """Tell whether words are a phrase's, each as it is or, in some languages, its plural."""
    return len(phrase) == len(tokens) and all(
        word == token or (language in ALIKE and word in singulars(token))
        for word, token in zip(phrase, tokens, strict=True)
    )


def read_entries(file: Path) -> Iterator[Entry]:
    """Yield the lines ``WORD TAB LANGUAGE TAB CONCEPT`` of a mapping file; ``#`` starts a comment.

    A fourth column ``hint`` marks words that only go with the concept. A first line ``word language
    concept`` is a heading.

    Raises:
        PerisphereError: the file is missing, no text, or a line has another form.
    """
    for number, line in enumerate(read_typed(file).splitlines(), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not line.strip() or line.startswith("#") or cells[:3] == ["word", "language", "concept"]:
            continue
        word, language, concept, strength = (cells + ["name"] * (4 - len(cells)))[:4]
        good = len(cells) in (3, 4) and word and language and concept and strength in _STRENGTHS
        if not good or max(len(word), len(concept)) > LONGEST:
            raise PerisphereError(
                f"{file}: line {number} is not WORD, LANGUAGE, CONCEPT (and `hint`) with tabs between."
            )
        yield Entry(word, language, concept, strength == "hint")

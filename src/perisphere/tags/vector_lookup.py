"""Vectors for tags out of a file of word vectors, where need be by another spelling or word by word."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from perisphere.tags.spelling import other_number
from perisphere.tags.word_vectors import read_word_vectors
from perisphere.tags.words import FUNCTION_WORDS, joined


@dataclass(frozen=True)
class FoundVectors:
    """What a file of word vectors has for tags.

    Attributes:
        vectors: float32 ``[d]`` by tag.
        spelled: how the tag is spelled in the file; several words with ``+`` where it is their mean.
        dim: d.
        words: how many words the file has.
    """

    vectors: dict[str, NDArray[np.float32]]
    spelled: dict[str, str]
    dim: int
    words: int


def spellings(tag: str, typed: Sequence[str] = ()) -> list[str]:
    """Return how a normalised tag may be spelled in a file of word vectors, the likeliest first.

    Such files know case and accents and join the words of a phrase, mostly with ``_``.

    Args:
        tag: normalised.
        typed: the tag as users typed it.
    """
    forms = [tag, tag.title(), tag.upper(), *(word.strip() for word in typed)]
    found = [form.replace(" ", "_") for form in forms]
    found += [joined(form) for form in forms] + [form.replace(" ", "-") for form in forms]
    numbers = [form for other in other_number(tag) for form in (other, other.title())]
    return list(dict.fromkeys([*found, *(form.replace(" ", "_") for form in numbers)]))


def find_vectors(file: Path, tags: Mapping[str, Sequence[str]]) -> FoundVectors:
    """Return the vectors of tags.

    A tag of several words that the file has in no spelling is the mean of its words, where it has them all.

    Args:
        file: see :func:`read_word_vectors`.
        tags: normalised tags, and how users typed them.
    """
    ways = {tag: spellings(tag, typed) for tag, typed in tags.items()}
    parts = {tag: words for tag in tags if len(words := _content(tag)) > 1}
    ways_of_parts = {word: spellings(word) for words in parts.values() for word in words}
    wanted = {form for forms in (*ways.values(), *ways_of_parts.values()) for form in forms}
    read = read_word_vectors(file, wanted)
    spelled = {tag: form for tag, forms in ways.items() if (form := _first(forms, read.vectors)) is not None}
    vectors = {tag: read.vectors[form] for tag, form in spelled.items()}
    for tag, words in parts.items():
        forms = [_first(ways_of_parts[word], read.vectors) for word in words]
        if tag not in vectors and None not in forms:
            known = [form for form in forms if form is not None]
            mean = np.mean([read.vectors[form] for form in known], axis=0)
            if mean.any():
                vectors[tag], spelled[tag] = mean, " + ".join(known)
    return FoundVectors(vectors, spelled, read.dim, read.words)


def _content(tag: str) -> list[str]:
    return [word for word in tag.split(" ") if word not in FUNCTION_WORDS]


def _first(forms: Iterable[str], known: Mapping[str, NDArray[np.float32]]) -> str | None:
    return next((form for form in forms if form in known), None)

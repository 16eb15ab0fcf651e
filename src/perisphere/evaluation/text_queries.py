"""Texts that ask for photos, and the concepts that a photo must show to be a right answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, nearest
from perisphere.tags.words import normalise


@dataclass(frozen=True)
class TextQuery:
    """A text, and all the concepts that a right photo shows."""

    text: str
    concepts: tuple[str, ...]


def of_concepts(names: Sequence[str]) -> list[TextQuery]:
    """Return each concept as the text that asks for it."""
    return [TextQuery(name, (name,)) for name in names]


def read_queries(path: Path, names: Sequence[str]) -> list[TextQuery]:
    """Read one query a line: a text, and behind a tab the concepts of a right photo, between commas.

    Without a tab the text is the name of a concept, or words that each name one. Empty lines and those that
    begin with ``#`` are left out.

    Args:
        path: a UTF-8 text file.
        names: the concepts that photos of the gallery have.

    Raises:
        PerisphereError: the file cannot be read, is empty, or a line names no concept.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except OSError as error:
        raise PerisphereError(
            f"{path}: cannot be read ({error.strerror}); name a file of queries."
        ) from error
    except UnicodeDecodeError as error:
        raise PerisphereError(f"{path}: is not UTF-8 text; save it as UTF-8.") from error
    by_spelling = {normalise(name): name for name in names}
    queries = [
        _query(line, by_spelling, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]
    if not queries:
        raise PerisphereError(f"{path}: holds no query; write one a line, such as: sunset beach.")
    return queries


def _query(line: str, by_spelling: dict[str, str], where: str) -> TextQuery:
    text, tab, told = line.partition("\t")
    text = text.strip()
    if not text:
        raise PerisphereError(f"{where}: has no text before the tab; write text<TAB>concept,concept.")
    wanted = [normalise(word) for word in told.split(",")] if tab else _named(text, by_spelling)
    for word in wanted:
        if word not in by_spelling:
            raise PerisphereError(
                f"{where}: no photo of the gallery has the concept {word!r}."
                f"{nearest(word, list(by_spelling))} Name what a right photo shows: text<TAB>concept,concept."
            )
    return TextQuery(text, tuple(dict.fromkeys(by_spelling[word] for word in wanted)))


def _named(text: str, by_spelling: dict[str, str]) -> list[str]:
    """Return the concepts of a text that tells them itself."""
    whole = normalise(text)
    return [whole] if whole in by_spelling else whole.split() or [whole]


def right_answers(queries: Sequence[TextQuery], concepts: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    """Return which photos are right for which query: bool ``[photos, queries]``."""
    names = {
        name: column for column, name in enumerate({name for query in queries for name in query.concepts})
    }
    has = np.zeros((len(concepts), len(names)), np.bool_)
    for row, held in enumerate(concepts):
        for name in held:
            if name in names:
                has[row, names[name]] = True
    columns = [[names[name] for name in query.concepts] for query in queries]
    return np.stack([has[:, some].all(axis=1) for some in columns], axis=1)

"""Tags: merged words of users, each with a vector, and what every typed word became."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.sphere import normalise as unit_rows
from perisphere.sphere import top_k
from perisphere.tags import folder as on_disk
from perisphere.tags.spelling import other_number
from perisphere.tags.words import FUNCTION_WORDS, joined, normalise


@dataclass(frozen=True)
class TextPoint:
    """A text as a point of the tags' space.

    Attributes:
        vector: unit, float32 ``[d]``.
        known: the tags that were found in the text, in its order.
        unknown: its other words, without function words such as ``the``.
    """

    vector: NDArray[np.float32]
    known: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Tags:
    """T merged tags.

    Attributes:
        names: what they are called; normalised, no two alike.
        vectors: float32 ``[T, d]``, as photos are trained towards them: of any length but 0.
        counts: int64 ``[T]``, photos that carry each.
        merges: every word that was seen as it was typed, and its tag; ``None`` for a dropped one.
        about: how they were made, JSON values.
        reasons: why a word of ``merges`` is not its own tag; words without a reason are absent.

    Raises:
        PerisphereError: the parts do not fit together, or a vector is no direction.
    """

    names: tuple[str, ...]
    vectors: NDArray[np.float32]
    counts: NDArray[np.int64]
    merges: dict[str, str | None]
    about: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "vectors", np.ascontiguousarray(self.vectors, np.float32))
        object.__setattr__(self, "counts", np.ascontiguousarray(self.counts, np.int64))
        _check(self)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Tags({len(self)} tags of {len(self.merges)} words, {self.dim} dimensions)"

    @property
    def dim(self) -> int:
        """The dimension of the vectors."""
        return int(self.vectors.shape[1])

    @cached_property
    def unit(self) -> NDArray[np.float32]:
        """The directions of the vectors: unit rows, float32 ``[T, d]``."""
        return unit_rows(self.vectors)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each tag."""
        return {name: row for row, name in enumerate(self.names)}

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over names, vectors and merges: equal tags have equal ones."""
        text = json.dumps([self.names, sorted(self.merges.items())], ensure_ascii=True)
        digest = hashlib.sha256(text.encode("ascii"))
        digest.update(self.vectors.data)
        return digest.hexdigest()[:16]

    @cached_property
    def _spellings(self) -> dict[str, str | None]:
        """Tag by normalised spelling, ``None`` for a dropped one, and tag by its joined form.

        Tags' own names come first.
        """
        found: dict[str, str | None] = {name: name for name in self.names}
        for word, tag in self.merges.items():
            spelling = normalise(word)
            if found.get(spelling) is None:
                found[spelling] = tag
        kept = {joined(spelling): tag for spelling, tag in reversed(found.items()) if tag is not None}
        return kept | found

    def lookup(self, word: str) -> str | None:
        """Return the tag that a word became or would have become, ``None`` for an unknown one.

        The word as it was typed counts first, then its spelling without regard to case, accents and
        separators, then its singular or plural.
        """
        if word in self.merges:
            return self.merges[word]
        spelling = normalise(word)
        for candidate in (spelling, joined(spelling), *other_number(spelling)):
            if candidate in self._spellings:
                return self._spellings[candidate]
        return None

    def nearest(self, word: str, n: int = 3) -> list[str]:
        """Return up to ``n`` tags that are spelled most like a word, most alike first."""
        return get_close_matches(normalise(word), self.names, n=n, cutoff=0.5)

    def rows(self, tag_lists: Iterable[Sequence[str]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the known tags of each photo as a sparse matrix, sorted and without repeats.

        Args:
            tag_lists: for each photo the words as they were typed; unknown ones are left out.

        Returns:
            indptr: int64 ``[n + 1]``; photo ``i`` has ``indices[indptr[i]:indptr[i + 1]]``.
            indices: int64, rows of tags.
        """
        known: dict[str, int] = {}
        lengths, indices = [0], []
        for words in tag_lists:
            for word in words:
                if word not in known:
                    known[word] = self.row_of.get(self.lookup(word) or "", -1)
            found = sorted({known[word] for word in words} - {-1})
            lengths.append(len(found))
            indices.extend(found)
        return np.cumsum(lengths, dtype=np.int64), np.array(indices, np.int64)

    def point(self, text: str) -> TextPoint:
        """Return the direction of the mean of the unit vectors of the tags in a text.

        Tags of several words are looked for first, the longest first, from left to right.

        Raises:
            PerisphereError: no word of it is known, or the tags cancel each other out.
        """
        known, unknown = self._read(normalise(text).split())
        if not known:
            raise PerisphereError(f"text {text[:80]!r}: {self._no_tag(unknown)}")
        mean = self.unit[[self.row_of[tag] for tag in known]].mean(0, dtype=np.float64)
        length = float(np.linalg.norm(mean))
        if length < 1e-6:
            raise PerisphereError(
                f"text {text[:80]!r}: its tags point in opposite directions; leave one out."
            )
        return TextPoint((mean / length).astype(np.float32), tuple(known), tuple(unknown))

    def neighbours(
        self, points: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the ``k`` tags nearest to each point by cosine, nearest first.

        Args:
            points: ``[n, d]``.
            k: tags of a point; at most T are found.

        Returns:
            Rows of tags, int64 ``[n, k]``, and cosines, float32 ``[n, k]``.
        """
        return top_k(points, self.unit, min(k, len(self)))

    def save(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write ``tags.json``, ``vectors.npy``, ``tags.tsv`` and ``merges.tsv``, whole or not at all.

        Raises:
            PerisphereError: ``folder`` exists and ``overwrite`` is false, or the disk refuses.
        """
        on_disk.write(folder, vars(self), overwrite)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open tags that :meth:`save` wrote.

        Raises:
            PerisphereError: a file is missing or damaged, or a newer Perisphere wrote it.
        """
        try:
            return cls(**on_disk.read(folder))
        except on_disk.UnfitError as error:
            raise PerisphereError(f"{folder}: {error}. Build the tags again.") from error

    def _read(self, words: list[str]) -> tuple[list[str], list[str]]:
        """Return the tags of a list of words, and the words that are in none."""
        known: list[str] = []
        unknown: list[str] = []
        place = 0
        while place < len(words):
            for end in range(min(len(words), place + self._longest), place, -1):
                tag = self.lookup(" ".join(words[place:end]))
                if tag is not None:
                    known.append(tag)
                    place = end
                    break
            else:
                if words[place] not in FUNCTION_WORDS:
                    unknown.append(words[place])
                place += 1
        return list(dict.fromkeys(known)), list(dict.fromkeys(unknown))

    @cached_property
    def _longest(self) -> int:
        """Words of the longest spelling; a joined one may be typed in two."""
        return max(2, *(spelling.count(" ") + 1 for spelling, tag in self._spellings.items() if tag))

    def _no_tag(self, unknown: list[str]) -> str:
        if not unknown:
            return "has no word that is a tag. `perisphere tags show TAGS` lists them."
        near = {word: self.nearest(word) for word in unknown[:5]}
        offers = [
            f"{word!r} (nearest: {', '.join(close)})" if close else repr(word) for word, close in near.items()
        ]
        return f"no tag is called {', '.join(offers)}. `perisphere tags show TAGS` lists them."


def _check(tags: Tags) -> None:
    """Refuse parts that do not fit together."""
    count = len(tags.names)
    if tags.vectors.ndim != 2 or len(tags.vectors) != count or not tags.vectors.size:
        raise on_disk.UnfitError(f"{count} tags do not fit vectors of shape {list(tags.vectors.shape)}")
    if tags.counts.shape != (count,) or (tags.counts < 0).any():
        raise on_disk.UnfitError(f"{count} tags do not fit counts of shape {list(tags.counts.shape)}")
    if len(set(tags.names)) != count or not all(tags.names):
        raise on_disk.UnfitError("a tag has no name, or the name of another")
    try:
        "".join([*tags.names, *tags.merges]).encode()
    except UnicodeEncodeError as error:
        raise on_disk.UnfitError("a word has half a character, which no file can hold") from error
    lengths = np.linalg.norm(tags.vectors.astype(np.float64), axis=1)
    if not (np.isfinite(lengths).all() and lengths.min() > 0):
        row = int(np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))[0])
        raise on_disk.UnfitError(f"the vector of tag {tags.names[row]!r} is zero or not finite")
    known = set(tags.names)
    for word, tag in tags.merges.items():
        if tag is not None and tag not in known:
            raise on_disk.UnfitError(f"word {word!r} became {tag!r}, which is no tag")

"""The vocabulary of a collection: which photos carry which tag, and what every typed word became."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from perisphere.progress import bar
from perisphere.tags.cooccurrence import together
from perisphere.tags.words import normalise, objection

_STEP = 4_096  # photos between two moves of the bar
RESPELLED = "case, accents, separators"


@dataclass(frozen=True)
class Joining:
    """Why one tag is another.

    Attributes:
        into: row of the commoner one.
        reason: why, as it is written into ``merges.tsv``.
        doubtful: whether word vectors must agree.
    """

    into: int
    reason: str
    doubtful: bool = False


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """V tags of n photos.

    Attributes:
        names: normalised spellings.
        photos: sparse ``[n, V]``, int32, 1 where a photo carries a tag.
        typed: normalised spelling of every word as it was typed, the refused ones apart.
        refused: words that are no tags, and why.
        tag_of: the tag of every normalised spelling, ``None`` for a dropped one.
        reasons: why a spelling is not its own tag.
    """

    names: list[str]
    photos: sp.csr_array
    typed: dict[str, str]
    refused: dict[str, str]
    tag_of: dict[str, str | None]
    reasons: dict[str, str]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Photos that carry each tag, int64 ``[V]``."""
        return np.bincount(self.photos.indices, minlength=len(self)).astype(np.int64)

    @cached_property
    def pairs(self) -> sp.csr_array:
        """Photos that carry both of two tags, float64 ``[V, V]``."""
        return together(self.photos)

    @property
    def tagged(self) -> int:
        """Photos that carry a tag."""
        return int((np.diff(self.photos.indptr) > 0).sum())

    @cached_property
    def members(self) -> dict[str, list[str]]:
        """The spellings of each tag, its own name first."""
        found: dict[str, list[str]] = {name: [name] for name in self.names}
        for spelling, tag in self.tag_of.items():
            if tag is not None and spelling != tag:
                found[tag].append(spelling)
        return found

    def commoner(self, a: int, b: int) -> bool:
        """Tell whether tag ``a`` stands on more photos than ``b``; among equals the first in the alphabet."""
        return (-self.counts[a], self.names[a]) < (-self.counts[b], self.names[b])

    def join(self, joinings: Mapping[int, Joining]) -> "Vocabulary":
        """Return the vocabulary with each tag of ``joinings`` in its commoner one; chains are followed."""
        if not joinings:
            return self
        roots = np.arange(len(self))
        for row in sorted(joinings, key=lambda row: (-self.counts[row], self.names[row])):
            roots[row] = roots[joinings[row].into]  # the commoner tag has found its own root before
        kept, groups = np.unique(roots, return_inverse=True)
        became = {self.names[row]: self.names[roots[row]] for row in joinings}
        reasons = {self.names[row]: joining.reason for row, joining in joinings.items()}
        return replace(
            self,
            names=[self.names[row] for row in kept],
            photos=_gathered(self.photos, groups, len(kept)),
            tag_of={word: became.get(tag or "", tag) for word, tag in self.tag_of.items()},
            reasons=self.reasons | reasons,
        )

    def keep(self, mask: NDArray[np.bool_], reason: str) -> "Vocabulary":
        """Return the vocabulary without the tags where ``mask`` (bool ``[V]``) is false."""
        gone = {name for name, stays in zip(self.names, mask, strict=True) if not stays}
        if not gone:
            return self
        return replace(
            self,
            names=[name for name in self.names if name not in gone],
            photos=self.photos[:, np.flatnonzero(mask)],
            tag_of={word: None if tag in gone else tag for word, tag in self.tag_of.items()},
            reasons=self.reasons | {word: reason for word, tag in self.tag_of.items() if tag in gone},
        )

    def merges(self) -> tuple[dict[str, str | None], dict[str, str]]:
        """Return the tag of every typed word (``None``: dropped), and why, where it is not simply itself."""
        merges: dict[str, str | None] = dict.fromkeys(self.refused)
        reasons = dict(self.refused)
        for word, spelling in self.typed.items():
            merges[word] = tag = self.tag_of[spelling]
            if spelling in self.reasons:
                reasons[word] = self.reasons[spelling]
            elif tag is None or tag != spelling:
                raise AssertionError(f"{spelling!r} became {tag!r} without a reason")
            elif word != spelling:
                reasons[word] = RESPELLED
        return merges, reasons


def read_vocabulary(tag_lists: Iterable[Sequence[str]]) -> Vocabulary:
    """Count the tags of photos; a tag counts once a photo.

    Args:
        tag_lists: for each photo the words as they were typed.
    """
    typed: dict[str, str] = {}
    refused: dict[str, str] = {}
    rows: dict[str, int] = {}
    indptr, indices = array("q", [0]), array("i")
    with bar("counting tags", None, "photos") as advance:
        for words in tag_lists:
            for word in words:
                if word not in typed and word not in refused:
                    spelling = normalise(word)
                    why = objection(word, spelling)
                    if why is None:
                        typed[word] = spelling
                        rows.setdefault(spelling, len(rows))
                    else:
                        refused[word] = why
            indices.extend(sorted({rows[typed[word]] for word in words if word in typed}))
            indptr.append(len(indices))
            if len(indptr) % _STEP == 0:
                advance(_STEP)
    shape = (len(indptr) - 1, len(rows))
    ones = np.ones(len(indices), np.int32)
    photos = sp.csr_array((ones, np.array(indices, np.int32), np.array(indptr, np.int64)), shape=shape)
    return Vocabulary(list(rows), photos, typed, refused, {word: word for word in rows}, {})


def _gathered(photos: sp.csr_array, groups: NDArray[np.int64], count: int) -> sp.csr_array:
    """Return the matrix with columns of one group as one; a photo with several of them counts once."""
    ones = np.ones(len(groups), np.int32)
    indicator = sp.csr_array((ones, groups, np.arange(len(groups) + 1)), shape=(len(groups), count))
    found = sp.csr_array(photos @ indicator)
    found.sort_indices()
    found.data[:] = 1
    return found

"""From what users typed to tags on the sphere: count, merge, give vectors, enhance."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError
from perisphere.tags.cooccurrence import correlation, learn_vectors
from perisphere.tags.enhancement import cosine_graph, enhance, strongest
from perisphere.tags.merging import compounds, confirmed, near_equals, numbers, slips
from perisphere.tags.tags import Tags
from perisphere.tags.vector_lookup import FoundVectors, find_vectors, spellings
from perisphere.tags.vocabulary import Vocabulary, read_vocabulary

NEAR, STRENGTH = 0.9, 0.3
NO_VECTOR = "no vector"
NO_DIRECTION = "too seldom with others, or on every photo"


@dataclass(frozen=True)
class Making:
    """How tags are made.

    Attributes:
        min_count: photos that a tag must stand on after merging.
        merge: whether spellings of one word, and near-equal vectors, become one tag.
        near: cosine from which vectors are nearly equal. ``None``: 0.9 of a file's vectors, and never of
            those learned here, which put close what stands together, and that is not what means the same.
        dim: of vectors that are learned here.
        strength: how far a vector moves toward its correlated tags', 0 to 1; 0: not at all. ``None``: 0.3 of
            a file's vectors, and 0 of those learned here, which hold what stands together already.
        correlated: the most correlated tags that count.
        by: correlation by ``photos`` that carry both tags, or by ``vectors`` (see ``threshold``).
        threshold: cosine from which tags are correlated by vectors.
    """

    min_count: int = 5
    merge: bool = True
    near: float | None = None
    dim: int = 300
    strength: float | None = None
    correlated: int = 10
    by: Literal["photos", "vectors"] = "photos"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("min-count", self.min_count, 1, np.inf),
            ("near", 1.0 if self.near is None else self.near, 0.5, 1),
            ("dim", self.dim, 2, 8_192),
            ("strength", self.strength or 0, 0, 1),
            ("correlated", self.correlated, 1, np.inf),
            ("threshold", self.threshold, 0, 1),
        ):
            if not least <= value <= most:
                limit = f"at least {least}" if most == np.inf else f"{least} to {most}"
                raise UsageError(f"{name} is {value}; it must be {limit}.")


@dataclass
class Account:
    """What became of the words.

    Attributes:
        photos: those that were read.
        tagged: those that carry a tag in the end.
        typed: different words as they were typed.
        spellings: different words after normalising.
        merged: by reason, of each merged spelling: itself and its tag.
        dropped: by reason, how many typed words.
        unknown: tags that the file of word vectors has in no spelling, and the spellings that were tried.
        otherwise: tags that it has in another spelling, and that.
    """

    photos: int
    tagged: int = 0
    typed: int = 0
    spellings: int = 0
    merged: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, list[str]] = field(default_factory=dict)
    otherwise: dict[str, str] = field(default_factory=dict)


def build_tags(
    tag_lists: Iterable[Sequence[str]],
    making: Making | None = None,
    *,
    vectors: Path | None = None,
    about: dict[str, Any] | None = None,
) -> tuple[Tags, Account]:
    """Make tags of what users typed.

    Args:
        tag_lists: for each photo the words as they were typed.
        making: how.
        vectors: a file of word vectors; without one they are learned from which tags stand together.
        about: where the words came from, JSON values; kept with the tags.

    Raises:
        PerisphereError: no tag is left, or the file of word vectors cannot be read.
    """
    making = making or Making()
    vocabulary = read_vocabulary(tag_lists)
    account = Account(vocabulary.photos.shape[0], spellings=len(vocabulary))
    vocabulary, found = _spelled(vocabulary, making, vectors)
    vocabulary = vocabulary.keep(
        vocabulary.counts >= making.min_count, f"on fewer than {making.min_count} photos"
    )
    _refuse_none(vocabulary, f"stands on {making.min_count} photos or more", "Lower --min-count.")
    if found is not None:
        account.otherwise = _otherwise(vocabulary, found)
        vocabulary, points = _placed(vocabulary, found, account)
    else:
        vocabulary, points = _learned(vocabulary, making.dim)
    near = making.near or (None if found is None else NEAR)
    if making.merge and near is not None:
        vocabulary, points = _without_equals(vocabulary, points, near)
    strength = making.strength
    if strength is None:
        strength = 0.0 if found is None else STRENGTH
    if strength:
        points = _enhanced(vocabulary, points, making, strength)
    merges, reasons = vocabulary.merges()
    _count(account, vocabulary, merges, reasons)
    how = {**(about or {}), "vectors": vectors.name if vectors else "learned", **asdict(making)}
    how |= {"strength": strength, "photos": account.photos, "tagged": account.tagged}
    order = sorted(range(len(vocabulary)), key=lambda row: (-vocabulary.counts[row], vocabulary.names[row]))
    names = tuple(vocabulary.names[row] for row in order)
    return Tags(names, points[order], vocabulary.counts[order], merges, how, reasons), account


def _spelled(
    vocabulary: Vocabulary, making: Making, file: Path | None
) -> tuple[Vocabulary, FoundVectors | None]:
    """Merge spellings of one word, and look up the vectors that decide about doubtful ones."""
    pairs = []
    if making.merge:
        vocabulary = vocabulary.join(compounds(vocabulary))
        pairs = [*numbers(vocabulary), *slips(vocabulary, making.min_count)]
    found = None if file is None else _vectors(vocabulary, making.min_count, pairs, file)
    own = (
        {tag: found.vectors[tag] for tag, form in found.spelled.items() if form == tag.replace(" ", "_")}
        if found
        else {}
    )
    return vocabulary.join(confirmed(pairs, vocabulary, own, found.words if found else 0)), found


def _vectors(vocabulary: Vocabulary, min_count: int, pairs: list[Any], file: Path) -> FoundVectors:
    """Look up tags that are common enough, and the spellings and rare tags that may become part of one."""
    typed: dict[str, list[str]] = defaultdict(list)
    for word, spelling in vocabulary.typed.items():
        typed[spelling].append(word)
    paired = {row for rare, joining in pairs for row in (rare, joining.into)}
    rows = paired.union(np.flatnonzero(vocabulary.counts >= min_count).tolist())
    names = [vocabulary.names[row] for row in sorted(rows)]
    return find_vectors(
        file,
        {name: [word for member in vocabulary.members[name] for word in typed[member]] for name in names},
    )


def _placed(
    vocabulary: Vocabulary, found: FoundVectors, account: Account
) -> tuple[Vocabulary, NDArray[np.float32]]:
    """Return the tags that have a vector: the mean of those of their members."""
    points = np.zeros((len(vocabulary), found.dim), np.float32)
    for row, name in enumerate(vocabulary.names):
        known = [found.vectors[member] for member in vocabulary.members[name] if member in found.vectors]
        if known:
            points[row] = np.mean(known, axis=0)
        else:
            account.unknown[name] = spellings(name)
    there = np.asarray(points.any(axis=1))
    vocabulary = vocabulary.keep(there, NO_VECTOR)
    _refuse_none(
        vocabulary, "has a vector in the file of word vectors", "Leave out --vectors to learn them here."
    )
    return vocabulary, points[there]


def _learned(vocabulary: Vocabulary, dim: int) -> tuple[Vocabulary, NDArray[np.float32]]:
    points = learn_vectors(vocabulary.pairs, vocabulary.tagged, dim)
    lengths = np.linalg.norm(points, axis=1)
    there = lengths > 1e-4 * lengths.max(initial=0)
    vocabulary = vocabulary.keep(there, NO_DIRECTION)
    _refuse_none(vocabulary, "stands with others often enough to learn a vector", "Name --vectors FILE.")
    return vocabulary, points[there]


def _without_equals(
    vocabulary: Vocabulary, points: NDArray[np.float32], near: float
) -> tuple[Vocabulary, NDArray[np.float32]]:
    """Join tags of nearly equal vectors; theirs is the mean."""
    merged = vocabulary.join(near_equals(vocabulary, points, near))
    rows = {name: row for row, name in enumerate(vocabulary.names)}
    groups = [[rows[word] for word in merged.members[name] if word in rows] for name in merged.names]
    return merged, np.array([points[group].mean(0) for group in groups], np.float32)


def _enhanced(
    vocabulary: Vocabulary, points: NDArray[np.float32], making: Making, strength: float
) -> NDArray[np.float32]:
    if making.by == "photos":
        graph = correlation(vocabulary.pairs, vocabulary.tagged)
    else:
        graph = cosine_graph(points, making.threshold)
    return enhance(points, strongest(graph, making.correlated), strength)


def _otherwise(vocabulary: Vocabulary, found: FoundVectors) -> dict[str, str]:
    spelled = {name: found.spelled.get(name) for name in vocabulary.names}
    return {name: form for name, form in spelled.items() if form is not None and form != name}


def _count(
    account: Account, vocabulary: Vocabulary, merges: dict[str, str | None], reasons: dict[str, str]
) -> None:
    account.tagged, account.typed = vocabulary.tagged, len(merges)
    account.dropped = dict(Counter(reasons[word] for word, tag in merges.items() if tag is None))
    for spelling, reason in vocabulary.reasons.items():
        tag = vocabulary.tag_of[spelling]
        if tag is not None:
            kind = "vector" if reason.startswith("vector ") else reason
            account.merged.setdefault(kind, []).append((spelling, tag))


def _refuse_none(vocabulary: Vocabulary, what: str, mend: str) -> None:
    if not len(vocabulary):
        raise PerisphereError(f"tags: no tag {what}. {mend}")

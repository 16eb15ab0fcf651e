"""Which tags are one: compounds, numbers, slips of the pen, and vectors that are nearly equal."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from perisphere.sphere import normalise
from perisphere.tags.spelling import shortened, singulars, slip
from perisphere.tags.vocabulary import Joining, Vocabulary
from perisphere.tags.words import joined

RARER = 10
"""A slip stands on at most this fraction of the photos of the right spelling."""

SAME_NUMBER, SAME_SPELLING = 0.35, 0.5
"""Cosines that word vectors of singular and plural, and of slip and right spelling, must reach."""

LEXICON = 100_000
"""Words of a file from which on it can be expected to know every word."""

_BLOCK = 1_024
_IN_SERIES = """
monday tuesday wednesday thursday friday saturday sunday weekday weekend ;
january february march april may june july august september october november december jan feb mar
  apr jun jul aug sep sept oct nov dec ;
spring summer autumn fall winter ;
one two three four five six seven eight nine ten eleven twelve ;
ten twenty thirty forty fifty hundred thousand million ;
first second third fourth fifth sixth seventh eighth ninth tenth ;
north south east west northern southern eastern western northeast northwest southeast southwest ;
left right ;
day night morning evening afternoon noon ;
black white red green blue yellow orange purple pink brown grey gold silver violet beige ;
boy girl ;
man woman ;
male female ;
father mother son daughter brother sister uncle aunt husband wife ;
cat dog ;
hour day week month year decade century
"""
_SERIES = [frozenset(line.split()) for line in _IN_SERIES.split(";")]
"""Words whose vectors are as near as those of synonyms, because they stand in the same sentences."""


def compounds(vocabulary: Vocabulary) -> dict[int, Joining]:
    """Find tags that differ in blanks alone: ``newyork`` and ``new york``."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(vocabulary.names):
        groups[joined(name)].append(row)
    found: dict[int, Joining] = {}
    for rows in groups.values():
        if len(rows) > 1:
            first, *others = sorted(rows, key=lambda row: (-vocabulary.counts[row], vocabulary.names[row]))
            found |= {row: Joining(first, "compound") for row in others}
    return found


def numbers(vocabulary: Vocabulary) -> Iterator[tuple[int, Joining]]:
    """Yield singulars and plurals, the rarer into the commoner."""
    rows = {name: row for row, name in enumerate(vocabulary.names)}
    for name, row in rows.items():
        for single in singulars(name):
            if single in rows:
                a, b = row, rows[single]
                rare, common = (b, a) if vocabulary.commoner(a, b) else (a, b)
                yield rare, Joining(common, "singular, plural")


def slips(vocabulary: Vocabulary, min_count: int) -> Iterator[tuple[int, Joining]]:
    """Yield misspelled tags and the right ones: one letter apart, ten times as common, in the vocabulary."""
    counts = vocabulary.counts
    targets: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(counts >= max(min_count, RARER)).tolist():
        for form in shortened(vocabulary.names[row]):
            targets[form].append(row)
    for row, name in enumerate(vocabulary.names):
        near = {target for form in shortened(name) for target in targets.get(form, ())}
        for target in sorted(near):
            grade = slip(name, vocabulary.names[target])
            if grade is not None and counts[row] * RARER <= counts[target]:
                yield row, Joining(target, "spelling", grade == "doubtful")


def confirmed(
    pairs: list[tuple[int, Joining]],
    vocabulary: Vocabulary,
    vectors: Mapping[str, NDArray[np.float32]],
    words: int,
) -> dict[int, Joining]:
    """Choose the commonest tag that each rare one joins; words whose own vectors disagree stay two.

    A doubtful slip is one where the vectors agree, or where a large file knows only the right spelling.

    Args:
        pairs: of :func:`numbers` and :func:`slips`.
        vocabulary: what their rows mean.
        vectors: of the names as they stand, from a file of word vectors; empty without one.
        words: how many the file has.
    """
    found: dict[int, Joining] = {}
    for row, joining in pairs:
        rare, common = (vectors.get(vocabulary.names[at]) for at in (row, joining.into))
        if rare is not None and common is not None:
            least = SAME_SPELLING if joining.reason == "spelling" else SAME_NUMBER
            agreed = _cosine(rare, common) >= least
        else:
            agreed = not joining.doubtful or (rare is None and common is not None and words >= LEXICON)
        if not agreed:
            continue
        if row not in found or vocabulary.commoner(joining.into, found[row].into):
            found[row] = joining
    return found


def near_equals(vocabulary: Vocabulary, vectors: NDArray[np.float32], threshold: float) -> dict[int, Joining]:
    """Find groups of tags in which every two vectors have at least a cosine (complete linkage).

    Chains are no groups: that a is near b and b near c does not make a and c one. Words of one series, such
    as days, numbers and colours, never join.

    Args:
        vocabulary: the tags.
        vectors: float32 ``[T, d]``.
        threshold: the cosine.
    """
    unit = normalise(vectors)
    pairs = sorted(_near_pairs(unit, threshold), key=lambda pair: (-pair[2], pair[0], pair[1]))
    near = {(a, b) for a, b, _ in pairs if not _in_series(vocabulary.names[a], vocabulary.names[b])}
    group = {row: [row] for pair in near for row in pair}
    for a, b, _ in pairs:
        if (a, b) in near and group[a] is not group[b]:
            ours, theirs = group[a], group[b]
            if all((min(x, y), max(x, y)) in near for x in ours for y in theirs):
                ours.extend(theirs)
                group |= dict.fromkeys(theirs, ours)
    found: dict[int, Joining] = {}
    for row, members in group.items():
        first = min(members, key=lambda at: (-vocabulary.counts[at], vocabulary.names[at]))
        if row != first:
            found[row] = Joining(first, f"vector {float(unit[row] @ unit[first]):.2f}")
    return found


def _near_pairs(unit: NDArray[np.float32], threshold: float) -> Iterator[tuple[int, int, float]]:
    for start in range(0, len(unit), _BLOCK):
        cosines = unit[start : start + _BLOCK] @ unit[start:].T
        for a, b in zip(*np.nonzero(cosines >= threshold), strict=True):
            if a < b:
                yield start + int(a), start + int(b), float(cosines[a, b])


def _in_series(a: str, b: str) -> bool:
    digits = [[letter for letter in name if letter.isdigit()] for name in (a, b)]
    ours, theirs = ({name, *singulars(name)} for name in (a, b))
    kin = any(ours & series and theirs & series for series in _SERIES)
    return digits[0] != digits[1] or (kin and not ours & theirs)


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))

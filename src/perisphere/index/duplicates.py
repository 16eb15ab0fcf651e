"""Near-duplicates: pairs and groups of images whose vectors point the same way."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError
from perisphere.index.waiting import patient_bar
from perisphere.sphere.geometry import lengths, normalise

THRESHOLD = 0.98
BLOCK = 2048
MAX_PAIRS = 20_000_000
_DIGITS = 6


@dataclass(frozen=True)
class Duplicates:
    """The pairs of images with a cosine of at least ``threshold``.

    Attributes:
        first: int64 [p], the smaller id of each pair.
        second: int64 [p], the larger id.
        scores: float32 [p], cosine to six digits; pairs run from the highest to the lowest, then by id.
        threshold: the cosine asked for.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    scores: NDArray[np.float32]
    threshold: float

    def __len__(self) -> int:
        return len(self.first)

    def pairs(self) -> Iterator[tuple[int, int, float]]:
        """Yield ``(id_a, id_b, score)`` with ``id_a < id_b``."""
        yield from zip(self.first.tolist(), self.second.tolist(), self.scores.tolist(), strict=True)

    def groups(self) -> list[list[int]]:
        """Return the connected images: ids ascending in each, the largest group first, then by first id."""
        members: dict[int, list[int]] = defaultdict(list)
        roots = _connected(self.first, self.second)
        for identity in sorted(roots):
            members[_root(roots, identity)].append(identity)
        return sorted(members.values(), key=lambda group: (-len(group), group[0]))


def find_duplicates(
    ids: NDArray[np.int64],
    vectors: NDArray[np.float32],
    threshold: float = THRESHOLD,
    *,
    block: int = BLOCK,
    max_pairs: int = MAX_PAIRS,
) -> Duplicates:
    """Compare every image with every other in blocks.

    Args:
        ids: int64 [n], unique.
        vectors: float32 [n, d], of any length (a memory map will do); a zero vector resembles nothing.
        threshold: least cosine of a pair, above 0 and at most 1.
        block: rows compared at a time; memory is two blocks of vectors and one of ``block * block`` scores.
        max_pairs: bound of the answer.

    Raises:
        UsageError: the threshold is out of range.
        PerisphereError: there are more pairs than ``max_pairs``.
    """
    check_threshold(threshold)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
    total = 0
    starts = range(0, len(vectors), block)
    with patient_bar("comparing", len(starts) * (len(starts) + 1) // 2, "blocks") as advance:
        for start in starts:
            rows = normalise(vectors[start : start + block])
            for other in range(start, len(vectors), block):
                scores = rows @ (rows if other == start else normalise(vectors[other : other + block])).T
                near = scores >= threshold - 10.0**-_DIGITS
                a, b = np.nonzero(np.triu(near, 1) if other == start else near)
                found.append((ids[start + a], ids[other + b], scores[a, b]))
                total += len(a)
                if total > max_pairs:
                    raise PerisphereError(
                        f"more than {max_pairs:,} pairs reach the threshold {threshold}. Raise the threshold."
                    )
                advance()
    return _ordered(found, threshold)


def near_duplicates(
    vector: NDArray[np.float32],
    ids: NDArray[np.int64],
    vectors: NDArray[np.float32],
    threshold: float = THRESHOLD,
    *,
    block: int = 16 * BLOCK,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the near-duplicates of one new image, before or after it is added.

    Args:
        vector: float32 [d].
        ids: int64 [n].
        vectors: float32 [n, d].
        threshold: least cosine, above 0 and at most 1.
        block: rows compared at a time.

    Returns:
        Ids int64 [m] and cosines float32 [m], the nearest first, then by id.
    """
    check_threshold(threshold)
    query = normalise(vector[None])[0]
    scores = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), block):
        rows = vectors[start : start + block]
        long = lengths(rows)
        scores[start : start + block] = (rows @ query) / np.where(long > 0, long, 1)
    scores = _rounded(scores)
    near = np.nonzero(scores >= threshold - 10.0**-_DIGITS)[0]
    order = near[np.lexsort((ids[near], -scores[near]))]
    return ids[order], scores[order]


def check_threshold(threshold: float) -> None:
    """Refuse what no cosine of near-duplicates can be (UsageError)."""
    if not 0 < threshold <= 1:
        raise UsageError(f"threshold {threshold}: no cosine of duplicates. Name one above 0 and at most 1.")


def _rounded(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Six digits, at most 1: what is beyond differs with the order of the sum, and would shuffle ties."""
    return np.minimum(np.round(scores, _DIGITS), np.float32(1))


def _ordered(
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]], threshold: float
) -> Duplicates:
    a = np.concatenate([pair[0] for pair in found] or [np.empty(0, np.int64)])
    b = np.concatenate([pair[1] for pair in found] or [np.empty(0, np.int64)])
    scores = np.concatenate([pair[2] for pair in found] or [np.empty(0, np.float32)])
    scores = _rounded(scores)
    first, second = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((second, first, -scores))
    return Duplicates(first[order], second[order], scores[order], threshold)


def _connected(first: NDArray[np.int64], second: NDArray[np.int64]) -> dict[int, int]:
    """Union-find over the pairs: the parent of every id that is in one."""
    parents: dict[int, int] = {}
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        root_a, root_b = _root(parents, a), _root(parents, b)
        parents[max(root_a, root_b)] = min(root_a, root_b)
    return parents


def _root(parents: dict[int, int], identity: int) -> int:
    parents.setdefault(identity, identity)
    while parents[identity] != identity:
        parents[identity] = parents[parents[identity]]
        identity = parents[identity]
    return identity

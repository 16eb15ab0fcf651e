"""Sets of concepts as bits, so that "do these two photos share one?" is one AND of a few machine words.

81 concepts (NUS-WIDE) fit two words of 64 bits: a quarter of a million photos take 4 MB, and 5,000 photos of
a ranking are judged in a fraction of a millisecond.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]

WORD = 64
"""Concepts in one machine word."""

_BLOCK_BYTES = 32 * 2**20


def vocabulary(*sides: Sequence[Sequence[str]]) -> list[str]:
    """Return every concept of some lists of lists once, by name."""
    return sorted({concept for side in sides for concepts in side for concept in concepts})


def as_bits(lists: Sequence[Sequence[str]], names: Sequence[str]) -> Bits:
    """Return the concepts of each photo as bits.

    Args:
        lists: the concepts of each of ``n`` photos.
        names: of the concepts, in the order of the bits; every concept of ``lists`` must be among them.

    Returns:
        uint64 ``[n, words]``; bit ``c % 64`` of word ``c // 64`` is set where the photo has concept ``c``.
    """
    place = {name: number for number, name in enumerate(names)}
    bits = np.zeros((len(lists), _words(len(names))), np.uint64)
    rows = np.repeat(np.arange(len(lists)), [len(concepts) for concepts in lists])
    columns = np.array([place[name] for concepts in lists for name in concepts], np.int64)
    np.bitwise_or.at(bits, (rows, columns // WORD), np.uint64(1) << (columns % WORD).astype(np.uint64))
    return bits


def matrix_bits(has: NDArray) -> Bits:
    """Return rows of 0 and 1, ``[n, concepts]``, as bits: uint64 ``[n, words]`` (see :func:`as_bits`)."""
    padded = np.zeros((len(has), WORD * _words(has.shape[1])), np.bool_)
    padded[:, : has.shape[1]] = has
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64, copy=False)


def shares(gallery: Bits, query: Bits) -> NDArray[np.bool_]:
    """Tell which rows of ``gallery [n, words]`` share at least one concept with ``query [words]``."""
    found = (gallery[:, 0] & query[0]) != 0
    for word in range(1, len(query)):
        found |= (gallery[:, word] & query[word]) != 0
    return found


def sharing_counts(queries: Bits, gallery: Bits) -> NDArray[np.int64]:
    """Return how many rows of ``gallery`` share a concept with each row of ``queries``, int64 ``[q]``.

    Photos with the same concepts are counted once: NUS-WIDE's 269,648 rows hold 18,430 different sets.
    """
    asked, of_query = np.unique(queries, axis=0, return_inverse=True)
    kinds, sizes = np.unique(gallery, axis=0, return_counts=True)
    found = np.zeros(len(asked), np.int64)
    block = max(1, _BLOCK_BYTES // (8 * max(1, len(kinds))))
    for start in range(0, len(asked), block):
        some = asked[start : start + block]
        hits = np.zeros((len(some), len(kinds)), np.bool_)
        for word in range(gallery.shape[1]):
            hits |= (some[:, word, None] & kinds[None, :, word]) != 0
        found[start : start + block] = hits @ sizes
    return found[of_query.reshape(-1)]


def _words(concepts: int) -> int:
    return max(1, -(-concepts // WORD))

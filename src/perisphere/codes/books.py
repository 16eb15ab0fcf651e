"""The words of additive codebooks: where they start, and the best ones for given codes."""

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError

Floats = NDArray[np.float32]

RIDGE = 1e-3
UNUSED = 1e-8
"""A word of a smaller squared length came out of the update as zero: no code names it."""
SAMPLE = 256
"""Rows that k-means sees for each word, at most."""
ROWS = 65_536  # turned into float64 at once
SEEDS = 1 << 30  # FAISS takes no larger seed


def start(features: NDArray, books: int, words: int = 256, *, seed: int = 0, iterations: int = 25) -> Floats:
    """Cluster each book's slice of the features by k-means++; a word is zero outside its slice.

    Args:
        features: ``[n, d]``; of more than 256 rows a word, so many are drawn.
        books: ``M``, at most ``d``. Where it does not divide ``d``, the first slices have one number more.
        words: ``K`` of a book.
        seed: of the draw and of the first centres.
        iterations: of k-means.

    Returns:
        float32 ``[M, K, d]``.

    Raises:
        PerisphereError: fewer features than words, or values that are not finite.
        UsageError: ``books`` or ``words`` is out of its range.
    """
    from perisphere.sphere.engine import faiss

    dim = features.shape[1]
    if not 1 <= books <= dim:
        raise UsageError(f"{books} books: vectors of {dim} numbers have 1 to {dim}.")
    drawn = sample(features, words, seed=seed)
    found = np.zeros((books, words, dim), np.float32)
    for book, columns in enumerate(np.array_split(np.arange(dim), books)):
        part = np.ascontiguousarray(drawn[:, columns])
        machine = faiss.Kmeans(
            len(columns),
            words,
            niter=iterations,
            seed=(seed + book) % SEEDS,
            min_points_per_centroid=1,
            max_points_per_centroid=len(part),
            init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
        )
        machine.train(part)
        found[book][:, columns] = machine.centroids
    return found


def sample(vectors: NDArray, words: int, *, seed: int = 0) -> Floats:
    """Return the rows that books of ``words`` words are fitted to: all, or 256 a word drawn at random.

    Raises:
        PerisphereError: fewer rows than words, or values that are not finite.
        UsageError: ``words`` is out of its range.
    """
    if not 2 <= words <= 256:
        raise UsageError(f"{words} words a book; a code of one byte a book has 2 to 256.")
    if len(vectors) < words:
        raise PerisphereError(
            f"{len(vectors)} vectors for books of {words} words; give more images or fewer words."
        )
    limit = SAMPLE * words
    if len(vectors) > limit:
        chosen = np.random.default_rng(seed).choice(len(vectors), limit, replace=False)
        vectors = vectors[np.sort(chosen)]
    drawn = np.ascontiguousarray(vectors, np.float32)
    if not np.isfinite(drawn).all():
        raise PerisphereError("vectors hold values that are NaN or infinite; embed them again.")
    return drawn


def update(features: NDArray, codes: NDArray, words: NDArray, *, ridge: float = RIDGE) -> Floats:
    """Return the words that bring the sums of ``codes`` closest to ``features``.

    ``C = (B'B + ridge I)^-1 B'Z`` with the indicator matrix ``B`` of the codes: ridge regression, solved in
    float64. Least squares is right in every metric ``G`` too, since ``G`` cancels from ``B'(Z - B C) G = 0``.

    Args:
        features: ``[n, d]``, read in blocks.
        codes: whole numbers ``[n, M]``.
        words: ``[M, K, d]``; a word that no code names stays as it is.
        ridge: added to the diagonal, more than 0: the books' words are determined only up to a shift of one
            book against another.

    Returns:
        float32 ``[M, K, d]``.

    Raises:
        PerisphereError: features, codes and words do not belong together.
        UsageError: ``ridge`` is not positive.
    """
    if not ridge > 0:
        raise UsageError(f"ridge is {ridge}; it must be more than 0.")
    books, count, dim = words.shape
    if codes.shape != (len(features), books) or features.shape[1] != dim:
        raise PerisphereError(
            f"features {list(features.shape)}, codes {list(codes.shape)} and words {list(words.shape)}: "
            "[n, d], [n, M] and [M, K, d] are needed."
        )
    pairs, sums = np.zeros((books * count,) * 2), np.zeros((books * count, dim))
    for first in range(0, len(features), ROWS):
        rows = slice(first, first + ROWS)
        indicators = _indicators(codes[rows], count)
        pairs += (indicators.T @ indicators).toarray()
        sums += indicators.T @ np.asarray(features[rows], np.float64)
    pairs[np.diag_indices_from(pairs)] += ridge
    solved = scipy.linalg.solve(pairs, sums, assume_a="pos").reshape(words.shape)
    unused = np.square(solved).sum(axis=2) < UNUSED
    solved[unused] = words[unused]
    return solved.astype(np.float32)


def _indicators(codes: NDArray, words: int) -> "scipy.sparse.csr_matrix":
    """Return the 0/1 matrix ``[n, M K]`` of the words that each code names."""
    rows, books = codes.shape
    columns = (codes.astype(np.int64) + words * np.arange(books)).ravel()
    begins = np.arange(0, rows * books + 1, books)
    return scipy.sparse.csr_matrix((np.ones(rows * books), columns, begins), shape=(rows, books * words))

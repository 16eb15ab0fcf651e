"""Whitening: a linear map after which unrelated descriptors lie alike in every direction.

Rows are descriptors, ``[n, d]``. PCA whitening: Jegou and Chum, ECCV 2012. Learned whitening: Mikolajczyk and
Matas, ICCV 2007, as in Radenovic, Tolias and Chum, TPAMI 2018, section 3.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError

EPS = 1e-6
NULL = 1e-12
"""A direction with less than this share of the largest variance is rounding error."""
BLOCK = 1 << 22  # numbers that are turned into float64 at once

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Whitening:
    """A fitted whitening.

    Attributes:
        mean: ``[D]``, subtracted.
        projection: ``[d, D]``, the most telling direction first.
    """

    mean: NDArray[np.floating]
    projection: NDArray[np.floating]

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together.

        Raises:
            PerisphereError: shapes that do not fit, or numbers that are not finite.
        """
        if self.mean.ndim != 1 or self.projection.shape[1:] != self.mean.shape or not len(self.projection):
            raise PerisphereError(
                f"a whitening of mean {list(self.mean.shape)} and projection {list(self.projection.shape)}: "
                "[D] and [d, D] are needed."
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.projection).all()):
            raise PerisphereError("a whitening has values that are NaN or infinite; fit it again.")

    @property
    def dim(self) -> int:
        """Numbers in a whitened row."""
        return len(self.projection)

    def __call__(self, vectors: NDArray) -> NDArray:
        """Whiten rows ``[n, D]`` to ``[n, d]``: ``y / (|y| + 1e-6)`` with ``y = projection (x - mean)``."""
        rows = (vectors - self.mean) @ self.projection.T
        return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + EPS)

    def reduced(self, dim: int) -> "Whitening":
        """Return the whitening to the first ``dim`` directions.

        Raises:
            UsageError: it has fewer.
        """
        if not 1 <= dim <= self.dim:
            raise UsageError(f"dim is {dim}, but this whitening has 1 to {self.dim} directions.")
        return Whitening(self.mean, self.projection[:dim])


def fit_pca(vectors: NDArray, dim: int | None = None, *, shrinkage: float = 0.0) -> Whitening:
    """Fit the map to uncorrelated directions of equal variance.

    Directions in which the vectors do not vary (fewer vectors than numbers, constant channels) are left out.

    Args:
        vectors: ``[n, D]``, at least two rows that differ. Of more rows than numbers blocks are read and
            ``[D, D]`` float64 is held; of fewer, all rows are held as float64: fit very long rows on few.
        dim: directions kept, the largest variance first; ``None`` keeps all that vary.
        shrinkage: 0 to 1, the share by which the variances are drawn to their mean; more than 0 amplifies
            directions of little variance less.

    Raises:
        PerisphereError: the vectors vary in fewer than ``dim`` directions.
    """
    _check_share(shrinkage)
    mean = _mean(vectors)
    values, directions = _principal(vectors, mean)
    count = _rank(values)
    dim = _checked_dim(dim, count, len(vectors))
    values = (1 - shrinkage) * values[:count] + shrinkage * values[:count].mean()
    return Whitening(mean, directions[:, :dim].T / np.sqrt(values[:dim, None]))


def fit_learned(
    vectors: NDArray, queries: NDArray, positives: NDArray, dim: int | None = None, *, shrinkage: float = 0.0
) -> Whitening:
    """Fit the map in which matching pairs differ alike in all directions, the most telling ones first.

    Args:
        vectors: ``[n, D]``, read in blocks.
        queries: int ``[m]``, a row of each matching pair; the mean is over these, repeats counted.
        positives: int ``[m]``, the other row of each pair.
        dim: directions kept; ``None`` keeps all in which the vectors vary.
        shrinkage: 0 to 1, the share by which the pairs' scatter is drawn to its mean variance in all
            directions; needed where the pairs differ in fewer than ``D`` directions.

    Raises:
        PerisphereError: no pairs, or the vectors vary in fewer than ``dim`` directions.
    """
    _check_share(shrinkage)
    queries, positives = np.asarray(queries), np.asarray(positives)
    if not len(queries) or queries.shape != positives.shape:
        raise PerisphereError(
            f"{len(queries)} queries and {len(positives)} positives: matching pairs are needed."
        )
    mean = _mean(vectors, queries)
    size = vectors.shape[1]
    within = np.zeros((size, size))
    for part in _blocks(len(queries), size):
        within += _gram(_doubles(vectors, queries[part]) - _doubles(vectors, positives[part]))
    within /= len(queries)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / size * np.eye(size)
    scatter = _scatter(vectors, mean)
    dim = _checked_dim(dim, _rank(_descending(scatter)[0]), len(vectors))
    inverse = np.linalg.inv(cholesky(within)[0])
    _, directions = _descending(inverse @ scatter @ inverse.T)
    return Whitening(mean, directions[:, :dim].T @ inverse)


def cholesky(matrix: Doubles) -> tuple[Doubles, list[float]]:
    """Return the lower factor ``L`` of ``L @ L.T``, and what had to be added to the diagonal for it.

    Args:
        matrix: symmetric ``[d, d]``. Where it is not positive definite, 1e-10, 1e-9, 1e-8 ... are tried on
            its diagonal, each in place of the one before.

    Raises:
        PerisphereError: numbers that are not finite.
    """
    if not np.isfinite(matrix).all():
        raise PerisphereError("vectors with values that are NaN or infinite cannot be whitened.")
    tried: list[float] = []
    while True:
        addition = tried[-1] if tried else 0.0
        try:
            factor = np.linalg.cholesky(matrix + addition * np.eye(len(matrix)))
            return np.asarray(factor, np.float64), tried
        except np.linalg.LinAlgError:
            tried.append(10.0 ** (len(tried) - 10))


def label_pairs(labels: NDArray, limit: int, *, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of equal label as (query, positive), each pair in both orders.

    Args:
        labels: ``[n]``; ``None`` or the empty text is no label.
        limit: pairs at most; where there are more, so many are drawn, every pair equally likely.
        seed: of the draw.

    Raises:
        PerisphereError: no two rows have one label.
    """
    classes = _rows_by_label(labels)
    sizes = np.array([len(rows) for rows in classes])
    counts = sizes * (sizes - 1)
    if not counts.sum():
        raise PerisphereError("no two images have one label, so there are no pairs to learn from.")
    if counts.sum() <= limit:
        pairs = [np.stack(np.meshgrid(rows, rows), axis=-1).reshape(-1, 2) for rows in classes]
        every = np.concatenate(pairs)
        every = every[every[:, 0] != every[:, 1]]
        return every[:, 0], every[:, 1]
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(classes), size=max(1, limit // 2), p=counts / counts.sum())
    first = rng.integers(sizes[chosen])
    second = (first + rng.integers(1, sizes[chosen])) % sizes[chosen]
    rows, starts = np.concatenate(classes), np.cumsum(sizes) - sizes
    one, other = rows[starts[chosen] + first], rows[starts[chosen] + second]
    return np.concatenate([one, other]), np.concatenate([other, one])


def _rows_by_label(labels: NDArray) -> list[NDArray[np.int64]]:
    labelled = np.array([label is not None and label != "" for label in labels], dtype=bool)
    rows = np.flatnonzero(labelled)
    _, numbers = np.unique(np.asarray(labels)[labelled].astype(str), return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    bounds = np.flatnonzero(np.diff(numbers[order])) + 1
    return np.split(rows[order], bounds)


def _blocks(count: int, size: int) -> Iterator[slice]:
    step = max(1, BLOCK // size)
    return (slice(start, start + step) for start in range(0, count, step))


def _doubles(vectors: NDArray, rows: NDArray | slice) -> Doubles:
    return np.asarray(vectors[rows], dtype=np.float64)


def _gram(rows: Doubles) -> Doubles:
    return rows.T @ rows


def _mean(vectors: NDArray, rows: NDArray | None = None) -> Doubles:
    size = vectors.shape[1]
    total, count = np.zeros(size), len(vectors) if rows is None else len(rows)
    for part in _blocks(count, size):
        total += _doubles(vectors, part if rows is None else rows[part]).sum(axis=0)
    return total / max(count, 1)


def _scatter(vectors: NDArray, mean: Doubles) -> Doubles:
    """Return the sum of ``(x - mean) (x - mean)'`` over all rows, ``[D, D]``."""
    size = vectors.shape[1]
    total = np.zeros((size, size))
    for part in _blocks(len(vectors), size):
        total += _gram(_doubles(vectors, part) - mean)
    return total


def _descending(matrix: Doubles) -> tuple[Doubles, Doubles]:
    """Return eigenvalues, the largest first, and eigenvectors in columns, of a symmetric matrix."""
    if not np.isfinite(matrix).all():
        raise PerisphereError("vectors with values that are NaN or infinite cannot be whitened.")
    values, directions = np.linalg.eigh((matrix + matrix.T) / 2)
    return values[::-1], directions[:, ::-1]


def _principal(vectors: NDArray, mean: Doubles) -> tuple[Doubles, Doubles]:
    """Return the variances, the largest first, and their directions in columns.

    Of fewer rows than numbers (VLAD), the rows' products are the smaller matrix with the same variances.
    """
    count, size = vectors.shape
    if count > size:
        return _descending(_scatter(vectors, mean) / count)
    rows = _doubles(vectors, slice(None)) - mean
    values, weights = _descending(rows @ rows.T / count)
    kept = _rank(values)
    return values, rows.T @ (weights[:, :kept] / np.sqrt(count * values[:kept]))


def _rank(values: Doubles) -> int:
    return int((values > NULL * max(values[0], 0)).sum())


def _checked_dim(dim: int | None, count: int, rows: int) -> int:
    if count == 0:
        raise PerisphereError(f"{rows} vectors that are all alike cannot be whitened; give more images.")
    if dim is not None and not 1 <= dim <= count:
        raise PerisphereError(
            f"--dim {dim}: the {rows} vectors vary in {count} directions; ask for 1 to {count}, or give more "
            "images."
        )
    return dim or count


def _check_share(shrinkage: float) -> None:
    if not 0 <= shrinkage <= 1:
        raise UsageError(f"shrinkage is {shrinkage}; it must lie between 0 and 1.")

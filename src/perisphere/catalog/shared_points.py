"""Which photos show the same points: the graph of images that share keypoints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

_BLOCK = 1 << 22  # pairs of (image, point of it in another image) that are counted together


@dataclass(frozen=True)
class Neighbours:
    """The images that share points with each image, as rows of a sparse matrix.

    Attributes:
        indptr: int64 ``[n + 1]``; the neighbours of image ``i`` are ``indices[indptr[i]:indptr[i + 1]]``.
        indices: int32 ``[m]``, positions of images, ascending for each image.
        counts: int32 ``[m]``, points shared with that neighbour.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    counts: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def of(self, image: int) -> NDArray[np.int32]:
        """Return the positions of the images that share points with the one at a position, ascending."""
        return self.indices[self.indptr[image] : self.indptr[image + 1]]

    def pairs(self) -> NDArray[np.int64]:
        """Return each unordered pair of different images once: int64 ``[p, 2]``, the smaller first."""
        first = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        pairs = np.stack([first, self.indices.astype(np.int64)], axis=1)
        return pairs[pairs[:, 0] < pairs[:, 1]]


def shared_pairs(
    keypoints: pl.DataFrame | None,
    images: Sequence[int] | pl.Series,
    least: int = 10,
    *,
    published: bool = False,
) -> Neighbours:
    """Find the images that share at least so many points with each image.

    A point counts once for each pair of images, however often it stands in one of them. Memory is bounded: a
    block of images is counted at a time, and only counts that reach ``least`` are kept.

    Args:
        keypoints: a catalog's side table (``image``, ``point``); ``None`` or empty: no image has a neighbour.
        images: ids ``[n]``; neighbours are positions in these, and keypoints of others are passed over.
        least: points that two images must share, at least 1.
        published: an image that has itself enough points is a neighbour of itself, as in the published
            program, where such draws become random partners.

    Returns:
        The neighbours of the ``n`` images, without an image's own self.

    Raises:
        ValueError: ``least`` is below 1, or an id stands twice in ``images``.

    Source: Wu et al., "Towers of Babel", ICCV 2021, section 4.2 (pairs of images to learn from).
    """
    if least < 1:
        raise ValueError(f"least: {least} points; two images share at least 1.")
    table = _incidence(keypoints, pl.Series(images, dtype=pl.Int64), keep_single=published)
    by_point = table.T.tocsr()
    parts = [_neighbours(table[rows] @ by_point, rows.start, least, published) for rows in _blocks(table)]
    degrees = [np.zeros(1, np.int64), *(np.diff(part.indptr).astype(np.int64) for part in parts)]
    none = np.empty(0, np.int32)
    return Neighbours(
        np.cumsum(np.concatenate(degrees)),
        np.concatenate([none, *(part.indices.astype(np.int32) for part in parts)]),
        np.concatenate([none, *(part.data.astype(np.int32) for part in parts)]),
    )


def _incidence(keypoints: pl.DataFrame | None, images: pl.Series, *, keep_single: bool) -> sparse.csr_matrix:
    """Return which image shows which point: int32 ones ``[images, points]``."""
    rows = pl.DataFrame({"image": images}).with_row_index("row")
    if rows["image"].is_duplicated().any():
        raise ValueError("images: an id stands twice.")
    if keypoints is None:
        return sparse.csr_matrix((rows.height, 0), dtype=np.int32)
    asked = keypoints.lazy().select(pl.col("image", "point").cast(pl.Int64))
    shown = asked.join(rows.lazy(), on="image").select("row", "point").unique()
    if not keep_single:  # a point that one image alone shows is shared with nobody
        shown = shown.filter(pl.len().over("point") > 1)
    found = shown.with_columns(pl.col("point").rank("dense").cast(pl.Int32) - 1).collect()
    row, point = found["row"].to_numpy(), found["point"].to_numpy()
    shape = (rows.height, int(point.max()) + 1 if len(point) else 0)
    return sparse.csr_matrix((np.ones(len(row), np.int32), (row, point)), shape=shape)


def _blocks(table: sparse.csr_matrix) -> Iterator[slice]:
    """Yield consecutive rows whose products with all others together stay below a number of terms."""
    shown_by = np.bincount(table.indices, minlength=table.shape[1])
    terms = np.concatenate([[0], np.cumsum(shown_by[table.indices])])[table.indptr]
    start = 0
    while start < table.shape[0]:
        end = int(np.searchsorted(terms, terms[start] + _BLOCK, side="right")) - 1
        end = max(end, start + 1)
        yield slice(start, end)
        start = end


def _neighbours(shared: sparse.csr_matrix, start: int, least: int, published: bool) -> sparse.csr_matrix:
    """Return the points shared by the images from ``start`` on and all images, where they are enough."""
    pairs = shared.tocoo()
    enough = pairs.data >= least
    if not published:
        enough &= pairs.row + start != pairs.col
    kept = (pairs.data[enough], (pairs.row[enough], pairs.col[enough]))
    matrix = sparse.csr_matrix(kept, shape=shared.shape)
    matrix.sort_indices()
    return matrix

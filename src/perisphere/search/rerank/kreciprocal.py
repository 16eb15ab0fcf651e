"""k-reciprocal encoding: images that have the same mutual neighbours are alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from perisphere.index.exact import GATHER_BYTES
from perisphere.index.ranking import NONE, Ranking
from perisphere.search.rerank.context import Context, Ids, with_head
from perisphere.search.rerank.reranker import Reranker
from perisphere.sphere.geometry import Vectors, finite_squares, is_unit, normalise

BLOCK_BYTES = 192 << 20
"""Of cosines at a time: enough rows that the product of matrices, not the memory, sets the pace."""

SAME = 1e-6
"""Between the components of two unit rows of one image, at most."""

TWO_THIRDS = 2 / 3 - 1e-6
"""A little less, since the share is worked out in float32."""


class KReciprocal(Reranker):
    """k-reciprocal encoding: ``weight * Jaccard distance + (1 - weight) * distance``.

    Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017. The set of
    images is the first ``depth`` results of all queries together with the queries, each image once: a query
    whose own row is hidden from it, and found by another query, is that row. Each is encoded by its mutual
    neighbours in that set, and the Jaccard distance compares the codes. The distance is the squared
    Euclidean one of unit vectors, divided by the image's largest, whatever the gallery's metric. All is kept
    sparse: memory grows with the number of images times ``k1`` and ``k2``, never with its square.

    The defaults are those of person re-identification; large classes want a larger ``k1``.

    Attributes:
        k1: neighbours that have to be mutual.
        k2: nearest images whose codes are averaged; 1 keeps each its own.
        weight: of the Jaccard distance, 1 - lambda in the paper; 0 changes nothing.
        depth: results that are re-ranked.
        joint: encode all queries together, as the paper does; else each for itself, so that its answer does
            not depend on what else was asked.
    """

    name: ClassVar[str] = "kreciprocal"

    k1: Annotated[int, Field(ge=1, le=1000)] = 20
    k2: Annotated[int, Field(ge=1, le=1000)] = 6
    weight: Annotated[float, Field(ge=0, le=1)] = 0.7
    depth: Annotated[int, Field(ge=1, le=10_000_000)] = 1000
    joint: bool = True

    @property
    def width(self) -> int:
        """The results that are re-ranked."""
        return self.depth

    def __call__(self, ranking: Ranking, context: Context) -> Ranking:
        """Re-rank by the mixed distance; see :class:`~perisphere.search.rerank.Reranker`."""
        if not self.weight:
            return ranking
        head = ranking.ids[:, : self.depth]
        groups = [slice(None)] if self.joint else [slice(query, query + 1) for query in range(len(head))]
        distances = np.full(head.shape, np.inf, np.float32)
        for group in groups:
            distances[group] = self._distances(
                head[group], context.queries[group], context.hidden[group], context
            )
        order = np.argsort(distances, axis=1, kind="stable")
        return with_head(ranking, order, 1 - np.take_along_axis(distances, order, 1))

    def _distances(
        self, head: Ids, queries: Vectors, hidden: Sequence[frozenset[int]], context: Context
    ) -> NDArray[np.float32]:
        """Return the mixed distance of each query to its own head ``[q, h]``, ``inf`` where there is none."""
        there = head != NONE
        if not there.any():
            return np.full(head.shape, np.inf, np.float32)
        ids = np.unique(head[there])
        queries, rows = _unit(queries), _unit(context.vectors(ids))
        own = _own_rows(queries, hidden, ids, rows)
        images = _Images(queries[own == NONE], rows)
        split = len(images.queries)
        asking = np.where(own == NONE, np.cumsum(own == NONE) - 1, split + own)
        places = np.where(there, np.searchsorted(ids, head), NONE)
        neighbours, farthest = nearest_neighbours(images, max(self.k1, self.k2 - 1))
        codes = _averaged(_codes(images, neighbours, farthest, self.k1), neighbours[:, : self.k2])
        gallery = codes[split:].tocsc()
        plain = images.asked(asking, places) / farthest[asking, None]
        out = np.full(places.shape, np.inf, np.float32)
        for query in range(len(queries)):
            there = places[query] != NONE
            at = places[query][there]
            jaccard = _jaccard(codes[[asking[query]]], gallery)[at]
            out[query, there] = self.weight * jaccard + (1 - self.weight) * plain[query, there]
        return out


@dataclass(frozen=True)
class _Images:
    """Queries that are none of the images first, then the images, without a joint copy; unit rows."""

    queries: Vectors
    gallery: Vectors

    def __len__(self) -> int:
        return len(self.queries) + len(self.gallery)

    def rows(self, places: NDArray) -> Vectors:
        """Return the vectors at ``places``, of any shape: float32 ``[..., d]``."""
        split = len(self.queries)
        asked = places < split
        out = np.empty((*places.shape, self.gallery.shape[1]), np.float32)
        out[asked] = self.queries[places[asked]]
        out[~asked] = self.gallery[places[~asked] - split]
        return out

    def cosines(self, block: slice) -> Vectors:
        """Return the cosines of a block of rows with all, float32 ``[b, n]``."""
        rows = self.rows(np.arange(len(self))[block])
        split = len(self.queries)
        out = np.empty((len(rows), len(self)), np.float32)
        np.matmul(rows, self.queries.T, out=out[:, :split])
        np.matmul(rows, self.gallery.T, out=out[:, split:])
        return out

    def asked(self, asking: NDArray, places: Ids) -> Vectors:
        """Return the squared distances of rows ``asking`` to their ``places`` in the gallery, ``[q, h]``."""
        out = np.empty(places.shape, np.float32)
        for block in _blocks(len(asking), 4 * len(self.gallery)):
            cosines = self.rows(asking[block]) @ self.gallery.T
            out[block] = np.maximum(2 - 2 * np.take_along_axis(cosines, places[block], 1), 0)
        return out

    def squared(self, places: NDArray, others: NDArray) -> Vectors:
        """Return the squared distances between rows at ``places`` and at ``others``, ``[m]``."""
        cosines = np.einsum("md,md->m", self.rows(places), self.rows(others))
        return np.maximum(2 - 2 * cosines, 0)


def nearest_neighbours(images: _Images, k: int) -> tuple[NDArray[np.int32], Vectors]:
    """Return each image and its ``k`` nearest others, and its largest squared distance.

    Returns:
        int32 ``[n, min(k + 1, n)]``, itself first, then the nearest first; and float32 ``[n]``, above 0.
    """
    count = len(images)
    width = min(k + 1, count)
    found = np.empty((count, width), np.int32)
    farthest = np.empty(count, np.float32)
    for block in _blocks(count, 3 * 4 * count):
        cosines = images.cosines(block)
        farthest[block] = 2 - 2 * cosines.min(1)
        cosines[np.arange(len(cosines)), np.arange(count)[block]] = np.inf
        best = np.argpartition(cosines, count - width, axis=1)[:, count - width :]
        order = np.argsort(-np.take_along_axis(cosines, best, 1), axis=1, kind="stable")
        found[block] = np.take_along_axis(best, order, 1)
    return found, np.where(farthest > 0, farthest, 1)


def _codes(images: _Images, neighbours: NDArray, farthest: Vectors, k1: int) -> sparse.csr_array:
    """Return V, float32 ``[n, n]``: each row spread over its extended mutual neighbours, with the sum 1."""
    near = _mutual(neighbours[:, : k1 + 1])
    half = _mutual(neighbours[:, : round(k1 / 2) + 1])
    sizes = np.diff(half.indptr).astype(np.float32)
    parts = []
    for block in _blocks(len(images), 1 << 15):
        own = near[block]
        shared = (own @ half.T).multiply(own).tocsr()
        # Every mutual neighbour has itself in both sets, so that no share is missing here.
        shared.data = (shared.data >= TWO_THIRDS * sizes[shared.indices]).astype(np.float32)
        shared.eliminate_zeros()
        extended = (own + shared @ half).tocsr()
        parts.append(_weighed(extended, block, images, farthest))
    return sparse.vstack(parts, format="csr")


def _mutual(neighbours: NDArray) -> sparse.csr_array:
    """Return 1 where both images have each other among their neighbours, float32 ``[n, n]``."""
    directed = _selector(neighbours, np.float32(1))
    mutual = directed.multiply(directed.T).tocsr()
    mutual.eliminate_zeros()
    return mutual


def _selector(neighbours: NDArray, value: np.float32) -> sparse.csr_array:
    count, width = neighbours.shape
    starts = np.arange(0, count * width + 1, width)
    values = np.full(count * width, value, np.float32)
    return sparse.csr_array((values, neighbours.ravel(), starts), shape=(count, count))


def _weighed(chosen: sparse.csr_array, block: slice, images: _Images, farthest: Vectors) -> sparse.csr_array:
    """Replace the entries of a block of rows by ``exp(-distance)``, and scale each row to the sum 1."""
    rows = np.repeat(np.arange(len(images))[block], np.diff(chosen.indptr))
    values = np.empty(len(rows), np.float32)
    for part in _blocks(len(rows), 3 * 4 * images.gallery.shape[1], GATHER_BYTES):
        squared = images.squared(rows[part], chosen.indices[part])
        values[part] = np.exp(-squared / farthest[rows[part]])
    sums = np.add.reduceat(values, chosen.indptr[:-1])  # no row is empty: each holds itself
    values /= np.repeat(sums, np.diff(chosen.indptr))
    return sparse.csr_array((values, chosen.indices, chosen.indptr), shape=chosen.shape)


def _averaged(codes: sparse.csr_array, neighbours: NDArray) -> sparse.csr_array:
    """Return the mean code of each image's nearest images, itself among them."""
    if neighbours.shape[1] == 1:
        return codes
    return (_selector(neighbours, np.float32(1 / neighbours.shape[1])) @ codes).tocsr()


def _jaccard(code: sparse.csr_array, gallery: sparse.csc_array) -> NDArray[np.float32]:
    """Return the Jaccard distance of one code ``[1, n]`` to each row of the gallery's ``[m, n]``.

    All codes have the sum 1, so the sum of the maxima is 2 less the sum of the minima.
    """
    starts, ends = gallery.indptr[code.indices], gallery.indptr[code.indices + 1]
    counts = ends - starts
    inside = np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)
    least = np.minimum(gallery.data[inside], np.repeat(code.data, counts))
    minima = np.bincount(gallery.indices[inside], least, gallery.shape[0])
    return (1 - minima / (2 - minima)).astype(np.float32)


def _own_rows(queries: Vectors, hidden: Sequence[frozenset[int]], ids: Ids, rows: Vectors) -> Ids:
    """Return the place in ``ids`` (ascending) of each query's own row: hidden from it, and the same vector.

    :data:`NONE` where it is not there.
    """
    own = np.full(len(queries), NONE, np.int64)
    for query, ids_ in enumerate(hidden):
        wanted = np.array(sorted(ids_), np.int64)
        at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
        at = at[ids[at] == wanted]
        same = at[(np.abs(rows[at] - queries[query]) <= SAME).all(1)]
        own[query] = same[0] if len(same) else NONE
    return own


def _unit(vectors: Vectors) -> Vectors:
    return vectors if is_unit(finite_squares(vectors)) else normalise(vectors)


def _blocks(count: int, bytes_each: int, room: int | None = None) -> Iterator[slice]:
    step = max(1, (room or BLOCK_BYTES) // bytes_each)
    yield from (slice(start, min(start + step, count)) for start in range(0, count, step))

"""Diffusion: similarity flows from the query along a graph of mutual neighbours."""

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.sparse.linalg import cg

from perisphere.index.ranking import NONE, Ranking
from perisphere.search.rerank.context import Context, with_head
from perisphere.search.rerank.reranker import Reranker
from perisphere.sphere.geometry import Vectors, normalise


class Diffusion(Reranker):
    """Rank by the solution ``f`` of ``(I - alpha S) f = y``.

    Iscen et al., "Efficient Diffusion on Region Manifolds: Recovering Small Objects with Compact CNN
    Representations", CVPR 2017. ``S`` is the normalised graph of the mutual nearest neighbours among the
    first ``depth`` results of one query, with ``max(cosine, 0) ** gamma`` on its edges; ``y`` holds the
    query's own nearest. Each query is solved for itself by conjugate gradient; memory grows with ``depth``
    squared.

    Attributes:
        k: neighbours that have to be mutual.
        kq: nearest results that the query flows into.
        gamma: power of the cosines.
        alpha: share that flows on at each step, below 1; 0 changes nothing.
        depth: results that are re-ranked; those that nothing flows to keep their order behind the others.
        iterations: steps of the solver, at most; it also stops at a relative residual of 1e-6.
    """

    name: ClassVar[str] = "diffusion"

    k: Annotated[int, Field(ge=1, le=10_000)] = 50
    kq: Annotated[int, Field(ge=1, le=10_000)] = 10
    gamma: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 3.0
    alpha: Annotated[float, Field(ge=0, lt=1)] = 0.99
    depth: Annotated[int, Field(ge=1, le=10_000)] = 1000
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 20

    @property
    def width(self) -> int:
        """The results that are re-ranked."""
        return self.depth

    def __call__(self, ranking: Ranking, context: Context) -> Ranking:
        """Re-rank by what flows; see :class:`~perisphere.search.rerank.Reranker`."""
        if not self.alpha:
            return ranking
        head = ranking.ids[:, : self.depth]
        flows = np.full(head.shape, -np.inf, np.float32)
        for query, ids in enumerate(head):
            there = ids != NONE
            if there.any():
                vectors = normalise(context.vectors(ids[there]))
                flows[query, there] = self._flow(normalise(context.queries[[query]])[0], vectors)
        order = np.argsort(-flows, axis=1, kind="stable")
        return with_head(ranking, order, np.take_along_axis(flows, order, 1))

    def _flow(self, query: Vectors, vectors: Vectors) -> NDArray[np.float32]:
        """Return ``f`` for one query ``[d]`` and its results ``[n, d]``, unit rows: float32 ``[n]``."""
        cosines = (vectors @ query).astype(np.float64)
        start = np.zeros(len(vectors))
        nearest = np.argsort(-cosines, kind="stable")[: self.kq]
        start[nearest] = np.maximum(cosines[nearest], 0) ** self.gamma
        graph = affinity(vectors, self.k, self.gamma)
        system = sparse.eye_array(len(vectors), format="csr") - self.alpha * normalised(graph)
        solution, _ = cg(system, start, rtol=1e-6, maxiter=self.iterations)
        return solution.astype(np.float32)


def affinity(vectors: Vectors, k: int, gamma: float) -> sparse.csr_array:
    """Return ``max(cosine, 0) ** gamma`` where two rows are among each other's ``k`` nearest, else 0.

    Args:
        vectors: unit rows, float32 ``[n, d]``.
        k: neighbours; a row is not its own.
        gamma: power of the cosines.

    Returns:
        float64 ``[n, n]``, symmetric.
    """
    count = len(vectors)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    k = min(k, count - 1)
    if not k:
        return sparse.csr_array((count, count))
    nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    near = np.zeros((count, count), bool)
    np.put_along_axis(near, nearest, True, 1)
    rows, columns = np.nonzero(near & near.T)
    values = np.maximum(cosines[rows, columns], 0).astype(np.float64) ** gamma
    # Both triangles from one, since a product of matrices need not be symmetric to the last bit.
    upper = sparse.csr_array((values, (rows, columns)), shape=(count, count))
    return (upper + upper.T) / 2


def normalised(graph: sparse.csr_array) -> sparse.csr_array:
    """Return ``D^-1/2 A D^-1/2``; a row without neighbours stays zero."""
    degrees = graph.sum(axis=1)
    scale = np.zeros(len(degrees))
    scale[degrees > 0] = degrees[degrees > 0] ** -0.5
    diagonal = sparse.diags_array(scale)
    return (diagonal @ graph @ diagonal).tocsr()

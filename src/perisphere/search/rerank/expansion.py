"""Query expansion and database-side augmentation: points move towards their neighbours."""

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from perisphere.index.ranking import NONE, Ranking
from perisphere.search.rerank.context import Context, Gallery, Ids, with_head
from perisphere.search.rerank.galleries import MovedGallery
from perisphere.search.rerank.reranker import Mover
from perisphere.search.rerank.scores import pair_scores
from perisphere.sphere.geometry import Vectors, normalise

BLOCK_BYTES = 16 << 20

Count = Annotated[int, Field(ge=0, le=10_000)]
Power = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class QueryExpansion(Mover):
    """Average query expansion: search again with the mean of the query and its first results.

    Chum et al., "Total Recall: Automatic Query Expansion with a Generative Feature Model for Object
    Retrieval", ICCV 2007; with weights ``max(cosine, 0) ** alpha`` as in Radenovic et al., "Fine-tuning CNN
    Image Retrieval with No Human Annotation", TPAMI 2019. ``alpha = 0`` is the plain mean.

    Attributes:
        n: results that join the query; 0 changes nothing.
        alpha: power of a result's cosine, which is its weight; the query's own weight is 1.
        depth: 0 searches the whole gallery again; else only the first ``depth`` results are scored again,
            which costs a small part of a search.
    """

    name: ClassVar[str] = "aqe"

    n: Count = 10
    alpha: Power = 0.0
    depth: Count = 0

    @property
    def width(self) -> int:
        """The results that join the query, or are scored again."""
        return max(self.n, self.depth, 1)

    def move(self, ranking: Ranking, context: Context) -> Context:
        """Return the context with the queries expanded."""
        if not self.n:
            return context
        return context.with_queries(
            expanded(context.queries, ranking.ids[:, : self.n], context.gallery, self.alpha)
        )

    def again(self, ranking: Ranking, moved: Context) -> Ranking:
        """Search the gallery again, or only the first ``depth`` results."""
        if not self.depth:
            return super().again(ranking, moved)
        head = ranking.ids[:, : self.depth]
        scores = pair_scores(moved.queries, head, moved.gallery)
        order = np.argsort(-scores, axis=1, kind="stable")
        return with_head(ranking, order, np.take_along_axis(scores, order, 1))


class AlphaExpansion(QueryExpansion):
    """Query expansion with the parameters of its paper, alpha = 3 and n = 50; see :class:`QueryExpansion`."""

    name: ClassVar[str] = "alphaqe"

    n: Count = 50
    alpha: Power = 3.0


class DatabaseAugmentation(Mover):
    """Database-side augmentation: every image of the gallery is expanded by its own neighbours.

    Turcot and Lowe, "Better matching with fewer features", ICCV-W 2009; with the weights of alpha query
    expansion. The whole gallery is searched with each of its images, which costs ``n^2 d``; for a gallery
    that stays, index the vectors of :func:`augmented` once instead.

    An image that is hidden from a query still joins its neighbours: where a query is an image of the gallery
    (leave one out), the images near it have its own vector mixed in.

    Attributes:
        n: neighbours that join an image; 0 changes nothing.
        alpha: power of a neighbour's cosine, which is its weight.
    """

    name: ClassVar[str] = "dba"

    n: Count = 10
    alpha: Power = 3.0

    def move(self, ranking: Ranking, context: Context) -> Context:
        """Return the context with the gallery augmented."""
        if not self.n:
            return context
        return context.with_gallery(
            MovedGallery(context.gallery, augmented(context.gallery, self.n, self.alpha))
        )


def augmented(gallery: Gallery, n: int = 10, alpha: float = 3.0) -> Vectors:
    """Return the vectors of all images of a gallery, each expanded by its ``n`` nearest others.

    Args:
        gallery: the images.
        n: neighbours that join an image.
        alpha: power of a neighbour's cosine, which is its weight.

    Returns:
        float32 ``[m, d]`` in the order of ``gallery.ids()``; unit rows for cosine.
    """
    ids = gallery.ids()
    vectors = gallery.vectors(ids)
    out = np.empty_like(vectors)
    step = max(1, BLOCK_BYTES // (4 * max(1, n) * vectors.shape[1]))
    for start in range(0, len(ids), step):
        part = slice(start, start + step)
        found = gallery.search(vectors[part], n + 1).ids
        out[part] = expanded(vectors[part], _others(found, ids[part]), gallery, alpha)
    return out


def expanded(points: Vectors, neighbours: Ids, gallery: Gallery, alpha: float) -> Vectors:
    """Return the weighted mean of each point (weight 1) and its neighbours (``max(cosine, 0) ** alpha``).

    Args:
        points: float32 ``[m, d]``.
        neighbours: int64 ``[m, n]``, -1 where there is none.
        gallery: where the neighbours are.
        alpha: 0 for equal weights.

    Returns:
        float32 ``[m, d]``; of length 1 for cosine, where a sum of zero length leaves its point as it was.
    """
    unit = gallery.metric == "cosine"
    points = normalise(points) if unit else points
    out = np.empty(points.shape, np.float32)
    step = max(1, BLOCK_BYTES // (4 * max(1, neighbours.shape[1]) * points.shape[1]))
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        out[part] = _mean(points[part], neighbours[part], gallery, alpha)
    return normalise(out) if unit else out


def _mean(points: Vectors, neighbours: Ids, gallery: Gallery, alpha: float) -> Vectors:
    there = neighbours != NONE
    unique, back = np.unique(neighbours[there], return_inverse=True)
    near = np.zeros((*neighbours.shape, points.shape[1]), np.float32)
    near[there] = gallery.vectors(unique)[back]
    weights = _cosines(points, near)
    weights = np.where(there, np.maximum(weights, 0) ** np.float32(alpha), 0)
    total = points + np.einsum("mn,mnd->md", weights, near)
    return np.where(np.abs(total).max(1, keepdims=True) > 0, total, points) / (
        1 + weights.sum(1, keepdims=True)
    )


def _cosines(points: Vectors, near: NDArray) -> NDArray[np.float32]:
    products = np.einsum("md,mnd->mn", points, near)
    lengths = np.linalg.norm(points, axis=1)[:, None] * np.linalg.norm(near, axis=2)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def _others(found: Ids, own: Ids) -> Ids:
    """Drop each row's own id, or the last where it is not there (many copies of one image)."""
    me = found == own[:, None]
    me[~me.any(1), -1] = True
    return found[~me].reshape(len(found), -1)

"""Re-identification: CMC, mAP and mINP, where photos of the query's identity by its own camera do not count.

A photo by the query's camera is often the next frame of the same walk, so the protocol (Zheng et al.,
"Scalable Person Re-identification: A Benchmark", ICCV 2015) leaves it out: neither right nor wrong. These are
the ignored rows of :mod:`~perisphere.metrics.ranks`, which counts ranks instead of sorting the gallery.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.metrics import retrieval
from perisphere.metrics.centroids import plain
from perisphere.metrics.matching import NONE, Positions, Rows, matching
from perisphere.metrics.ranks import MISSING, Ranks, Ties, exact_ranks
from perisphere.sphere.geometry import Metric

DEPTHS = (1, 5, 10, 20, 50)
"""Where the field reads the CMC curve."""

Ids = Sequence[Hashable] | NDArray
Cameras = Sequence[Hashable | Collection[Hashable]] | NDArray


@dataclass(frozen=True)
class ReidFigures:
    """What the ranks of each query's right images say.

    Attributes:
        ranks: of the right images of q queries, those left out taken away.
    """

    ranks: Ranks

    def __len__(self) -> int:
        """Return the number of queries, with those that have no right image left."""
        return len(self.ranks)

    @cached_property
    def average_precision(self) -> NDArray[np.float64]:
        """Mean precision at each right image, ``[q]``; NaN for a query that has none left: it is skipped."""
        return retrieval.average_precision(self.ranks)

    @cached_property
    def first_right(self) -> NDArray[np.float64]:
        """Rank of the first right image, ``[q]``; infinite for a query that has none left."""
        return retrieval.first_rank(self.ranks)

    @cached_property
    def inp(self) -> NDArray[np.float64]:
        """Inverse negative penalty, ``[q]``; NaN for a query that has no right image left."""
        return inverse_negative_penalty(self.ranks)

    @property
    def skipped(self) -> int:
        """Queries without a right image."""
        return int(np.count_nonzero(self.ranks.counts == 0))

    def cmc(self, k: int) -> NDArray[np.float64]:
        """Return the share of queries with a right image among the first 1, 2 ... ``k``, ``[k]``."""
        judged = self.first_right[self.ranks.counts > 0]
        if not len(judged):
            return np.full(k, np.nan)
        return (judged[:, None] <= np.arange(1, k + 1)).mean(axis=0)

    def means(self, ks: Sequence[int] = DEPTHS) -> dict[str, float]:
        """Return mAP, mINP and rank-k for each of ``ks``, over the queries that have a right image.

        Raises:
            PerisphereError: no query has one.
        """
        found = {"mAP": retrieval.mean(self.average_precision), "mINP": retrieval.mean(self.inp)}
        curve = self.cmc(max(ks))
        return found | {f"rank-{k}": float(curve[k - 1]) for k in ks}


def reid(
    queries: NDArray,
    gallery: NDArray,
    *,
    query_ids: Ids,
    gallery_ids: Ids,
    query_cameras: Cameras | None = None,
    gallery_cameras: Cameras | None = None,
    metric: Metric = "cosine",
    ties: Ties = "pessimistic",
    block: int | None = None,
    threads: int | None = None,
) -> ReidFigures:
    """Rank the gallery for each query and judge by identity, the query's own camera left out.

    Args:
        queries: float32 ``[q, d]``, of any length.
        gallery: float32 ``[n, d]``, in memory or memory-mapped.
        query_ids: identity of each query; one of ``None`` has no right image.
        gallery_ids: identity of each gallery row; one of ``None`` is wrong for all.
        query_cameras: camera of each query. Without cameras nothing is left out.
        gallery_cameras: camera of each gallery row, or the set of cameras of a row made of several photos.
        metric: what orders the gallery: cosine similarity, or Euclidean (l2) or absolute (l1) distance.
        ties: ``"pessimistic"`` ranks a wrong image before a right one of the same score.
        block: queries at a time; memory beyond the inputs is ``8 * block * n`` bytes, by default 128 MiB.
        threads: for counting; by default as many as FAISS uses.

    Raises:
        PerisphereError: different dimensions or numbers of rows, rows that are not finite, cameras of one
            side alone.

    Example:
        The photo at the front is of the query's identity and camera, so it does not count.

        >>> import numpy as np
        >>> found = reid(
        ...     np.eye(2)[:1], np.array([[9, 1], [8, 2], [7, 3]]), query_ids=["a"], query_cameras=[0],
        ...     gallery_ids=["a", "b", "a"], gallery_cameras=[0, 1, 1],
        ... )
        >>> found.first_right.tolist(), found.average_precision.tolist()
        ([2.0], [0.5])
    """
    asked, searched = (
        plain(query_ids, len(queries), "query_ids"),
        plain(gallery_ids, len(gallery), "gallery_ids"),
    )
    if (query_cameras is None) != (gallery_cameras is None):
        raise PerisphereError("cameras of one side alone leave nothing out; give both sides' or none.")
    aside = None
    if query_cameras is not None and gallery_cameras is not None:
        cameras = plain(query_cameras, len(queries), "query_cameras")
        aside = same_camera(asked, cameras, searched, plain(gallery_cameras, len(gallery), "gallery_cameras"))
    ranks = exact_ranks(
        queries,
        gallery,
        matching(asked, searched),
        ignored=aside,
        metric=metric,
        ties=ties,
        block=block,
        threads=threads,
    )
    return ReidFigures(ranks)


def same_camera(
    query_ids: Sequence[Hashable],
    query_cameras: Sequence[Hashable],
    gallery_ids: Sequence[Hashable],
    gallery_cameras: Sequence[Hashable | Collection[Hashable]],
) -> Rows:
    """Select the gallery rows of the query's identity in which its camera took part.

    A camera of ``None`` is unknown: it equals no other.
    """
    gathered: dict[tuple[Hashable, Hashable], list[int]] = defaultdict(list)
    for position, (identity, cameras) in enumerate(zip(gallery_ids, gallery_cameras, strict=True)):
        for camera in cameras if isinstance(cameras, set | frozenset | list | tuple) else (cameras,):
            if camera is not None and identity is not None:
                gathered[identity, camera].append(position)
    table = {key: np.array(positions, np.int64) for key, positions in gathered.items()}
    return lambda query: table.get((query_ids[query], query_cameras[query]), NONE)


def inverse_negative_penalty(ranks: Ranks) -> NDArray[np.float64]:
    """Return the number of right images divided by the rank of the last one, ``[q]``.

    It tells how far a user has to look to find all of them (Ye et al., "Deep Learning for Person
    Re-identification: A Survey and Outlook", TPAMI 2021); its mean is mINP. NaN for a query without a right
    image, 0 where a list, cut short, lacks one.
    """
    found = np.full(len(ranks), np.nan)
    has = np.flatnonzero(ranks.counts)
    last: Positions = ranks.values[ranks.starts[has] + ranks.counts[has] - 1]
    found[has] = np.where(last == MISSING, 0.0, ranks.counts[has] / last)
    return found

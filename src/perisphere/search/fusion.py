"""Words beside a point: two scores of a photo become one.

Words score 0..1 by themselves (:mod:`perisphere.search.word_query`). The scores of the point, cosines or
negated distances, have no such scale, and lie in a narrow band that differs from encoder to encoder. They are
stretched over the candidates, the worst of which becomes 0 and the best 1, and a photo's score is::

    (1 - weight) * point + weight * words

the convex combination of S. Bruch, S. Gai and A. Ingber ("An analysis of fusion functions for hybrid
retrieval", ACM TOIS 2023), who find it better than fusing ranks, and hardly
sensitive to the way of stretching.

Candidates are the photos nearest to the point and those that answer the words best, at least
:data:`CANDIDATES` of either. A query of words with counter-examples and no example has the latter alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from perisphere.index import Index
from perisphere.index.ranking import NONE
from perisphere.search.found import Found
from perisphere.search.rerank.galleries import IndexGallery
from perisphere.search.rerank.scores import pair_scores
from perisphere.search.vector_query import Placed, by_vectors
from perisphere.search.word_query import Sought, best_first

CANDIDATES = 1000
"""How many photos of either list are looked at, or ``k`` where that is more."""


def by_both(index: Index, placed: Sequence[Placed], sought: Sequence[Sought]) -> list[Found]:
    """Return what queries of equal options find by their points and their words together.

    Args:
        index: where to search.
        placed: queries with words, all with examples or all without.
        sought: what the words of each say.
    """
    query = placed[0].query
    deep = max(CANDIDATES, query.k)
    metric = query.metric or index.metric
    near = by_vectors(index, placed, deep) if query.like else [Found(metric=metric) for _ in placed]
    written = [one.best(deep, asked.hidden) for one, asked in zip(sought, placed, strict=True)]
    scores = [{id_: score for id_, score, _ in found.hits} for found in near]
    _complete(index, placed, scores, written)
    return [
        _found(asked, found, joined(points, one.scores, asked.query.words_weight))
        for asked, found, points, one in zip(placed, near, scores, sought, strict=True)
    ]


def joined(points: Mapping[int, float], words: Mapping[int, float], weight: float) -> dict[int, float]:
    """Return the score of each candidate, 0..1, by id.

    Args:
        points: scores by the point, of all candidates.
        words: scores by the words, 0..1, of photos that have any.
        weight: of the words, 0..1.
    """
    low, high = min(points.values(), default=0.0), max(points.values(), default=0.0)
    spread = high - low or 1.0
    return {
        id_: (1 - weight) * (score - low) / spread + weight * words.get(id_, 0.0)
        for id_, score in points.items()
    }


def _complete(
    index: Index,
    placed: Sequence[Placed],
    scores: Sequence[dict[int, float]],
    written: Sequence[Mapping[int, float]],
) -> None:
    """Score by the points what the words alone have found."""
    missing = [[id_ for id_ in best if id_ not in known] for best, known in zip(written, scores, strict=True)]
    ids = np.full((len(missing), max(map(len, missing), default=0)), NONE, np.int64)
    for row, some in zip(ids, missing, strict=True):
        row[: len(some)] = some
    if not ids.size:
        return
    points = np.array([one.point for one in placed], np.float32)
    found = pair_scores(points, ids, IndexGallery(index, metric=placed[0].query.metric))
    for known, some, values in zip(scores, missing, found.tolist(), strict=True):
        known.update(zip(some, values, strict=False))


def _found(placed: Placed, near: Found, scores: Mapping[int, float]) -> Found:
    query = placed.query
    best = best_first(scores, query.k)
    hits = [(id_, score, None) for id_, score in best.items()]
    kept = [hit for hit in hits if query.min_score is None or hit[1] >= query.min_score]
    return replace(
        near, hits=kept, metric=f"{near.metric} + words", min_score=query.min_score, calibration=None
    )

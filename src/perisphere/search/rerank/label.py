"""Re-ranking by the labels of the gallery: the class that the first results vote for goes first."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from perisphere.index.ranking import NONE, Ranking
from perisphere.search.rerank.context import Context, Ids, with_head
from perisphere.search.rerank.reranker import Reranker
from perisphere.sphere import geometry
from perisphere.sphere.geometry import Vectors

BLOCK_BYTES = 16 << 20

TEMPERATURE = 0.07
"""As in :mod:`perisphere.search.classify`."""


class LabelReranking(Reranker):
    """The landmark system's "method two": all images of the predicted class, then all others.

    The first ``vote`` results name the class by majority; a tie goes to the name that sorts first. Within
    both parts the order stays, and no score changes. Images of the class that lie beyond the end of the list
    are fetched from the gallery, so that a cut list begins as the whole ranking would. Where nothing has a
    label, nothing changes.

    Attributes:
        vote: results that vote; 0 changes nothing.
    """

    name: ClassVar[str] = "label"

    vote: Annotated[int, Field(ge=0, le=10_000)] = 3

    @property
    def width(self) -> int:
        """The results that vote."""
        return max(1, self.vote)

    def __call__(self, ranking: Ranking, context: Context) -> Ranking:
        """Put the predicted class first; see :class:`Reranker`."""
        if not self.vote:
            return ranking
        predicted = [majority(labels) for labels in labels_of(ranking.ids[:, : self.vote], context)]
        queries: dict[str, list[int]] = defaultdict(list)
        for query, label in enumerate(predicted):
            if label is not None:
                queries[label].append(query)
        ids, scores = ranking.ids.copy(), ranking.scores.copy()
        for label, rows in queries.items():
            ids[rows], scores[rows] = _class_first(ids[rows], scores[rows], rows, label, context)
        return Ranking(ids, scores, ranking.road, ranking.metric)


class SoftLabelReranking(Reranker):
    """Every result gains by how likely its label is: ``score + weight * p(label)``.

    ``p`` is the vote of the first ``n`` results with the weights ``exp(score / temperature)``, so that a
    doubtful vote moves little, a close second class is not pushed out of the list, and a result that is much
    better than the class stays where it is. Distances are divided by the first results' mean distance.

    Attributes:
        n: results that vote; 0 changes nothing.
        weight: the gain of a result whose label has all votes; 0 changes nothing.
        temperature: above 0; the lower, the more the first result decides.
        depth: results that are re-ranked.
    """

    name: ClassVar[str] = "softlabel"

    n: Annotated[int, Field(ge=0, le=10_000)] = 10
    weight: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.5
    temperature: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = TEMPERATURE
    depth: Annotated[int, Field(ge=1, le=100_000)] = 100

    @property
    def width(self) -> int:
        """The results that vote or are re-ranked."""
        return max(self.n, self.depth)

    def __call__(self, ranking: Ranking, context: Context) -> Ranking:
        """Add the gain of each label; see :class:`Reranker`."""
        if not self.n or not self.weight:
            return ranking
        head = ranking.ids[:, : self.depth]
        scores = _scaled(ranking.scores[:, : self.depth], self.n, ranking.metric)
        shares = np.array(
            [
                _shares(labels, row, self.n, self.temperature)
                for labels, row in zip(labels_of(head, context), scores, strict=True)
            ],
            np.float32,
        ).reshape(head.shape)
        scores = scores + np.float32(self.weight) * shares
        order = np.argsort(-scores, axis=1, kind="stable")
        return with_head(ranking, order, np.take_along_axis(scores, order, 1))


def majority(labels: Iterable[str | None]) -> str | None:
    """Return the most frequent label, of several the one that sorts first; ``None`` where there is none."""
    votes = Counter(label for label in labels if label is not None)
    return min(votes, key=lambda label: (-votes[label], label), default=None)


def labels_of(ids: Ids, context: Context) -> list[list[str | None]]:
    """Return the labels of ids ``[q, k]``, ``None`` where there is no image or no label."""
    there = ids != NONE
    labels = np.full(ids.shape, None, dtype=object)
    labels[there] = context.labels(ids[there])
    found: list[list[str | None]] = labels.tolist()
    return found


def _class_first(
    ids: Ids, scores: NDArray, rows: Sequence[int], label: str, context: Context
) -> tuple[Ids, NDArray]:
    """Return ids and scores ``[c, k]`` of the queries ``rows`` with the members of one class in front."""
    k = ids.shape[1]
    members = context.gallery.members(label)
    inside = np.isin(ids, members)
    if (inside.sum(1) < min(len(members), k)).any():
        more_ids, more_scores = _missing(ids, members, rows, context)
        ids, scores = np.hstack([ids, more_ids]), np.hstack([scores, more_scores])
        inside = np.hstack([inside, more_ids != NONE])
    # The class in its order, the others in theirs, and empty places last.
    place = np.where(inside, 0, np.where(ids == NONE, 2, 1))
    order = np.argsort(place, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)


def _missing(ids: Ids, members: Ids, rows: Sequence[int], context: Context) -> tuple[Ids, NDArray]:
    """Return for each list ``[c, k]`` the best members that are not in it, -1 where there are fewer."""
    width = min(ids.shape[1], len(members))
    vectors = context.vectors(members)
    out_ids, out_scores = np.full((len(rows), width), NONE), np.full((len(rows), width), -np.inf, np.float32)
    step = max(1, BLOCK_BYTES // (4 * len(members)))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        scores = _scores(context.queries[rows[part]], vectors, context.gallery.metric)
        for place, row in enumerate(rows[part]):
            gone = np.isin(members, ids[start + place])
            if context.hidden:
                gone |= np.isin(members, list(context.hidden[row]))
            scores[place, gone] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :width]
        out_scores[part] = np.take_along_axis(scores, order, 1)
        out_ids[part] = np.where(np.isfinite(out_scores[part]), members[order], NONE)
    return out_ids, out_scores


def _scores(queries: Vectors, vectors: Vectors, metric: str) -> Vectors:
    if metric == "cosine":
        return geometry.cosine(queries, vectors)
    return -(geometry.l2 if metric == "l2" else geometry.l1)(queries, vectors)


def _scaled(scores: NDArray, n: int, metric: str) -> NDArray:
    """Return distances in units of the first results' mean; cosines have a scale of their own."""
    if metric == "cosine":
        return scores
    first = np.where(np.isfinite(scores[:, :n]), scores[:, :n], np.nan)
    known = np.isfinite(first).any(1)
    scale = np.ones(len(scores), scores.dtype)
    scale[known] = -np.nanmean(first[known], axis=1)
    return scores / np.where(scale > 0, scale, 1)[:, None]


def _shares(labels: Sequence[str | None], scores: NDArray, n: int, temperature: float) -> list[float]:
    """Return for each result the share of the vote that its label has."""
    weights = np.exp((scores[:n] - scores[0]) / temperature) if np.isfinite(scores[0]) else np.zeros(n)
    votes: dict[str | None, float] = defaultdict(float)
    for label, weight in zip(labels, weights.tolist(), strict=False):
        votes[label] += 0.0 if label is None else weight
    total = sum(votes.values()) or 1.0
    return [votes[label] / total if label in votes else 0.0 for label in labels]

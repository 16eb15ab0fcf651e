"""Re-ranking by the labels of the gallery: the class that the first results vote for goes first."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from perisphere.errors import PerisphereError
from perisphere.index.ranking import NONE, Ranking
from perisphere.search.rerank.context import Context, Ids
from perisphere.search.rerank.reranker import Reranker
from perisphere.sphere import geometry
from perisphere.sphere.geometry import Vectors

PAIRS = 1 << 20
"""Queries times images of their class that are scored at a time."""


class LabelReranking(Reranker):
    """The landmark system's "method two": all images of the predicted class, then all others.

    The first ``vote`` results name the class by majority; a tie goes to the name that sorts first. Within
    both parts the order stays, and no score changes. Images of the class that lie beyond the end of the list
    are fetched from the gallery, so that a cut list begins as the whole ranking would. A list whose voters
    have no label stays as it is; a gallery without any label is an error.

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
        """Put the predicted class first; see :class:`~perisphere.search.rerank.Reranker`.

        Raises:
            PerisphereError: no image of the gallery has a label.
        """
        if not self.vote or not ranking.ids.size:
            return ranking
        k = ranking.ids.shape[1]
        labels = labels_of(ranking.ids, context, self.name)
        predicted = [majority(row[: self.vote]) for row in labels]
        inside = np.array(
            [
                [own is not None and own == label for own in row]
                for row, label in zip(labels, predicted, strict=True)
            ]
        )
        more_ids, more_scores = _beyond(ranking, predicted, inside.sum(1), context)
        ids, scores = np.hstack([ranking.ids, more_ids]), np.hstack([ranking.scores, more_scores])
        # The class in its order, the others in theirs, and empty places last.
        place = np.where(ids == NONE, 2, 1)
        place[:, :k][inside] = 0
        place[:, k:][more_ids != NONE] = 0
        order = np.argsort(place, axis=1, kind="stable")[:, :k]
        ids, scores = np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
        return Ranking(ids, scores, ranking.road, ranking.metric)


def majority(labels: Iterable[str | None]) -> str | None:
    """Return the most frequent label, of several the one that sorts first; ``None`` where there is none."""
    votes = Counter(label for label in labels if label is not None)
    return min(votes, key=lambda label: (-votes[label], label), default=None)


def labels_of(ids: Ids, context: Context, name: str) -> list[list[str | None]]:
    """Return the labels of ids ``[q, k]``, ``None`` where there is no image or no label.

    Args:
        ids: the lists.
        context: the search.
        name: of the re-ranker that needs them.

    Raises:
        PerisphereError: no image of the gallery has a label.
    """
    there = ids != NONE
    labels = np.full(ids.shape, None, dtype=object)
    listed = context.labels(ids[there])
    # The rest of the gallery is only looked at where none of what was found has a label.
    if listed and not _any_label(listed) and not _any_label(context.labels(context.gallery.ids())):
        raise PerisphereError(
            f"`{name}` re-ranks by labels, and no image that is searched has a label. "
            f"Read photos with labels, or leave `{name}` out."
        )
    labels[there] = listed
    found: list[list[str | None]] = labels.tolist()
    return found


def _any_label(labels: Iterable[str | None]) -> bool:
    return any(label is not None for label in labels)


def _beyond(
    ranking: Ranking, predicted: Sequence[str | None], inside: NDArray, context: Context
) -> tuple[Ids, NDArray[np.float32]]:
    """Return the images of each query's class that its list lacks, best first, -1 where there are no more.

    Args:
        ranking: the lists, ``[q, k]``.
        predicted: the class of each query.
        inside: how many of its images are in the list.
        context: the search.
    """
    shape = ranking.ids.shape
    ids, scores = np.full(shape, NONE), np.full(shape, -np.inf, np.float32)
    queries = geometry.normalise(context.queries) if context.gallery.metric == "cosine" else context.queries
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(predicted):
        if label is not None and inside[row] < shape[1]:
            rows_of[label].append(row)
    for label, rows in rows_of.items():
        members = context.gallery.members(label)
        rows = [row for row in rows if inside[row] < len(members)]
        for row, similar in zip(rows, _scores(queries, rows, members, context), strict=True):
            listed = {*ranking.ids[row].tolist(), *(context.hidden[row] if context.hidden else ())}
            new = [place for place, id_ in enumerate(members.tolist()) if id_ not in listed]
            best = np.array(new, np.int64)[np.argsort(-similar[new], kind="stable")][: shape[1]]
            ids[row, : len(best)], scores[row, : len(best)] = members[best], similar[best]
    return ids, scores


def _scores(queries: Vectors, rows: list[int], members: Ids, context: Context) -> Iterator[Vectors]:
    """Yield the scores of some queries with the images of their class, ``[m]`` each, a block at a time."""
    metric = context.gallery.metric
    vectors = context.vectors(members) if rows else queries[:0]
    step = max(1, PAIRS // max(1, len(members)))
    for start in range(0, len(rows), step):
        part = queries[rows[start : start + step]]
        if metric == "cosine":  # both are unit rows
            yield from part @ vectors.T
        else:
            yield from -(geometry.l2 if metric == "l2" else geometry.l1)(part, vectors)

"""Re-ranking by the labels of the gallery, as far as the first results agree on them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from perisphere.index.ranking import Ranking
from perisphere.search.rerank.context import Context, with_head
from perisphere.search.rerank.label import labels_of
from perisphere.search.rerank.reranker import Reranker

TEMPERATURE = 0.07
"""As in :mod:`perisphere.search.classify`."""


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
        """Add the gain of each label; see :class:`Reranker`.

        Raises:
            PerisphereError: no image of the gallery has a label.
        """
        if not self.n or not self.weight:
            return ranking
        head = ranking.ids[:, : self.depth]
        scores = _scaled(ranking.scores[:, : self.depth], self.n, ranking.metric)
        shares = np.array(
            [
                _shares(labels, row, self.n, self.temperature)
                for labels, row in zip(labels_of(head, context, self.name), scores, strict=True)
            ],
            np.float32,
        ).reshape(head.shape)
        scores = scores + np.float32(self.weight) * shares
        order = np.argsort(-scores, axis=1, kind="stable")
        return with_head(ranking, order, np.take_along_axis(scores, order, 1))


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

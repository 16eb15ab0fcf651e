"""The class of a photo by a weighted vote of its neighbours."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.index.filters import And, Expression, IsNull, Not, parse
from perisphere.search.ingredients import Source
from perisphere.search.query import Query
from perisphere.search.results import Answer, Result
from perisphere.search.searching import search

if TYPE_CHECKING:
    from perisphere.encoder import Encoder

TEMPERATURE = 0.07


@dataclass(frozen=True)
class Vote:
    """One class: its share of the vote, in (0, 1], and the neighbours that gave it, best first."""

    label: str
    share: float
    neighbours: tuple[Result, ...]


@dataclass(frozen=True)
class Verdict:
    """The vote on one photo, the largest share first; ``answer`` holds the photo and all its neighbours."""

    answer: Answer
    votes: tuple[Vote, ...]

    @property
    def label(self) -> str:
        """The class with the largest share."""
        return self.votes[0].label

    @property
    def share(self) -> float:
        """Its share of the vote."""
        return self.votes[0].share

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        votes = [
            {
                "label": vote.label,
                "share": vote.share,
                "neighbours": [result.id for result in vote.neighbours],
            }
            for vote in self.votes
        ]
        found = self.answer.to_dict()
        return {
            "image": found["query"],
            "label": self.label,
            "share": self.share,
            "known_label": self.answer.label,
            "votes": votes,
            "neighbours": found["results"],
        }


def classify_images(
    index: Index,
    images: Sequence[Source],
    k: int = 10,
    *,
    temperature: float = TEMPERATURE,
    encoder: "Encoder | None" = None,
    labels: Sequence[str | None] | None = None,
    exclude_self: bool = False,
    metric: str | None = None,
    where: Expression | str | None = None,
    exact: bool = False,
) -> list[Verdict]:
    """Let the ``k`` nearest labelled images vote on the class of each photo.

    A neighbour's weight is ``exp(score / temperature)``, as in Wu et al., "Unsupervised Feature Learning via
    Non-Parametric Instance Discrimination", CVPR 2018, which also gives the temperature. The scores of L2 and
    L1 are divided by the neighbours' mean distance first, since they have no scale of their own.

    Args:
        index: where to search.
        images: files, open pictures or uint8 RGB arrays ``[h, w, 3]``.
        k: how many neighbours vote.
        temperature: above 0; the lower, the more the nearest neighbour decides.
        encoder: see :func:`~perisphere.search.search`; so with the other options.
        labels: the true labels, where they are known.
        exclude_self: leave a photo's own file out of its neighbours.
        metric: ``"cosine"``, ``"l2"`` or ``"l1"``.
        where: a filter on the neighbours.
        exact: search exactly even where the index was made with a recall.

    Raises:
        ImageError: a photo cannot be read.
        PerisphereError: no labelled image is found.
    """
    if not temperature > 0:
        raise UsageError(f"temperature {temperature} is not above 0. The default is {TEMPERATURE}.")
    labelled: Expression = Not(IsNull("label"))
    if where is not None:
        labelled = And((parse(where) if isinstance(where, str) else where, labelled))
    queries = [
        Query.of(
            image,
            k=k,
            label=label,
            exclude_self=exclude_self,
            metric=metric,
            where=labelled,
            exact=exact,
        )
        for image, label in zip(images, labels or [None] * len(images), strict=True)
    ]
    found = search(index, queries, encoder=encoder)
    return [_verdict(answer, found.metric, temperature, index) for answer in found.answers]


def vote(results: Sequence[Result], metric: str = "cosine", temperature: float = TEMPERATURE) -> list[Vote]:
    """Weigh labelled neighbours by class; the largest share first, ties by name."""
    scale = 1.0
    if metric != "cosine":
        scale = -sum(result.score for result in results) / len(results) or 1.0
    best = max(result.score for result in results)
    weights = [math.exp((result.score - best) / (temperature * scale)) for result in results]
    shares: dict[str, float] = defaultdict(float)
    voters: dict[str, list[Result]] = defaultdict(list)
    for result, weight in zip(results, weights, strict=True):
        label = str(result.label)
        shares[label] += weight / math.fsum(weights)
        voters[label].append(result)
    votes = [Vote(label, share, tuple(voters[label])) for label, share in shares.items()]
    return sorted(votes, key=lambda vote: (-vote.share, vote.label))


def _verdict(answer: Answer, metric: str, temperature: float, index: Index) -> Verdict:
    if not answer.results:
        raise PerisphereError(
            f"{answer.name}: no labelled image of {index.folder} is there to vote. "
            "Index images with labels, or loosen --filter."
        )
    votes = tuple(vote(answer.results, metric, temperature))
    note = f"vote: {votes[0].label} {votes[0].share:.0%}"
    return Verdict(replace(answer, note=note), votes)

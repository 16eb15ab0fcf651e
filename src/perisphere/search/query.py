"""The one type of query, which the command line, Python and the service fill in."""

import math
from dataclasses import dataclass
from typing import Any

from perisphere.errors import UsageError
from perisphere.index.filters import Expression, parse
from perisphere.search.ingredients import Ingredient
from perisphere.search.rerank.chain import Chain, parse_chain
from perisphere.sphere.geometry import check_metric

GAMMA = 0.5
"""Weight of the counter-examples, where nobody says."""
WORDS_WEIGHT = 0.5
"""Weight of the words beside a point, where nobody says."""


@dataclass(frozen=True)
class Example:
    """One thing that is liked or disliked.

    Attributes:
        what: a photo, a part of one, several photos, a row of the index, a point, a centroid, a class or a
            text.
        weight: how much it counts beside the other examples; finite, above 0.

    Raises:
        UsageError: a weight out of range.
    """

    what: Ingredient
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise UsageError(f"the weight {self.weight:g} is not a finite number above 0. Give one, e.g. 2.")


@dataclass(frozen=True)
class Query:
    """What is searched for, and how.

    The point of a query is the weighted mean direction of what is liked, less ``gamma`` times that of what is
    disliked (Rocchio 1971, on the sphere; :mod:`perisphere.search.points`). Words are sought in what is
    written about photos and in their regions; beside a point, both scores are joined
    (:mod:`perisphere.search.fusion`).

    Attributes:
        like: examples.
        unlike: counter-examples.
        words: text to be sought in labels, captions, categories, tags, concepts and regions.
        words_weight: share of the words in the score beside a point, 0..1; with 0 they are left out.
        gamma: weight of the counter-examples against examples; finite, at least 0; with 0 they are left out.
        by: ``"vectors"``, ``"words"`` or ``"regions"``: what a part of a photo is compared with, and where
            words are sought (``"words"``: in regions too); by default what the index is made for.
        k: how many results, at most.
        where: a filter on the catalog's columns, as text or parsed; kept parsed. Centroids are those of the
            photos that pass.
        among: ``"photos"``, ``"centroids"`` (one result a label), or ``"centroids-then-photos"``: the photos
            of the ``identities`` nearest centroids. By default photos, where the index keeps them.
        identities: how many centroids choose the photos; 10 by default.
        metric: ``"cosine"``, ``"l2"`` or ``"l1"``; the index's own by default.
        min_score: leave out results that score lower.
        min_precision: leave out results below the score from which this share is right, by the calibration.
        exact: search exactly even where the index was made with a recall or with codes.
        shortlist: of an index with codes, how many of the best are ranked by their vectors; 0 ranks by codes.
        symmetric: search an index with codes by the codes of the queries too.
        rerank: re-rankers, as text or parsed; kept parsed. Scores, precisions and cut-offs stay those of the
            search itself; the score of the re-ranking stands beside them.
        exclude_self: leave the files that are liked out of the results, and out of the centroids found. Rows
            of the index are left out of results in any case.
        label: the true label; else a photo that is in the index has its label there.

    Raises:
        UsageError: nothing to search for, or an option out of range.
    """

    like: tuple[Example, ...] = ()
    unlike: tuple[Example, ...] = ()
    words: str | None = None
    words_weight: float = WORDS_WEIGHT
    gamma: float = GAMMA
    by: str | None = None
    k: int = 5
    where: Expression | str | None = None
    among: str | None = None
    identities: int | None = None
    metric: str | None = None
    min_score: float | None = None
    min_precision: float | None = None
    exact: bool = False
    shortlist: int | None = None
    symmetric: bool = False
    rerank: Chain | str | None = None
    exclude_self: bool = False
    label: str | None = None

    def __post_init__(self) -> None:
        if not self.like and self.words is None:
            more = "Counter-examples need an example or words beside them: name" if self.unlike else "Name"
            raise UsageError(f"there is no query. {more} at least one photo, class or text.")
        if self.k < 1:
            raise UsageError(f"k is {self.k}: ask for at least 1 result.")
        if not 0 <= self.words_weight <= 1:
            raise UsageError(f"the weight of the words is {self.words_weight:g}: give 0 to 1.")
        if not (math.isfinite(self.gamma) and self.gamma >= 0):
            raise UsageError(f"gamma is {self.gamma:g}: the counter-examples' weight is finite, at least 0.")
        check_least_score(self.min_score)
        if self.min_precision is not None and not 0 <= self.min_precision <= 1:
            raise UsageError(f"the least precision is {self.min_precision:g}: give 0 to 1, or leave it out.")
        if self.metric is not None:
            check_metric(self.metric)
        if isinstance(self.where, str):
            object.__setattr__(self, "where", parse(self.where))
        if isinstance(self.rerank, str):
            object.__setattr__(self, "rerank", parse_chain(self.rerank))

    @classmethod
    def of(cls, *like: Ingredient, **options: Any) -> "Query":
        """Return the query by these examples, of one weight; ``options`` are the other attributes."""
        return cls(tuple(map(Example, like)), **options)


def check_least_score(min_score: float | None) -> None:
    """Refuse a cut-off that is no number.

    Raises:
        UsageError: it is NaN.
    """
    if min_score is not None and math.isnan(min_score):
        raise UsageError("the least score is nan: give a number, or leave it out.")

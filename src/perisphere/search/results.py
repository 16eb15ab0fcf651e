"""What a search answers: each query with its results, best first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from perisphere.catalog.images import display
from perisphere.index.regions import Region
from perisphere.search.ingredients import ClassQuery, Ingredient, TextQuery, name_of, photos_of, sum_of, told
from perisphere.search.part import Part
from perisphere.search.query import Example, Query

Mark = Literal["right", "wrong", "ignored"]


@dataclass(frozen=True)
class Result:
    """One image of the index beside a query, or one centroid.

    Attributes:
        rank: from 1.
        id: its id in the index.
        score: higher is more alike: the cosine, or the negated distance.
        precision: share of right results from this score upwards; ``None`` where the index is not calibrated.
        label: its label, where it has one.
        path: its path in the catalog.
        file: where it lies, where the index knows.
        mark: what a ground truth says of it; ``None`` where only labels can tell.
        rerank: its score in the re-ranking, which decides the order; ``None`` without one.
        count: of a centroid, how many photos are behind it; its ``id`` is the centroid's then, and ``path``
            and ``file`` are those of its first photo.
        examples: of a centroid, the files of its first photos.
        regions: of the photo, those that were searched for, the best first.
        row: its row in the index, all columns; of a centroid, that of its first photo.
    """

    rank: int
    id: int
    score: float
    precision: float | None
    label: str | None
    path: str | None
    file: Path | None
    mark: Mark | None = None
    rerank: float | None = None
    count: int | None = None
    examples: tuple[Path, ...] = ()
    regions: tuple[Region, ...] = ()
    row: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Answer:
    """A query and its results.

    Attributes:
        image: what was asked: the one thing that a query consists of (a photo, several photos, a class, a
            text, ...), or the whole query where it has several examples, counter-examples, or words beside
            them.
        label: its label: given, or that of the same file in the index.
        results: best first.
        note: a line to be shown with the query, e.g. a verdict.
        words: the words that were sought, with what was found of them.
        road: how the results were found, e.g. ``"exact"``.
        metric: of the scores: ``"cosine"``, ``"l2"`` or ``"l1"``; ``"words"`` where words were sought, and
            e.g. ``"cosine + words"`` where both were joined.
        min_score: the cut-off, where there was one.
        rerank: the chain of re-rankers, where there was one.
        among: what was searched: ``"photos"``, ``"centroids"`` or ``"centroids-then-photos"``.
    """

    image: Ingredient | Query
    label: str | None
    results: tuple[Result, ...]
    note: str = ""
    words: TextQuery | None = None
    road: str = "exact"
    metric: str = "cosine"
    min_score: float | None = None
    rerank: str | None = None
    among: str = "photos"

    @property
    def name(self) -> str:
        """The printable name of the query."""
        if not isinstance(self.image, Query):
            return name_of(self.image)
        liked = [name_of(one.what) for one in self.image.like]
        words = [] if self.words is None else [repr(self.words.text)]
        disliked = [name_of(one.what) for one in self.image.unlike]
        return " + ".join([*([sum_of(liked)] if liked else []), *words]) + "".join(
            f" - {name}" for name in disliked
        )

    @property
    def like(self) -> tuple[Example, ...]:
        """What is liked; none of a query of words alone."""
        if isinstance(self.image, Query):
            return self.image.like
        return () if self.image is self.words else (Example(self.image),)

    @property
    def unlike(self) -> tuple[Example, ...]:
        """What is disliked."""
        return self.image.unlike if isinstance(self.image, Query) else ()

    @property
    def texts(self) -> tuple[TextQuery, ...]:
        """The texts of the query, with what was found of them; those that are points first."""
        points = [one.what for one in (*self.like, *self.unlike) if isinstance(one.what, TextQuery)]
        return (*points, *([] if self.words is None else [self.words]))

    def right(self, result: Result) -> bool | None:
        """Say whether a result is right, by its mark or the query's label; ``None`` where neither tells."""
        mark = self.mark(result)
        return None if mark in (None, "ignored") else mark == "right"

    def mark(self, result: Result) -> Mark | None:
        """Return the mark of a result, by the labels where it has none; ``None`` where these do not tell."""
        if result.mark is not None or self.label is None or result.label is None:
            return result.mark
        return "right" if self.label == result.label else "wrong"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        single, texts = self.image, self.texts
        return {
            "query": self.name,
            "class": single.name if isinstance(single, ClassQuery) else None,
            "text": " ".join(text.text for text in texts) or None,
            "tags": [tag for text in texts for tag in text.tags],
            "unknown": {word: list(near) for text in texts for word, near in text.unknown.items()},
            "concepts": [concept for text in texts for concept in text.concepts],
            "photos": [display(photo) for one in self.like for photo in photos_of(one.what)],
            "region": list(single.pixels) if isinstance(single, Part) else None,
            "like": [told(one.what) | {"weight": one.weight} for one in self.like],
            "unlike": [told(one.what) | {"weight": one.weight} for one in self.unlike],
            "words": None if self.words is None else self.words.text,
            "label": self.label,
            "metric": self.metric,
            "road": self.road,
            "results": [self._told(result) for result in self.results],
        }

    def _told(self, result: Result) -> dict[str, Any]:
        return {
            "rank": result.rank,
            "id": result.id,
            "count": result.count,
            "score": result.score,
            "rerank": result.rerank,
            "precision": result.precision,
            "label": result.label,
            "path": result.path,
            "file": None if result.file is None else display(result.file),
            "right": self.right(result),
            "regions": [region.to_dict() for region in result.regions],
        }


@dataclass(frozen=True)
class Results:
    """The answers to one search.

    Attributes:
        answers: one a query, in the order of the queries.
    """

    answers: tuple[Answer, ...]

    @property
    def road(self) -> str:
        """How they were found; all ways, where queries went several."""
        return self._all("road")

    @property
    def metric(self) -> str:
        """Of the scores; all metrics, where queries had several."""
        return self._all("metric")

    @property
    def among(self) -> str:
        """What was searched."""
        return self._all("among")

    @property
    def min_score(self) -> float | None:
        """The cut-off, where all queries had the same."""
        cuts = {answer.min_score for answer in self.answers}
        return cuts.pop() if len(cuts) == 1 else None

    @property
    def rerank(self) -> str | None:
        """The chain of re-rankers, where there was one."""
        return next((answer.rerank for answer in self.answers if answer.rerank is not None), None)

    def _all(self, name: str) -> str:
        return "; ".join(dict.fromkeys(getattr(answer, name) for answer in self.answers))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "among": self.among,
            "metric": self.metric,
            "road": self.road,
            "min_score": self.min_score,
            "rerank": self.rerank,
            "queries": [answer.to_dict() for answer in self.answers],
        }

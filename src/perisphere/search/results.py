"""What a search by image answers: each query with its results, best first."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from perisphere.catalog.images import display
from perisphere.index.regions import Region
from perisphere.search.ingredients import ClassQuery, Ingredient, TextQuery, name_of, photos_of
from perisphere.search.part import Part

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


@dataclass(frozen=True)
class Answer:
    """A query and its results.

    Attributes:
        image: the query: a photo, several photos, a class or a text.
        label: its label: given, or that of the same file in the index.
        results: best first.
        note: a line to be shown with the query, e.g. a verdict.
    """

    image: Ingredient
    label: str | None
    results: tuple[Result, ...]
    note: str = ""

    @property
    def name(self) -> str:
        """The printable name of the query."""
        return name_of(self.image)

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
        results = [
            {
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
            for result in self.results
        ]
        asked = self.image.name if isinstance(self.image, ClassQuery) else None
        text = self.image if isinstance(self.image, TextQuery) else None
        photos = [display(photo) for photo in photos_of(self.image)]
        return {
            "query": self.name,
            "class": asked,
            "text": None if text is None else text.text,
            "tags": [] if text is None else list(text.tags),
            "unknown": {} if text is None else {word: list(near) for word, near in text.unknown.items()},
            "concepts": [] if text is None else list(text.concepts),
            "photos": photos,
            "region": list(self.image.pixels) if isinstance(self.image, Part) else None,
            "label": self.label,
            "results": results,
        }


@dataclass(frozen=True)
class Results:
    """The answers to one search.

    Attributes:
        answers: one a query, in the order of the queries.
        road: how they were found, e.g. ``"exact"``.
        metric: ``"cosine"``, ``"l2"`` or ``"l1"``; ``"words"`` where texts were searched by their words.
        min_score: the cut-off, where there was one.
        rerank: the chain of re-rankers, where there was one.
        among: what was searched: ``"photos"``, ``"centroids"`` or ``"centroids-then-photos"``.
    """

    answers: tuple[Answer, ...]
    road: str
    metric: str
    min_score: float | None
    rerank: str | None = None
    among: str = "photos"

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

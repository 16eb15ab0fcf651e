"""What a search by image answers: each query with its results, best first."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image

from perisphere.catalog.images import display
from perisphere.errors import UsageError
from perisphere.index.regions import Region
from perisphere.search.part import Part

Source = Path | str | PIL.Image.Image | np.ndarray
"""A photo as a query: a file, an open picture, or uint8 RGB ``[h, w, 3]``."""


@dataclass(frozen=True)
class ClassQuery:
    """A class as a query, an inner one of the taxonomy too.

    Attributes:
        name: its id or name.
        title: what it is called; by default ``name``.
    """

    name: str
    title: str = ""


@dataclass(frozen=True)
class TextQuery:
    """Words as a query: the direction in which the tags lie that are in them, or the words themselves.

    Attributes:
        text: as it was typed.
        tags: those that were found in it, as the search tells.
        unknown: its other words, each with the tags that are spelled most like it, as the search tells; of a
            search by words, those that no photo has.
        concepts: those that were found in it, where words and regions are searched.
    """

    text: str
    tags: tuple[str, ...] = ()
    unknown: dict[str, tuple[str, ...]] = field(default_factory=dict)
    concepts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Photos:
    """Several photos of one thing as one query: their centroid is searched for.

    Attributes:
        photos: files, open pictures or arrays; at least one.
    """

    photos: tuple[Source, ...]

    def __post_init__(self) -> None:
        if not self.photos:
            raise UsageError("a query of several photos has none. Name at least one.")


Named = ClassQuery | TextQuery
"""A query without a photo."""
Query = Source | Photos | Part | Named
NAMED = 3


def photos_of(query: Query) -> tuple[Source, ...]:
    """Return the photos that a query consists of; a class or a text has none."""
    if isinstance(query, Photos):
        return query.photos
    if isinstance(query, Part):
        return (query.photo,)
    return () if isinstance(query, Named) else (query,)


def pictures_of(query: Query) -> tuple[Source, ...]:
    """Return what is embedded of a query: its photos, or the part of one."""
    return (query.picture,) if isinstance(query, Part) else photos_of(query)


def picture_of(query: Query) -> Source | None:
    """Return the one picture that a query is, ``None`` where it is none or several."""
    return None if isinstance(query, Named | Photos) else pictures_of(query)[0]


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

    image: Query
    label: str | None
    results: tuple[Result, ...]
    note: str = ""

    @property
    def name(self) -> str:
        """The printable name of the query."""
        if isinstance(self.image, ClassQuery):
            return self.image.title or self.image.name
        if isinstance(self.image, TextQuery):
            return self.image.text
        if isinstance(self.image, Photos):
            names = [display(photo) for photo in self.image.photos]
            more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
            return " + ".join([*names[:NAMED], *more])
        if isinstance(self.image, Part):
            return f"{display(self.image.photo)} {self.image.name}"
        return display(self.image)

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

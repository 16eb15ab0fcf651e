"""What a query is made of: photos, parts of photos, classes, texts, rows of the index, points, centroids."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from perisphere.catalog.images import display
from perisphere.errors import UsageError
from perisphere.search.part import Part
from perisphere.search.row import Row as Row
from perisphere.sphere.geometry import Vectors

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
    """A text as a query: its point by a joint encoder or by the tags in it, or the words themselves.

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
    """Several photos of one thing: their centroid is searched for.

    Attributes:
        photos: files, open pictures or arrays; at least one.
    """

    photos: tuple[Source, ...]

    def __post_init__(self) -> None:
        if not self.photos:
            raise UsageError("a query of several photos has none. Name at least one.")


@dataclass(frozen=True, eq=False)
class Point:
    """A point in the space of the index.

    Attributes:
        vector: floating ``[dim]``.
    """

    vector: Vectors


@dataclass(frozen=True)
class Centroid:
    """The centroid of the photos with a label; the index has to keep centroids.

    Attributes:
        label: the label.
    """

    label: str


Named = ClassQuery | TextQuery
"""What has a name and no photo."""
Ingredient = Source | Photos | Part | Row | Point | Centroid | ClassQuery | TextQuery
"""One thing that is liked or disliked."""
NAMED = 3


def photos_of(what: Ingredient) -> tuple[Source, ...]:
    """Return the photos that something consists of; a class or a text has none."""
    if isinstance(what, Photos):
        return what.photos
    if isinstance(what, Part):
        return photos_of(what.photo)
    if isinstance(what, Row):
        return () if what.file is None else (what.file,)
    return (what,) if isinstance(what, Source) else ()


def pictures_of(what: Ingredient) -> tuple[Source, ...]:
    """Return the pictures that show it: its photos, or the part of one."""
    return (what.picture,) if isinstance(what, Part) else photos_of(what)


def picture_of(what: object) -> Source | None:
    """Return the one picture that something is, ``None`` where it is none or several."""
    if isinstance(what, Row):
        return what.file
    if isinstance(what, Part):
        return what.picture
    return what if isinstance(what, Source) else None


def name_of(what: Ingredient) -> str:
    """Return its printable name."""
    match what:
        case ClassQuery():
            return what.title or what.name
        case TextQuery():
            return what.text
        case Photos():
            return sum_of([display(photo) for photo in what.photos])
        case Part():
            return f"{name_of(what.photo)} {what.name}"
        case Row():
            return what.path or f"image {what.id}"
        case Point():
            return f"point of {len(what.vector)} numbers"
        case Centroid():
            return f"centroid of {what.label}"
    return display(what)


def sum_of(names: Sequence[str]) -> str:
    """Return names as one, the first of many."""
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return " + ".join([*names[:NAMED], *more])


def told(what: Ingredient) -> dict[str, Any]:
    """Return plain values, for JSON."""
    match what:
        case ClassQuery():
            return {"class": what.name}
        case TextQuery():
            return {"text": what.text}
        case Photos():
            return {"photos": [display(photo) for photo in what.photos]}
        case Part():
            return told(what.photo) | {"region": list(what.box)}
        case Row():
            return {"id": what.id}
        case Point():
            return {"vector": len(what.vector)}
        case Centroid():
            return {"label": what.label}
    return {"photo": display(what)}

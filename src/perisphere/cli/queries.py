"""Queries from what is named on the command line of ``perisphere search``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.search import Example, Ingredient, Query


@dataclass(frozen=True)
class Asked:
    """What is named on the command line.

    Attributes:
        photos: files.
        regions: a part of each photo, by file or by id, or one for all.
        ids: photos of the index.
        classes: names of classes.
        texts: points where ``joined`` says so, else words.
        unlike: files or ids of counter-examples, of every query.
        weights: of the examples of the one query that there is.
        labels: true labels of the photos.
        each: search with each photo by itself.
        together: all that is named is one query.
    """

    photos: Sequence[Path] = ()
    regions: Sequence[str] = ()
    ids: Sequence[int] = ()
    classes: Sequence[str] = ()
    texts: Sequence[str] = ()
    unlike: Sequence[str] = ()
    weights: Sequence[float] = ()
    labels: Sequence[str] = ()
    each: bool = False
    together: bool = False

    def queries(self, *, texts_are_points: bool, **options: Any) -> "list[Query]":
        """Return the queries: photos are one or one each, each class and each text is one; or all are one.

        Args:
            texts_are_points: whether a text is an example; else its words are sought.
            **options: attributes of all queries.

        Raises:
            UsageError: options that do not go together.
        """
        from perisphere.search import ClassQuery, Query, TextQuery

        if self.each and self.together:
            raise UsageError(
                "--each searches with each photo by itself, --together with all at once: choose one."
            )
        photos = self._photos()
        named: list[Ingredient] = [*map(ClassQuery, self.classes)]
        named += [TextQuery(text) for text in self.texts if texts_are_points]
        words = [text for text in self.texts if not texts_are_points]
        if self.together:
            groups = [[*photos, *named]]
            said: list[str | None] = [" ".join(words) or None]
        else:
            asked = [[photo] for photo in photos] if self.each else [photos] if photos else []
            groups = [*asked, *([one] for one in named)]
            said = [*[None] * len(groups), *words]
            groups += [[] for _ in words]
        likes = self._weighted(groups)
        unlike = tuple(map(_counter_example, self.unlike))
        labels = self._labels(len(photos), len(groups))
        return [
            Query(like, unlike, text, label=label, **options)
            for like, text, label in zip(likes, said, labels, strict=True)
        ]

    def _photos(self) -> "list[Ingredient]":
        """Give every photo, by file or by id, its region: one for all, or one each."""
        from perisphere.search import Row
        from perisphere.search.part import Part, parse_box

        photos: list[Path | Row] = [*self.photos, *map(Row, self.ids)]
        if not self.regions:
            return list(photos)
        count = len(photos)
        if not count or (count > 1 and not self.each and not self.together):
            raise UsageError("--region is a part of a photo: name one photo, or several with --each.")
        if len(self.regions) not in (1, count):
            raise UsageError(
                f"{len(self.regions)} regions for {count} photos. Give one for all, or one a photo."
            )
        boxes = [parse_box(region) for region in self.regions]
        return [Part(photo, box) for photo, box in zip(photos, boxes * (count // len(boxes)), strict=True)]

    def _weighted(self, groups: "Sequence[Sequence[Ingredient]]") -> "list[tuple[Example, ...]]":
        from perisphere.search import Example

        if not self.weights:
            return [tuple(map(Example, group)) for group in groups]
        if len(groups) != 1:
            raise UsageError(
                f"--weight compares the examples of one query, and there are {len(groups)}: make them one "
                "with --together, or leave it out."
            )
        if len(self.weights) != len(groups[0]):
            raise UsageError(
                f"{len(self.weights)} weights for {len(groups[0])} examples. Give one each, in the order "
                "photos, --id, --class, --text."
            )
        return [tuple(map(Example, groups[0], self.weights))]

    def _labels(self, photos: int, queries: int) -> list[str | None]:
        """Give the queries of photos, which come first, their labels."""
        asked = photos if self.each else min(photos, 1)
        given = each_label(list(self.labels), asked) or [None] * asked
        return [*given, *[None] * (queries - asked)]


def each_label(labels: list[str] | None, photos: int) -> list[str | None] | None:
    """Give every photo its label: one for all, or one each."""
    if not labels:
        return None
    if len(labels) != photos and (len(labels) > 1 or not photos):
        raise UsageError(f"{len(labels)} labels for {photos} queries. Give one a query.")
    return [*(labels * photos if len(labels) == 1 else labels)]


def _counter_example(text: str) -> "Example":
    from perisphere.search import Example, Row

    return Example(Row(int(text)) if text.isascii() and text.isdigit() else Path(text))

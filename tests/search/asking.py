"""One query for each picture, class or text, with options of all."""

from collections.abc import Sequence
from typing import Any

from perisphere.index import Index
from perisphere.search import Ingredient, Query, Results, search

SPACES = ("encoder", "classes", "tags", "vocabulary")


def ask(
    index: Index,
    things: Sequence[Ingredient],
    k: int = 5,
    *,
    labels: Sequence[str | None] | None = None,
    **options: Any,
) -> Results:
    spaces = {name: options.pop(name) for name in SPACES if name in options}
    known = labels or [None] * len(things)
    queries = [
        Query.of(thing, k=k, label=label, **options) for thing, label in zip(things, known, strict=True)
    ]
    return search(index, queries, **spaces)

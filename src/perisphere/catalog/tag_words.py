"""The words of photos that tags are made of, and that photos with tags are learned from."""

from collections.abc import Iterator, Sequence

import polars as pl

from perisphere.tags.words import words_of

SOURCES = {"tags": "tags", "captions": "caption", "categories": "categories", "concepts": "concepts"}
"""What words may come from: the name of each column as users know it, and that in a catalog."""


def tag_words(table: pl.DataFrame, sources: Sequence[str]) -> Iterator[list[str]]:
    """Yield the words of each photo out of the named columns of a catalog's table.

    Args:
        table: of :class:`~perisphere.catalog.Catalog`.
        sources: keys of :data:`SOURCES`, at least one.
    """
    for row in table.select(SOURCES[name] for name in sources).iter_rows():
        words: list[str] = []
        for name, value in zip(sources, row, strict=True):
            words += words_of(value or "") if name == "captions" else value
        yield words

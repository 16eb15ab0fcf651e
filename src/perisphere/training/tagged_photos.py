"""The photos of one data set that are learned from by their tags."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.catalog import Catalog
from perisphere.catalog.tag_words import SOURCES, tag_words
from perisphere.errors import PerisphereError
from perisphere.tags.tags import Tags
from perisphere.training.judged_photos import judged, judged_rows
from perisphere.training.photos import LabelledData, Photos, fingerprint, held_out, of_split, open_catalog
from perisphere.training.recipe import Data, Judge

TAGGED = "photos with a known tag"


@dataclass(frozen=True)
class TaggedData(LabelledData):
    """Photos with tags; their targets are their numbers, those to learn from first. There are no classes.

    Attributes:
        indptr: int64 ``[n + 1]``, where the tags of each photo begin in ``indices``.
        indices: int64, rows of tags.
    """

    indptr: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    indices: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


def tagged_data(
    data: Data,
    tags: Tags,
    seed: int,
    *,
    judge: Judge | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> TaggedData:
    """Read the photos that a data entry of a recipe names and that have a known tag.

    Raises:
        PerisphereError: a split without such photos, or nothing to judge by.
    """
    catalog = open_catalog(data)
    notes: list[str] = []
    rows = _with_tag(catalog, tags, data, notes)
    train, val = of_split(rows, data.train, "train", catalog, TAGGED), None
    if data.val_fraction is not None:
        train, val = held_out(train, data.val_fraction, seed)
    elif data.val is not None:
        val = of_split(rows, data.val, "val", catalog, TAGGED)
    sides = None if judge is None else judged_rows(catalog, judge)
    for note in notes:
        tell(note)
    parts = [train, *([] if val is None else [val])]
    indptr, indices = tags.rows(words for part in parts for words in tag_words(part, _sources(tags)))
    digest = hashlib.sha256(
        f"{fingerprint([*parts, *(sides or ())], catalog.root)} {tags.fingerprint}".encode()
    )
    for array in (indptr, indices):
        digest.update(array.tobytes())
    return TaggedData(
        [],
        _numbered(train, 0, catalog.root),
        None if val is None else _numbered(val, len(train), catalog.root),
        digest.hexdigest()[:16],
        notes,
        None if sides is None else judged(catalog.root, sides),
        indptr,
        indices,
    )


def _with_tag(catalog: Catalog, tags: Tags, data: Data, notes: list[str]) -> pl.DataFrame:
    """Return the rows with a known tag, and count the others of the splits that are looked at."""
    table = catalog.table
    indptr, _ = tags.rows(tag_words(table, _sources(tags)))
    known = np.diff(indptr) > 0
    if not known.any():
        raise PerisphereError(
            f"{catalog.root}: no photo has a tag of quantization.tags ({tags!r}). Build the tags from this "
            "catalog with `perisphere tags build`."
        )
    looked_at = np.ones(len(table), bool)
    if data.train is not None:
        looked_at = table["split"].is_in([data.train, data.val or data.train]).fill_null(False).to_numpy()
    if without := int((looked_at & ~known).sum()):
        notes.append(
            f"{catalog.root}: {without} of {int(looked_at.sum())} photos have no known tag and are left out."
        )
    return table.filter(known).with_columns(pl.col("label").fill_null(""))  # which says how to hold out


def _sources(tags: Tags) -> list[str]:
    """Return what the tags were made from, which photos are learned from too; published ones were typed."""
    made = tags.about.get("from")
    known = [name for name in made if name in SOURCES] if isinstance(made, list) else []
    return known or ["tags"]


def _numbered(rows: pl.DataFrame, first: int, root: Path) -> Photos:
    numbers = np.arange(first, first + len(rows), dtype=np.int64)
    return Photos([root / path for path in rows["path"].to_list()], numbers)

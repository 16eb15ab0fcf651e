"""The concepts of a catalog's photos out of what is written about them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from perisphere.catalog.catalog import Catalog, Skipped
from perisphere.catalog.readers.wikiscenes_lists import category_names, find_lists, read_list
from perisphere.errors import PerisphereError
from perisphere.progress import track
from perisphere.tags.architecture import CONCEPTS
from perisphere.tags.concepts.agreement import Agreement, agreement
from perisphere.tags.concepts.balancing import thin
from perisphere.tags.concepts.concept_words import ConceptWords
from perisphere.tags.concepts.labelling import Labelled, PhotoText, label


@dataclass
class ClassCounts:
    """What became of one concept.

    Attributes:
        primary: photos that it is the primary concept of.
        related: photos that have it at all.
        places: where it was named, for primary ones, by number of photos.
        hints: primary ones that only a hint named.
        thinned: photos that lost it, and their other concepts, because there were too many.
        words: that named it, by number of photos.
    """

    primary: int = 0
    related: int = 0
    places: Counter[str] = field(default_factory=Counter)
    hints: int = 0
    thinned: int = 0
    words: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class LabelledCatalog:
    """A catalog with concepts.

    Attributes:
        catalog: the same photos; ``concepts`` are the primary one, then those of categories above.
        classes: what became of each concept.
        unlabelled: photos whose texts name none.
        untold: those of them that have neither caption nor categories.
    """

    catalog: Catalog
    classes: dict[str, ClassCounts]
    unlabelled: int
    untold: int


def texts_of(table: pl.DataFrame) -> Iterator[PhotoText]:
    """Yield what is written about each photo of a catalog's table.

    The landmark is the label; where the first category is the label too, it is none of the categories.
    """
    for caption, categories, name in table.select("caption", "categories", "label").iter_rows():
        below = categories[1:] if categories and categories[0] == name else categories
        yield PhotoText(caption or "", tuple(category for category in below if category), name or "")


def texts_of_lists(folder: Path, bad: list[Skipped]) -> Iterator[PhotoText]:
    """Yield what the lists of WikiScenes in a folder say of each photo; no photo needs to be there.

    Args:
        folder: of the lists.
        bad: takes the lines that have another form.

    Raises:
        PerisphereError: the folder has no list, or one cannot be read.
    """
    lists = find_lists(folder)
    if not lists:
        raise PerisphereError(f"{folder}: holds no list train*.txt, val_easy*.txt or val*.txt (or .gz).")
    photos = [photo for split, file in lists.items() for photo in read_list(file, split, bad)]
    names = category_names(photos)
    for photo in photos:
        found = tuple(names[folder] for folder in photo.folders if folder in names)
        yield PhotoText(photo.caption, found, Path(photo.path).parts[2])


def label_catalog(
    catalog: Catalog,
    words: ConceptWords,
    *,
    first: str | None = "en",
    inherit: bool = False,
    balance: int | None = None,
    seed: int = 0,
) -> LabelledCatalog:
    """Give each photo the concepts that its texts name; those that it had are forgotten.

    Args:
        catalog: of photos with captions or categories.
        words: which words mean what.
        first: see :func:`~perisphere.tags.concepts.labelling.label`.
        inherit: see there too.
        balance: at most so many photos to a primary concept, in the split ``train`` where there is one, else
            in the whole catalog. The others stay in the catalog without concepts.
        seed: of the choice.

    Raises:
        PerisphereError: no photo has a caption or a category, or none names a concept.
    """
    texts = list(texts_of(catalog.table))
    if not any(text.caption or text.categories for text in texts):
        raise PerisphereError(
            f"{catalog.root}: no photo has a caption or categories that concepts come from."
        )
    found = [
        label(text, words, first=first, inherit=inherit) for text in track(texts, "labelling", unit="photos")
    ]
    if not any(one.concepts for one in found):
        raise PerisphereError(
            f"{catalog.root}: no text names one of the {len(words.concepts)} concepts "
            f"({words.concepts[0]} ...). Give their words with --mapping."
        )
    kept = _kept(catalog, found, balance, seed)
    classes = {name: ClassCounts() for name in words.concepts}
    for one, keep in zip(found, kept, strict=True):
        _count(classes, one, keep)
    concepts = [list(one.concepts) if keep else [] for one, keep in zip(found, kept, strict=True)]
    column = pl.Series("concepts", concepts, pl.List(pl.String()))
    blank = [text for text, one in zip(texts, found, strict=True) if not one.concepts]
    return LabelledCatalog(
        catalog.with_table(catalog.table.with_columns(column)),
        classes,
        unlabelled=len(blank),
        untold=sum(not text.caption and not text.categories for text in blank),
    )


def compare_catalogs(ours: Catalog, published: Catalog, split: str | None = None) -> Agreement:
    """Return how far the concepts of two catalogs agree, on the photos that both have under one path.

    Only photos with published concepts count: of the others nobody said what they show.

    Args:
        ours: with concepts.
        published: with concepts.
        split: of the published catalog, or all.

    Raises:
        PerisphereError: they share no path, or no shared photo has published concepts.
    """
    theirs = published.select(split=split).table.select("path", "concepts")
    told = theirs.filter(pl.col("concepts").list.len() > 0)
    both = told.join(ours.table.select("path", "concepts"), on="path", how="inner", suffix="_ours")
    if both.is_empty():
        raise PerisphereError(
            f"{published.root}: no photo with concepts has the path of one in {ours.root}. "
            "Read both from the same root."
        )
    mine, true = both["concepts_ours"].to_list(), both["concepts"].to_list()
    return agreement(mine, true, class_order([*true, *mine]))


def class_order(concepts: Sequence[Sequence[str]]) -> list[str]:
    """Return the concepts that occur: those of WikiScenes in their order, then the others by name."""
    found = {name for names in concepts for name in names}
    return [*(name for name in CONCEPTS if name in found), *sorted(found.difference(CONCEPTS))]


def _kept(catalog: Catalog, found: Sequence[Labelled], balance: int | None, seed: int) -> Sequence[bool]:
    """Tell which photos keep their concepts."""
    if balance is None:
        return [True] * len(found)
    learned = "train" if "train" in catalog.splits() else None
    splits = catalog.table["split"].to_list()
    counted = [
        one.concepts[0] if one.concepts and learned in (None, split) else None
        for one, split in zip(found, splits, strict=True)
    ]
    kept: list[bool] = thin(counted, catalog.labels(), balance, seed).tolist()
    return kept


def _count(classes: dict[str, ClassCounts], one: Labelled, keep: bool) -> None:
    if not one.concepts:
        return
    first = classes[one.concepts[0]]
    if not keep:
        first.thinned += 1
        return
    first.primary += 1
    first.hints += one.hint
    first.places[one.place] += 1
    first.words[one.word] += 1
    for name in one.concepts:
        classes[name].related += 1

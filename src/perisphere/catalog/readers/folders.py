"""A class per directory."""

from collections import defaultdict
from pathlib import Path

from perisphere.catalog.readers.listing import SPLIT_FOLDERS, Listing, split_name, walk

Category = tuple[str, ...]


def list_images(root: Path) -> Listing:
    """List images whose folders are their classes.

    A top folder named train, val, validation, test, query, gallery or index is a split and no part of the
    class. The folders below it, from the top down, are the categories; the innermost is the label. Where the
    same name stands under different parents (``old/tower``, ``new/tower``) the label is the whole path joined
    by ``/``. Images that lie in no class folder have no label.
    """
    listing = walk(root)
    places = [place(row["path"]) for row in listing.rows]
    labels = _labels({category for _, category in places})
    for row, (split, category) in zip(listing.rows, places, strict=True):
        row.update(split=split, label=labels[category], categories=list(category))
    return listing


def place(path: str) -> tuple[str | None, Category]:
    """Return the split and the categories that the folders of a path name."""
    parents = tuple(path.split("/")[:-1])
    if parents and parents[0].lower() in SPLIT_FOLDERS:
        return split_name(parents[0].lower()), parents[1:]
    return None, parents


def _labels(categories: set[Category]) -> dict[Category, str | None]:
    same_leaf: dict[str, set[Category]] = defaultdict(set)
    for category in categories:
        if category:
            same_leaf[category[-1]].add(category)
    return {
        category: None
        if not category
        else category[-1]
        if len(same_leaf[category[-1]]) == 1
        else "/".join(category)
        for category in categories
    }

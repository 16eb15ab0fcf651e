"""The ranks of iNaturalist's categories as a taxonomy.

Source: the JSON files of the iNaturalist competitions of 2018 and 2019 (github.com/visipedia/inat_comp).
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from perisphere.errors import PerisphereError, nearest
from perisphere.taxonomy.relations import Id
from perisphere.taxonomy.taxonomy import Taxonomy
from perisphere.taxonomy.text import read_text

TOP = "__NULL__"
RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")


def read_inaturalist(path: Path, supercategory: str | None = None) -> Taxonomy:
    """Read a JSON file's categories: kingdom, phylum, class, order, family, genus, the category's id.

    All kingdoms hang under ``__NULL__``. Ids are texts; a category is called by its ``name``. A rank that has
    the name of the one above it is no node of its own.

    Args:
        path: such as ``categories.json``, ``train2018.json`` or ``val2019.json``.
        supercategory: take the categories of this one only, such as ``Aves``.

    Raises:
        PerisphereError: the file is no such JSON, a category lacks a rank, or none is of the super-category.
    """
    path = Path(path)
    categories = _categories(path)
    known = sorted({str(each.get("supercategory")) for each in categories})
    if supercategory is not None:
        categories = [each for each in categories if each.get("supercategory") == supercategory]
    if not categories:
        hint = nearest(str(supercategory), known) or f" There are {', '.join(known[:12])}."
        raise PerisphereError(f"{path}: no category is of super-category {supercategory!r}.{hint}")
    pairs: dict[tuple[Id, Id], None] = {}
    names: dict[Id, str] = {}
    for category in categories:
        chain = [TOP, *_chain(path, category)]
        pairs.update(dict.fromkeys((a, b) for a, b in pairwise(chain) if a != b))
        if isinstance(category.get("name"), str):
            names[chain[-1]] = category["name"]
    return Taxonomy(pairs, names, where=lambda number: f"{path}: relation {number + 1}")


def _categories(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise PerisphereError(f"{path}: is no JSON ({error}). Get it again.") from error
    categories = content.get("categories") if isinstance(content, dict) else content
    if not isinstance(categories, list) or not all(isinstance(each, dict) for each in categories):
        raise PerisphereError(f"{path}: has no list 'categories'.")
    return categories


def _chain(path: Path, category: dict[str, Any]) -> list[str]:
    """Return the ranks of a category and its id, as ids without blanks."""
    values = [category.get(rank) for rank in (*RANKS, "id")]
    for rank, value in zip((*RANKS, "id"), values, strict=True):
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            raise PerisphereError(f"{path}: category {category.get('id')!r}: has no {rank!r}.")
    return ["_".join(str(value).split()) for value in values]

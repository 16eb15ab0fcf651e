"""iNaturalist 2018 and 2019: ``trainYEAR.json`` and ``valYEAR.json`` in the manner of COCO.

Source: Van Horn et al., "The iNaturalist Species Classification and Detection Dataset", CVPR 2018.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.coco import parse
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import class_labels, is_inside
from perisphere.errors import PerisphereError, UsageError, nearest

_RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")
_KEPT = frozenset(("id", "name", "supercategory", "file_name", "image_id", "category_id", *_RANKS))
_LISTS = ("images", "annotations", "categories")


def list_images(root: Path, *, year: int | None = None, supercategory: str | None = None) -> Listing:
    """List iNaturalist: splits ``train`` and ``val``; labels are the categories' names.

    A class's id is its category's, also in a super-category. Categories go from the kingdom to the species
    where the file has them, else from the super-category.

    Args:
        root: the folder that holds the JSON files, and the photos that they name.
        year: 2018 or 2019; found by itself where the folder holds one of them.
        supercategory: read only its classes, such as ``Aves``; case does not matter.

    Raises:
        UsageError: an unknown super-category.
        PerisphereError: no file, or one that is damaged or names a category that is not there.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    year = _year(root) if year is None else year
    listing = Listing(root)
    for split in ("train", "val"):
        file = root / f"{split}{year}.json"
        content = parse(file, _LISTS, _KEPT)
        categories = _chosen(file, content["categories"], supercategory)
        labels = class_labels({id: str(category["name"]) for id, category in categories.items()})
        if not set(labels.items()) <= set((listing.classes or labels).items()):
            raise PerisphereError(f"{file}: its categories are not those of train{year}.json.")
        listing.classes = listing.classes or labels
        _add(listing, file, split, content, categories)
    return listing


def _year(root: Path) -> int:
    years = [year for year in (2018, 2019) if (root / f"train{year}.json").is_file()]
    if len(years) != 1:
        has = "both train2018.json and" if years else "neither train2018.json nor"
        mend = " Choose one with --year." if years else ""
        raise PerisphereError(f"{root}: holds {has} train2019.json.{mend}")
    return years[0]


def _chosen(
    file: Path, categories: list[dict[str, Any]], supercategory: str | None
) -> dict[str, dict[str, Any]]:
    """Return category by id, in the order of the ids, of one super-category or of all."""
    if not all(type(category.get("id")) is int and category.get("name") for category in categories):
        raise PerisphereError(f"{file}: a category has no id or no name. Get it again.")
    known = sorted({str(category.get("supercategory", "")) for category in categories})
    if supercategory is not None and supercategory.lower() not in map(str.lower, known):
        mend = nearest(supercategory, known) or f" They are {', '.join(known)}."
        raise UsageError(f"supercategory: {supercategory!r} is not in {file.name}.{mend}")
    return {
        str(category["id"]): category
        for category in sorted(categories, key=lambda category: category["id"])
        if supercategory is None or str(category.get("supercategory", "")).lower() == supercategory.lower()
    }


def _add(
    listing: Listing,
    file: Path,
    split: str,
    content: Mapping[str, list[dict[str, Any]]],
    chosen: Mapping[str, dict[str, Any]],
) -> None:
    paths = {str(image.get("id")): image.get("file_name") for image in content["images"]}
    known = {str(category["id"]) for category in content["categories"]}
    ancestors = {id: _ancestors(category, listing.classes[id]) for id, category in chosen.items()}
    for number, annotation in enumerate(content["annotations"]):
        id, path = str(annotation.get("category_id")), paths.get(str(annotation.get("image_id")))
        where = f"{file.name}: annotation {number}"
        if id not in known or not isinstance(path, str):
            listing.bad.append(Skipped(where, "names a category or an image that is not there"))
        elif not is_inside(path):
            listing.bad.append(Skipped(path, "leads out of the folder of photos"))
        elif id in chosen:
            row = {"path": path, "split": split, "label": listing.classes[id], "categories": ancestors[id]}
            listing.rows.append(row)


def _ancestors(category: Mapping[str, Any], label: str) -> list[str]:
    ranks = _RANKS if "kingdom" in category else ("supercategory",)
    above = [category.get(rank) for rank in ranks]
    return [*(str(name) for name in above if name), label]

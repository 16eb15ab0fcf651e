"""What is in a catalog, as plain values."""

from collections import Counter
from typing import Any

import polars as pl

from perisphere.catalog.catalog import Catalog, Skipped


def summary(catalog: Catalog) -> dict[str, Any]:
    """Return counts and ranges as JSON values.

    Keys: ``images``, ``unlabelled``, ``classes``, ``class_size`` (min, median, max), ``splits`` (name to
    images and classes; rows in no split under ``""``), ``cameras``, ``domains``, ``tags``, ``categories`` and
    ``concepts`` (how many different), ``tagged``, ``captioned``, ``boxed`` (how many images), ``width`` and
    ``height`` (min, median, max in pixels), ``keypoints``, ``masks``, ``regions``, ``skipped`` (reason to
    files), ``root`` and ``source``.
    """
    table = catalog.table
    sizes = table["label"].drop_nulls().value_counts()["count"]
    return {
        "images": len(catalog),
        "unlabelled": table["label"].null_count(),
        "classes": len(sizes),
        "class_size": _range(sizes),
        "splits": _splits(catalog),
        "cameras": table["camera"].drop_nulls().n_unique(),
        "domains": table["domain"].drop_nulls().n_unique(),
        "tags": _different(table["tags"]),
        "tagged": int((table["tags"].list.len() > 0).sum()),
        "categories": _different(table["categories"]),
        "concepts": _different(table["concepts"]),
        "captioned": table["caption"].count(),
        "boxed": table["box"].count(),
        "width": _range(table["width"]),
        "height": _range(table["height"]),
        "keypoints": catalog.keypoint_count(),
        "masks": 0 if catalog.masks is None else catalog.masks.height,
        "regions": 0 if catalog.regions is None else catalog.regions.height,
        "skipped": skipped_by_reason(catalog.skipped),
        "root": str(catalog.root),
        "source": catalog.source,
    }


def skipped_by_reason(skipped: list[Skipped]) -> dict[str, int]:
    """Return reason to number of files, the most frequent first."""
    return dict(Counter(item.group for item in skipped).most_common())


def _splits(catalog: Catalog) -> dict[str, dict[str, int]]:
    found = {}
    for name in [*catalog.splits(), ""]:
        here = pl.col("split").is_null() if name == "" else pl.col("split") == name
        labels = catalog.table.filter(here)["label"]
        if len(labels):
            found[name] = {"images": len(labels), "classes": labels.drop_nulls().n_unique()}
    return found


def _different(lists: pl.Series) -> int:
    return lists.explode(empty_as_null=True).drop_nulls().n_unique()


def _range(values: pl.Series) -> dict[str, float] | None:
    values = values.drop_nulls()
    if values.is_empty():
        return None
    numbers = values.to_numpy()
    return {"min": int(numbers.min()), "median": float(values.median()), "max": int(numbers.max())}  # type: ignore[arg-type]

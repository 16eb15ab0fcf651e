"""Photos of users and shops as three COCO files whose annotations have ``pair_id`` and ``source``.

Source: the layout of Wieczorek et al., "On the Unreasonable Effectiveness of Centroids in Image Retrieval",
ICONIP 2021, for DeepFashion (consumer-to-shop) and Street2Shop.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.coco import corners, is_list, is_number, parse
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import is_inside
from perisphere.catalog.readers.pairs import CAMERAS, check_pairs
from perisphere.errors import PerisphereError

_KEPT = frozenset(("id", "file_name", "image_id", "pair_id", "source", "bbox", "category_id", "name"))


def list_images(
    root: Path, *, train: Path | None = None, query: Path | None = None, gallery: Path | None = None
) -> Listing:
    """List user-to-shop photos, a row an annotation: labels are pair_ids, domains ``user`` and ``shop``.

    The camera is 0 for training photos and queries and 1 for the gallery, as published. Training photos that
    are alone with their pair_id, and queries whose pair_id no shop photo of the gallery has, are left out and
    counted.

    Args:
        root: the folder of ``train/``, ``query/`` and ``gallery/``, where the images lie.
        train: the COCO file of the training photos; the only ``train*.json`` in ``root`` where not given.
        query: the same of the queries.
        gallery: the same of the gallery.

    Raises:
        PerisphereError: a file is missing or damaged, or one of several has to be chosen.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    listing = Listing(root)
    for split, given in (("train", train), ("query", query), ("gallery", gallery)):
        _add(listing, split, Path(given) if given is not None else _find(root, split))
    listing.check = check_pairs
    return listing


def _find(root: Path, split: str) -> Path:
    files = sorted(root.glob(f"{split}*.json"))
    if len(files) != 1:
        has = "several" if files else "no"
        raise PerisphereError(f"{root}: holds {has} {split}*.json. Name the file with --{split}.")
    return files[0]


def _add(listing: Listing, split: str, file: Path) -> None:
    content = parse(file, ("images", "annotations"), _KEPT)
    names = _by_id(file, content["images"], "file_name")
    categories = content.get("categories", [])
    kinds = _by_id(file, categories if is_list(categories) else [], "name")
    annotated = set()
    for number, annotation in enumerate(content["annotations"]):
        name = names.get(_key(annotation.get("image_id")))
        if name is None:
            where = f"{file.name}: annotation {annotation.get('id', number)}"
            listing.bad.append(Skipped(where, "annotation without its image"))
            continue
        annotated.add(name)
        row = _row(split, name, annotation, kinds)
        if isinstance(row, str):
            listing.bad.append(Skipped(f"{split}/{name}", row))
        else:
            listing.rows.append(row)
    bare = [name for name in names.values() if name not in annotated]
    listing.ignored += [Skipped(f"{split}/{name}", "image without an annotation") for name in bare]


def _by_id(file: Path, entries: list[dict[str, Any]], field: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entries:
        id, value = _key(entry.get("id")), entry.get(field)
        if not isinstance(value, str) or not value or id == "None":
            raise PerisphereError(f"{file}: an entry has no id or no {field}. Get it again.")
        if id in found:
            raise PerisphereError(f"{file}: the id {id[:80]} is there twice, so it names nothing for sure.")
        found[id] = value
    return found


def _key(id: object) -> str:
    return str(id)


def _row(
    split: str, name: str, annotation: Mapping[str, Any], kinds: Mapping[str, str]
) -> dict[str, Any] | str:
    """Return the row of an annotation, or why there is none."""
    pair, source = annotation.get("pair_id"), annotation.get("source")
    if not is_inside(name):
        return "leads out of the folder of photos"
    if type(pair) is not int or pair < 0:
        return "pair_id is no whole number from 0"
    if source not in ("user", "shop"):
        return "source is neither 'user' nor 'shop'"
    box = _box(annotation.get("bbox"))
    if isinstance(box, str):
        return box
    kind = kinds.get(_key(annotation.get("category_id")))
    return {
        "path": f"{split}/{name}",
        "split": split,
        "label": str(pair),
        "camera": CAMERAS[split],
        "domain": source,
        "categories": [kind] if kind else [],
        "stored_box": box,
    }


def _box(bbox: object) -> list[int] | str | None:
    """Return the corners of left, top, width and height, nothing where there is no box, or what is wrong."""
    if bbox is None or bbox in ("", []):
        return None
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(is_number, bbox)):
        return "bbox is not [left, top, width, height]"
    return corners(*bbox) or "box without an area"

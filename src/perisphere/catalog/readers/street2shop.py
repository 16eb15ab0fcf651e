"""Exact Street2Shop: the original JSON files, three a category.

Source: Hadi Kiapour et al., "Where to Buy It: Matching Street Clothing Photos in Online Shops", ICCV 2015;
what is query and what is gallery: Wieczorek et al., "On the Unreasonable Effectiveness of Centroids in Image
Retrieval", ICONIP 2021.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.images import SUFFIXES
from perisphere.catalog.readers.coco import corners, is_list, is_number, load
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.pairs import CAMERAS, check_pairs
from perisphere.errors import PerisphereError

_META = "meta/json"
_KINDS = ("train_pairs", "test_pairs", "retrieval")
_SIDES = ("left", "top", "width", "height")


class _Item(NamedTuple):
    photo: int
    product: int
    bbox: dict[str, Any] | None


class _Category(NamedTuple):
    """The lists of a category: users' photos to train on and to ask with, and the shops' photos."""

    name: str
    train: list[_Item]
    test: list[_Item]
    retrieval: list[_Item]


def list_images(root: Path, *, images: Path | None = None) -> Listing:
    """List Street2Shop, a row a product in a photo: labels are numbers from 0, one a category's product.

    Training photos are the users' of ``train_pairs_*`` and the shops' of the same products; queries are those
    of ``test_pairs_*``; the gallery holds the shops' photos of all other products of all categories. Products
    are numbered by category and product id. Cameras, and what is left out, are as in ``fashion``.

    Args:
        root: the folder of ``meta/json`` and ``images``.
        images: the folder of the photos ``000000001.jpg`` ...; ``images`` in ``root`` where not given, or
            ``images_jpg``.

    Raises:
        PerisphereError: a file or folder is missing or of another form.
    """
    folder = _folder(root, images)
    listing = Listing(folder)
    photos = _photos(folder)
    first = 0
    for category in _categories(listing, root / _META):
        products = sorted({item.product for items in category[1:] for item in items})
        labels = {product: str(number) for number, product in enumerate(products, first)}
        first += len(products)
        _add(listing, category, labels, photos)
    listing.check = check_pairs
    return listing


def _folder(root: Path, images: Path | None) -> Path:
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    if images is not None:
        folders = [Path(images).absolute()]
    else:
        folders = [root / name for name in ("images", "images_jpg") if (root / name).is_dir()]
    if len(folders) != 1 or not folders[0].is_dir():
        has = "both images and images_jpg" if len(folders) > 1 else "no folder of images"
        where = folders[0] if images is not None else root
        raise PerisphereError(f"{where}: holds {has}. Name the folder of the photos with --images.")
    return folders[0]


def _photos(folder: Path) -> dict[int, str]:
    """Return file name by number; of one photo in two formats the first name."""
    found: dict[int, str] = {}
    for name in sorted(entry.name for entry in os.scandir(folder)):
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 (a name may hold bytes that are not UTF-8)
        if suffix.lower() in SUFFIXES and stem.isascii() and stem.isdigit():
            found.setdefault(int(stem), name)
    return found


def _categories(listing: Listing, meta: Path) -> list[_Category]:
    names = sorted(file.stem.removeprefix("retrieval_") for file in meta.glob("retrieval_*.json"))
    if not names:
        raise PerisphereError(f"{meta}: holds no image lists retrieval_*.json. Is the data set complete?")
    return [
        _Category(name, *(_items(listing, meta / f"{kind}_{name}.json") for kind in _KINDS)) for name in names
    ]


def _items(listing: Listing, file: Path) -> list[_Item]:
    entries = load(file)
    if not is_list(entries):
        raise PerisphereError(f"{file}: is no list of objects. Is it another data set's file?")
    items = []
    for number, entry in enumerate(entries):
        photo, product, bbox = (entry.get(name) for name in ("photo", "product", "bbox"))
        if type(photo) is int and type(product) is int and isinstance(bbox, dict | None):
            items.append(_Item(photo, product, bbox))
        else:
            reason = "photo or product is no whole number, or bbox no object"
            listing.bad.append(Skipped(f"{file.name}: entry {number}", reason))
    return items


def _add(listing: Listing, category: _Category, labels: dict[int, str], photos: dict[int, str]) -> None:
    trained = {item.product for item in category.train}
    shop_train = [item for item in category.retrieval if item.product in trained]
    gallery = [item for item in category.retrieval if item.product not in trained]
    for split, domain, items in (
        ("train", "user", category.train),
        ("train", "shop", shop_train),
        ("query", "user", category.test),
        ("gallery", "shop", gallery),
    ):
        for item in items:
            name, box = photos.get(item.photo), _box(item.bbox)
            if name is None:
                where = f"{category.name}: photo {item.photo:09d}"
                listing.bad.append(Skipped(where, "annotation without its image"))
            elif isinstance(box, str):
                listing.bad.append(Skipped(name, box))
            else:
                row = {"path": name, "split": split, "label": labels[item.product], "domain": domain}
                kind = {"camera": CAMERAS[split], "categories": [category.name], "stored_box": box}
                listing.rows.append(row | kind)


def _box(bbox: dict[str, Any] | None) -> list[int] | str | None:
    """Return the box's corners, nothing where there is no box, or what is wrong."""
    if bbox is None:
        return None
    if not all(is_number(bbox.get(side)) for side in _SIDES):
        return "bbox has not left, top, width and height"
    return corners(*(bbox[side] for side in _SIDES)) or "box without an area"

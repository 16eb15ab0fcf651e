"""WikiScenes: landmarks with captions, a tree of categories, lists of splits and keypoints.

Source: Wu, Averbuch-Elor, Sun, Snavely, "Towers of Babel: Combining Images, Language, and 3D Geometry for
Learning Multimodal Vision", ICCV 2021.
"""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.category_tree import RESPELLED, Picture, landmark_names, walk_tree
from perisphere.catalog.readers.keypoint_file import stream_keypoints
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import class_labels
from perisphere.catalog.readers.wikiscenes_lists import (
    ListedPhoto,
    category_names,
    find_lists,
    read_list,
    spelling,
)
from perisphere.errors import PerisphereError, UsageError

TOP = "WikiScenes"
TWICE = "photo that several lists name; the first counts"

Listed = dict[str, ListedPhoto]
"""Lines of lists by path, in the spelling that paths are compared by."""


def list_images(
    root: Path,
    *,
    kind: str | None = None,
    lists: Path | None = None,
    correspondences: Path | None = None,
    without_photos: bool | None = None,
) -> Listing:
    """List WikiScenes, a row a picture of its tree: labels are landmarks.

    ``categories`` go from the landmark to the leaf; ``concepts``, the primary one first, and the split are
    those of the lists: ``train*`` is ``train``, ``val_easy*`` (landmarks that training knows) ``val`` and
    ``val*`` (others) ``test``. Pictures in no list have neither. A photo is its path: the same name in
    another folder is another photo.

    Args:
        root: the folder of ``WikiScenes/KIND``, ``correspondence.json`` and ``data``; with ``without_photos``
            also a folder of lists alone.
        kind: ``cathedrals``, ``mosques`` or another folder of ``WikiScenes``; needed where there are several.
        lists: the folder of the lists, plain or ``.gz``; ``data`` in ``root`` if not given.
        correspondences: the file of keypoints; ``correspondence.json``, ``.json.zip`` or ``.json.gz`` in
            ``root`` if not given, for other kinds than cathedrals ``corr_KIND.json``.
        without_photos: keep every photo that ``category.json`` files name, or where there is no tree every
            photo of the lists, without looking at it; such a catalog has no sizes and no keypoints.

    Raises:
        PerisphereError: a folder or file is missing or has another form.
        UsageError: ``correspondences`` and ``without_photos``.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder of {TOP}.")
    if without_photos and correspondences is not None:
        raise UsageError("without_photos: keypoints need the sizes of photos; leave correspondences out.")
    listing = Listing(root, unseen=bool(without_photos))
    listed = _listed(root, lists, listing)
    kind = _kind(root, kind, needed=not (without_photos and listed))
    if kind is None:
        listing.later = _rows_of_lists(listed)
        return listing
    labels = class_labels(landmark_names(root, f"{TOP}/{kind}"))
    listing.classes = labels
    listing.later = _rows_of_tree(listing, f"{TOP}/{kind}", labels, listed)
    file = _correspondences(root, kind, correspondences)
    if file is not None and not without_photos:
        listing.side_tables = _keypoints(file, listing)
    return listing


def _kind(root: Path, kind: str | None, *, needed: bool) -> str | None:
    """Return the folder of ``WikiScenes`` to read; ``None`` where there is none and none is needed."""
    top = root / TOP
    found = sorted(folder.name for folder in top.iterdir() if folder.is_dir()) if top.is_dir() else []
    if kind is not None:
        if kind not in found:
            has = f"there is {', '.join(found)}" if found else f"there is no folder {TOP}"
            raise PerisphereError(f"{top / kind}: no such folder ({has}).")
        return kind
    if len(found) > 1:
        raise UsageError(f"{top}: holds {', '.join(found)}. Name one of them with --kind.")
    if not found and needed:
        raise PerisphereError(
            f"{root}: no image in {TOP}/cathedrals. Name the folder that holds {TOP}, "
            "or read its lists alone with --without-photos."
        )
    return found[0] if found else None


def _listed(root: Path, lists: Path | None, listing: Listing) -> Listed:
    """Return the lines of all lists; of a photo that stands in several the first."""
    folder = Path(lists).absolute() if lists is not None else root / "data"
    if lists is not None and not folder.is_dir():
        raise PerisphereError(f"{folder}: no such folder of lists.")
    files = find_lists(folder) or find_lists(root)
    if lists is not None and not files:
        raise PerisphereError(f"{folder}: holds no list train*.txt, val_easy*.txt or val*.txt.")
    listed: Listed = {}
    for split, file in files.items():
        for photo in read_list(file, split, listing.bad):
            if listed.setdefault(spelling(photo.path), photo) is not photo:
                listing.remarks.setdefault(TWICE, []).append(photo.path)
    return listed


def _rows_of_tree(
    listing: Listing, top: str, labels: dict[str, str], listed: Listed
) -> Iterator[dict[str, Any]]:
    missing = {key: photo for key, photo in listed.items() if photo.path.startswith(f"{top}/")}
    for picture in walk_tree(listing.root, top, listing):
        key = spelling(picture.path)
        entry = missing.pop(key, None)
        if entry is not None and entry.path != picture.path:
            listing.remarks.setdefault(RESPELLED, []).append(entry.path)
        yield _row(picture, entry or listed.get(key), labels)
    told = {spelling(item.path) for item in listing.bad}
    for key in sorted(missing.keys() - told):
        path = missing[key].path
        listing.bad.append(Skipped(path, "photo of a list is missing"))


def _row(picture: Picture, entry: ListedPhoto | None, labels: dict[str, str]) -> dict[str, Any]:
    """Return a row of the catalog; what the tree does not tell is taken from the list."""
    label = None if picture.number is None else labels.get(picture.number, picture.number)
    categories = [] if label is None else [label, *picture.categories[1:]]
    row = {"path": picture.path, "label": label, "categories": categories, "url": picture.url}
    if entry is None:
        return row | {"caption": picture.caption}
    caption = picture.caption or entry.caption.strip() or None
    concepts = list(dict.fromkeys(entry.labels))
    return row | {"caption": caption, "split": entry.split, "concepts": concepts}


def _rows_of_lists(listed: Listed) -> Iterator[dict[str, Any]]:
    """Yield a row for each line; a landmark is the number of its folder, since lists do not name it."""
    names = category_names(listed.values())
    for photo in listed.values():
        number = PurePosixPath(photo.path).parts[2]
        below = (names.get(folder, PurePosixPath(folder).name) for folder in photo.folders)
        yield _row(Picture(photo.path, number, (number, *below), None, None), photo, {})


def _correspondences(root: Path, kind: str, given: Path | None) -> Path | None:
    if given is not None:
        return Path(given).absolute()
    stem = "correspondence" if kind == "cathedrals" else f"corr_{kind}"
    files = [root / f"{stem}.json{packed}" for packed in ("", ".zip", ".gz")]
    return next((file for file in files if file.is_file()), None)


def _keypoints(file: Path, listing: Listing) -> Callable[[pl.DataFrame, Path], dict[str, pl.LazyFrame]]:
    def side_tables(table: pl.DataFrame, scratch: Path) -> dict[str, pl.LazyFrame]:
        photos = {
            spelling(path.split("/", 2)[2]): (id, width, height)
            for id, path, width, height in table.select("id", "path", "width", "height").iter_rows()
        }
        return {"keypoints": stream_keypoints(file, photos, scratch, listing.remarks, spelling)}

    return side_tables

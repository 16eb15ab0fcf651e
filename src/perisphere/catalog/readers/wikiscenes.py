"""WikiScenes: landmarks with captions, a tree of categories, lists of splits and keypoints.

Source: Wu, Averbuch-Elor, Sun, Snavely, "Towers of Babel: Combining Images, Language, and 3D Geometry for
Learning Multimodal Vision", ICCV 2021.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import polars as pl

from perisphere.catalog.catalog import MASKS, Skipped
from perisphere.catalog.readers.category_tree import RESPELLED, Picture, landmark_names, walk_tree
from perisphere.catalog.readers.colmap import colmap_keypoints
from perisphere.catalog.readers.keypoint_file import Place, stream_keypoints
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import class_labels
from perisphere.catalog.readers.wikiscenes_lists import (
    ListedPhoto,
    category_names,
    find_lists,
    read_list,
    spelling,
)
from perisphere.catalog.readers.wikiscenes_masks import PART, shown_concepts
from perisphere.errors import PerisphereError, UsageError
from perisphere.progress import track
from perisphere.tags.architecture import CONCEPTS

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
    colmap: Path | None = None,
    masks: Path | None = None,
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
        colmap: a folder of reconstructions to take the keypoints from instead, as ``WikiScenes3D``: a folder
            for each landmark, in it one for each text model of COLMAP.
        masks: a folder of label images, where there is one; the mask of ``4/1/pictures/NAME.jpg`` is
            ``4/1/pictures/NAME.png`` in it, in the form of ``wikiscenes-masks``. Not every photo needs one.
        without_photos: keep every photo that ``category.json`` files name, or where there is no tree every
            photo of the lists, without looking at it; such a catalog has no sizes and no keypoints.

    Raises:
        PerisphereError: a folder or file is missing or has another form.
        UsageError: options that exclude each other, or several kinds and none named.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder of {TOP}.")
    _check_options(correspondences, colmap, masks, unseen=bool(without_photos))
    listing = Listing(root, unseen=bool(without_photos))
    listed = _listed(root, lists, listing)
    kind = _kind(root, kind, needed=not (without_photos and listed))
    if kind is None:
        listing.later = _rows_of_lists(listed)
        return listing
    labels = class_labels(landmark_names(root, f"{TOP}/{kind}"))
    listing.classes = labels
    properties: dict[str, str] = {}
    listing.later = _rows_of_tree(listing, f"{TOP}/{kind}", labels, listed, properties)
    if colmap is None and not without_photos:
        correspondences = _correspondences(root, kind, correspondences)
    files = _Files(correspondences, colmap, masks, properties)
    listing.side_tables = partial(_side_tables, listing, files)
    listing.facts = {} if masks is None else {"concepts": list(CONCEPTS)}
    return listing


class _Files(NamedTuple):
    """Where the side tables come from: files and folders, and properties by path of the photo."""

    correspondences: Path | None
    colmap: Path | None
    masks: Path | None
    properties: dict[str, str]


def _check_options(
    correspondences: Path | None, colmap: Path | None, masks: Path | None, *, unseen: bool
) -> None:
    if correspondences is not None and colmap is not None:
        raise UsageError("correspondences and colmap: both hold keypoints; give one of them.")
    for name, given in (("correspondences", correspondences), ("colmap", colmap), ("masks", masks)):
        if unseen and given is not None:
            raise UsageError(f"without_photos: {name} needs the sizes of photos; leave {name} out.")
        if given is not None and name != "correspondences" and not Path(given).is_dir():
            raise PerisphereError(f"{given}: no such folder of {name}.")


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
    listing: Listing, top: str, labels: dict[str, str], listed: Listed, properties: dict[str, str]
) -> Iterator[dict[str, Any]]:
    missing = {key: photo for key, photo in listed.items() if photo.path.startswith(f"{top}/")}
    for picture in walk_tree(listing.root, top, listing):
        key = spelling(picture.path)
        entry = missing.pop(key, None)
        if entry is not None and entry.path != picture.path:
            listing.remarks.setdefault(RESPELLED, []).append(entry.path)
        if picture.properties is not None:
            properties[picture.path] = picture.properties
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
        if not Path(given).is_file():
            raise PerisphereError(f"{given}: no such file of keypoints.")
        return Path(given).absolute()
    stem = "correspondence" if kind == "cathedrals" else f"corr_{kind}"
    files = [root / f"{stem}.json{packed}" for packed in ("", ".zip", ".gz")]
    return next((file for file in files if file.is_file()), None)


def _side_tables(
    listing: Listing, files: _Files, table: pl.DataFrame, scratch: Path
) -> dict[str, pl.LazyFrame]:
    """Return properties, keypoints and masks, as far as there are some."""
    tables = {}
    if files.properties:
        told = pl.LazyFrame(list(files.properties.items()), ["path", "value"], orient="row")
        rows = table.lazy().join(told, on="path", maintain_order="left")
        tables["properties"] = rows.select(pl.col("id").alias("image"), "value")
    photos = {
        path.split("/", 2)[2]: (id, width, height)
        for id, path, width, height in table.select("id", "path", "width", "height").iter_rows()
    }
    spelled = {spelling(name): place for name, place in photos.items()}
    if files.colmap is not None:
        tables["keypoints"] = colmap_keypoints(files.colmap, spelled, scratch, listing.remarks)
    elif files.correspondences is not None:
        tables["keypoints"] = stream_keypoints(
            files.correspondences, spelled, scratch, listing.remarks, spelling
        )
    if files.masks is not None:
        tables["masks"] = _masks(files.masks.absolute(), photos, listing)
    return tables


def _masks(folder: Path, photos: dict[str, Place], listing: Listing) -> pl.LazyFrame:
    """Return the masks that are there and fit their photos.

    Raises:
        PerisphereError: there is none at all.
    """
    files = {name: file for name in photos if (file := (folder / name).with_suffix(".png")).is_file()}
    if not files:
        raise PerisphereError(
            f"{folder}: holds no mask; that of {next(iter(photos))} has this path with .png."
        )
    rows = []
    for name, file in track(files.items(), "checking masks", len(files)):
        id, width, height = photos[name]
        try:
            shown_concepts(file, (height, width))
            rows.append((id, PART, str(file)))
        except PerisphereError as error:
            listing.bad.append(Skipped(name, f"mask {error}".removesuffix("."), "mask cannot be used"))
    return pl.LazyFrame(rows, MASKS, orient="row")

"""The photos of one data set that are learned from by their concepts and the points they share."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.catalog import Catalog
from perisphere.catalog.images import header
from perisphere.catalog.shared_points import Neighbours, shared_pairs
from perisphere.encoder import Preprocessing
from perisphere.errors import PerisphereError
from perisphere.tags.architecture import CONCEPTS
from perisphere.training.judged_photos import judged, judged_rows
from perisphere.training.photo_points import PhotoPoints
from perisphere.training.photos import LabelledData, Photos, fingerprint, held_out, of_split, open_catalog
from perisphere.training.recipe import Data, Judge
from perisphere.training.segmentation_rules import SegmentationRule

NO_POINTS = Neighbours(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32))


@dataclass(frozen=True)
class ConceptData(LabelledData):
    """Photos with concepts, points or both; their targets are their numbers, those to learn from first.

    ``classes`` are the concepts, in the order of the network's channels.

    Attributes:
        related: uint8 ``[n, C]``, 1 for each concept of a photo; all 0 where none is known.
        primary: int64 ``[n]``, its first concept, -1 where none is known.
        aspects: float32 ``[n]``, width / height of the photos.
        points: of the photos.
        neighbours: photos to learn from that share points.
        val_neighbours: photos to validate with that share points, counted from 0.
    """

    related: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    primary: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    aspects: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    points: PhotoPoints = field(
        default_factory=lambda: PhotoPoints(
            np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
        )
    )
    neighbours: Neighbours = NO_POINTS
    val_neighbours: Neighbours = NO_POINTS


def concept_data(
    data: Data,
    rule: SegmentationRule,
    preprocessing: Preprocessing,
    seed: int,
    *,
    judge: Judge | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> ConceptData:
    """Read the photos that a data entry of a recipe names and that have a concept or points.

    Args:
        data: the entry.
        rule: says which concepts, and whether points are learned from.
        preprocessing: to the network's input.
        seed: of what is held out.
        judge: of retrieval, if wished.
        tell: takes notes for the user.

    Raises:
        PerisphereError: a split without such photos, no points where they are to be learned from, or nothing
            to judge by.
    """
    catalog = open_catalog(data)
    classes = _classes(catalog, data, rule)
    train, val, notes = _rows(catalog, data, rule, classes, seed)
    sides = None if judge is None else judged_rows(catalog, judge)
    rows = pl.concat([train, *([] if val is None else [val])])
    sizes = _sizes(rows, catalog.root)
    related, primary = labels_of(rows, classes, only_first=rule.labels == "primary")
    points, neighbours = _points(catalog, rows, sizes, rule, preprocessing, [len(train), len(rows)])
    notes += _about(catalog, rule, classes, neighbours[0], related[: len(train)])
    for note in notes:
        tell(note)
    parts = [train, *([] if val is None else [val]), *(sides or ())]
    digest = hashlib.sha256(f"{fingerprint(parts, catalog.root)} {points.fingerprint} {classes}".encode())
    digest.update(np.ascontiguousarray(related).data)
    return ConceptData(
        classes,
        _numbered(train, 0, catalog.root),
        None if val is None else _numbered(val, len(train), catalog.root),
        digest.hexdigest()[:16],
        notes,
        None if sides is None else judged(catalog.root, sides),
        related,
        primary,
        (sizes[:, 1] / sizes[:, 0]).astype(np.float32),
        points,
        neighbours[0],
        neighbours[1],
    )


def labels_of(
    rows: pl.DataFrame, classes: Sequence[str], *, only_first: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return ``related`` and ``primary`` of photos; see :class:`ConceptData`.

    Args:
        rows: with their ``concepts``, the primary one first; others than ``classes`` are passed over.
        classes: the concepts.
        only_first: leave only the first of each photo in ``related``.
    """
    number = {name: position for position, name in enumerate(classes)}
    related = np.zeros((len(rows), len(classes)), np.uint8)
    primary = np.full(len(rows), -1, np.int64)
    for row, names in enumerate(rows["concepts"].to_list()):
        known = [number[name] for name in names if name in number]
        if known:
            primary[row] = known[0]
            related[row, known[:1] if only_first else known] = 1
    return related, primary


def _classes(catalog: Catalog, data: Data, rule: SegmentationRule) -> list[str]:
    """Return the concepts to learn: those of the recipe, or of the photos to learn from."""
    if rule.classes is not None:
        return list(rule.classes)
    table = catalog.table if data.train is None else catalog.table.filter(pl.col("split") == data.train)
    there = set(table["concepts"].explode().drop_nulls())
    if not there and rule.correspondence is None:
        raise PerisphereError(
            f"{catalog.root}: no photo to learn from has a concept. Fill them with `perisphere concepts "
            "label`, or learn from points alone with segmentation.correspondence={}."
        )
    return [name for name in CONCEPTS if name in there] + sorted(there.difference(CONCEPTS))


def _rows(
    catalog: Catalog, data: Data, rule: SegmentationRule, classes: Sequence[str], seed: int
) -> tuple[pl.DataFrame, pl.DataFrame | None, list[str]]:
    """Return the photos to learn from, those to validate with, and notes on what is left out."""
    known = pl.col("concepts").list.set_intersection(pl.lit(list(classes), pl.List(pl.String))).list.len() > 0
    if not classes:
        known = pl.lit(value=False)
    if rule.correspondence is not None and catalog.keypoints is not None:
        known = known | pl.col("id").is_in(catalog.keypoints["image"].unique().implode())
    rows = catalog.table.filter(known).with_columns(pl.col("label").fill_null(""))
    what = "photos with points" if not classes else "photos with a known concept"
    train, val = of_split(rows, data.train, "train", catalog, what), None
    if data.val_fraction is not None:
        train, val = held_out(train, data.val_fraction, seed)
    elif data.val is not None:
        val = of_split(rows, data.val, "val", catalog, what)
    wanted = [name for name in (data.train, data.val) if name is not None]
    asked = catalog.table if data.train is None else catalog.table.filter(pl.col("split").is_in(wanted))
    used = len(train) + (0 if val is None else len(val))
    left = f"{catalog.root}: {len(asked) - used} of {len(asked)} photos are not {what} and are left out."
    return train, val, [left] if used < len(asked) else []


def _sizes(rows: pl.DataFrame, root: Path) -> NDArray[np.int64]:
    """Return height and width of photos in pixels, int64 ``[n, 2]``, from their files where unknown."""
    found = []
    for path, height, width in rows.select("path", "height", "width").iter_rows():
        found.append((height, width) if height and width else header(root / path)[::-1])
    return np.array(found, np.int64).reshape(-1, 2)


def _points(
    catalog: Catalog,
    rows: pl.DataFrame,
    sizes: NDArray[np.int64],
    rule: SegmentationRule,
    preprocessing: Preprocessing,
    ends: list[int],
) -> tuple[PhotoPoints, list[Neighbours]]:
    """Return the points of photos, and who shares them among those that end at each of ``ends``."""
    keypoints = catalog.keypoints
    least = rule.least
    parts = [rows["id"][start:end] for start, end in zip([0, *ends], ends, strict=False)]
    neighbours = [shared_pairs(keypoints, part, least) for part in parts]
    if rule.correspondence is not None and not len(neighbours[0].indices):
        raise PerisphereError(
            f"{catalog.root}: no two photos to learn from share {least} points. Set "
            "segmentation.correspondence=null, or a lower segmentation.correspondence.least."
        )
    if rule.correspondence is None:  # partners are drawn by them, but nothing is learned from their places
        keypoints = None
    return PhotoPoints.of_catalog(keypoints, rows["id"], sizes, preprocessing), neighbours


def _about(
    catalog: Catalog,
    rule: SegmentationRule,
    classes: Sequence[str],
    neighbours: Neighbours,
    related: NDArray[np.uint8],
) -> list[str]:
    notes = []
    if lonely := int((np.diff(neighbours.indptr) == 0).sum()):
        notes.append(
            f"{catalog.root}: {lonely} of {len(neighbours)} photos to learn from share {rule.least} points "
            "with no other; any other photo is their partner."
        )
    if missing := [name for name, count in zip(classes, related.sum(0), strict=True) if not count]:
        notes.append(f"{catalog.root}: no photo to learn from shows {', '.join(missing)}.")
    return notes


def _numbered(rows: pl.DataFrame, first: int, root: Path) -> Photos:
    numbers = np.arange(first, first + len(rows), dtype=np.int64)
    return Photos([root / path for path in rows["path"].to_list()], numbers)

"""Photos of places with matched points: a folder of photos and ``correspondences.csv``."""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.catalog.catalog import KEYPOINTS, Skipped
from perisphere.catalog.readers.linked_points import linked_points
from perisphere.catalog.readers.listing import Listing, walk
from perisphere.errors import PerisphereError

FILE = "correspondences.csv"
CONFLICT = "photos with matches that would make two places of one photo the same point, which are left out"

_COLUMNS = ("image1", "image2", "x1", "y1", "x2", "y2")


def list_images(root: Path, *, correspondences: Path | None = None) -> Listing:
    """List the photos below a folder, whose folders are the places and labels, with the points they share.

    A line of the file is a match: ``image1,image2,x1,y1,x2,y2`` and whatever columns more, paths from
    ``root``, pixels of the photos with centres at whole numbers as feature detectors give them (half a pixel
    is added for the catalog, in which a photo reaches from 0 to its width). Matches that touch the same pixel
    of the same photo are one point, in the order of the file; one that would put a point on two places of a
    photo is left out.

    Args:
        root: the folder.
        correspondences: the file; ``correspondences.csv`` in ``root`` if not given.

    Raises:
        PerisphereError: a file or folder is missing, or the file is no such table.
    """
    listing = walk(root)
    file = root / FILE if correspondences is None else Path(correspondences).absolute()
    if not file.is_file():
        raise PerisphereError(f"{file}: no such file of matches.")
    for row in listing.rows:
        folder, _, _ = row["path"].rpartition("/")
        row.update(label=folder or None, categories=folder.split("/") if folder else [])

    def side_tables(table: pl.DataFrame, scratch: Path) -> dict[str, pl.LazyFrame]:
        return {"keypoints": _keypoints(_matches(file, table, listing), listing, table).lazy()}

    listing.side_tables = side_tables
    return listing


def _matches(file: Path, photos: pl.DataFrame, listing: Listing) -> pl.DataFrame:
    """Return the matches that can be used: ids ``id1`` and ``id2``, and places in the catalog's pixels."""
    try:
        raw = pl.read_csv(file, columns=list(_COLUMNS), infer_schema=False, row_index_name="line")
    except (OSError, pl.exceptions.PolarsError) as error:
        why = " ".join(str(error).split())[:120]
        raise PerisphereError(f"{file}: no table with columns {', '.join(_COLUMNS)} ({why}).") from error
    table = raw.with_columns(pl.col("x1", "y1", "x2", "y2").cast(pl.Float64, strict=False) + 0.5)
    for side in "12":
        known = photos.select("path", pl.col("id", "width", "height").name.suffix(side))
        table = table.join(known, left_on=f"image{side}", right_on="path", how="left", maintain_order="left")
    inside = [
        pl.col(f"{axis}{side}").is_between(0, pl.col(f"{size}{side}"))
        for side in "12"
        for axis, size in (("x", "width"), ("y", "height"))
    ]
    known_photos = pl.col("id1").is_not_null() & pl.col("id2").is_not_null()
    reason = (
        pl.when(~known_photos)
        .then(pl.lit("match of a photo that is not there"))
        .when(pl.col("id1") == pl.col("id2"))
        .then(pl.lit("match of a photo with itself"))
        .when(~pl.all_horizontal(inside).fill_null(False))
        .then(pl.lit("match that lies outside a photo, or is no number"))
    )
    told = table.with_columns(reason.alias("reason"))
    for line, wrong in told.drop_nulls("reason").select("line", "reason").iter_rows():
        listing.bad.append(Skipped(f"{file.name}:{line + 2}", wrong))
    return told.filter(pl.col("reason").is_null())


def _keypoints(matches: pl.DataFrame, listing: Listing, photos: pl.DataFrame) -> pl.DataFrame:
    """Return the side table of the points that the matches make."""
    sides = [
        matches.select("line", *(pl.col(f"{name}{side}").alias(name) for name in ("id", "x", "y")))
        for side in "12"
    ]
    touched = pl.concat(sides).rename({"id": "image"}).sort("line", maintain_order=True)
    touched = touched.with_columns(pl.col("x", "y").floor().cast(pl.Int64).name.prefix("pixel_"))
    keys = ["image", "pixel_x", "pixel_y"]
    places = touched.unique(keys, keep="first", maintain_order=True).with_row_index("place")
    found = touched.join(places.select("place", *keys), on=keys, maintain_order="left")["place"].to_numpy()
    pairs = found.reshape(-1, 2)
    point, refused = linked_points(pairs.astype(np.int64), places["image"].to_numpy())
    _remark(refused, matches, photos, listing)
    table = places.with_columns(pl.Series("point", point)).filter(pl.col("point") >= 0)
    columns = [pl.col(name).cast(kind) for name, kind in KEYPOINTS.items()]
    return table.select(columns).sort("image", "point")


def _remark(
    refused: NDArray[np.bool_], matches: pl.DataFrame, photos: pl.DataFrame, listing: Listing
) -> None:
    left_out = matches.filter(pl.Series(refused)).select("image1", "image2").unique(maintain_order=True)
    if left_out.height:
        listing.remarks[CONFLICT] = [f"{first} {second}" for first, second in left_out.iter_rows()]

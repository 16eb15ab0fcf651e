"""Pairs of photos that show the same points, and where."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.catalog import Catalog
from perisphere.catalog.shared_points import shared_pairs
from perisphere.errors import PerisphereError


@dataclass(frozen=True)
class PointPair:
    """Two photos and the points that both show.

    Attributes:
        first: position of one photo in the catalog.
        second: that of the other.
        points: float32 ``[2, k, 2]``, x and y in pixels, in the first and in the second.
    """

    first: int
    second: int
    points: NDArray[np.float32]


def point_pairs(
    catalog: Catalog,
    *,
    split: str | Sequence[str] | None = None,
    least: int = 10,
    most: int | None = None,
    seed: int = 0,
) -> tuple[Catalog, list[PointPair]]:
    """Return the photos of a split, and the pairs of them that share points, in the order of the photos.

    A point that stands several times in a photo counts where it stands first.

    Args:
        catalog: with keypoints.
        split: whose photos; ``None``: all.
        least: points that two photos share.
        most: pairs that are drawn by lot where there are more; ``None``: all.
        seed: of the lot.

    Raises:
        PerisphereError: no two photos share so many points.
    """
    part = catalog.select(split=split)
    if part.keypoints is None or part.keypoints.is_empty():
        raise PerisphereError(
            f"{catalog.root}: the photos have no keypoints; read them with correspondences."
        )
    pairs = shared_pairs(part.keypoints, part.table["id"], least).pairs()
    if not len(pairs):
        raise PerisphereError(
            f"{catalog.root}: no two photos share {least} points; lower --least, or take another split."
        )
    if most is not None and most < len(pairs):
        pairs = pairs[np.sort(np.random.default_rng(seed).choice(len(pairs), most, replace=False))]
    shown = _by_photo(part)
    return part, list(_joined(pairs, shown))


def _by_photo(catalog: Catalog) -> list[tuple[NDArray, NDArray]]:
    """Return the points of each photo, ascending, and their places, float32 ``[k, 2]``."""
    assert catalog.keypoints is not None
    rows = pl.DataFrame({"image": catalog.table["id"]}).with_row_index("row")
    table = (
        catalog.keypoints.unique(["image", "point"], keep="first", maintain_order=True)
        .join(rows, on="image")
        .sort("row", "point")
    )
    row, point = table["row"].to_numpy(), table["point"].to_numpy()
    places = table.select("x", "y").to_numpy()
    ends = np.searchsorted(row, np.arange(len(catalog) + 1))
    return [(point[start:end], places[start:end]) for start, end in pairwise(ends)]


def _joined(pairs: NDArray, shown: list[tuple[NDArray, NDArray]]) -> Iterator[PointPair]:
    for first, second in pairs:
        (points, places), (others, elsewhere) = shown[first], shown[second]
        _, here, there = np.intersect1d(points, others, assume_unique=True, return_indices=True)
        yield PointPair(int(first), int(second), np.stack([places[here], elsewhere[there]]))

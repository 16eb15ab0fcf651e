"""Where the points of landmarks lie in photos, and which of them two photos share."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.encoder import Preprocessing


@dataclass(frozen=True)
class PhotoPoints:
    """The points of photos, which are known by their numbers.

    Attributes:
        indptr: int64 ``[n + 1]``, where the points of each photo begin.
        points: int64 ``[m]``, ascending in each photo; the same number is the same point, from 0.
        places: float32 ``[m, 2]``, row and column in 0..1 of what a network sees of the whole photo.
    """

    indptr: NDArray[np.int64]
    points: NDArray[np.int64]
    places: NDArray[np.float32]

    @classmethod
    def of_catalog(
        cls,
        keypoints: pl.DataFrame | None,
        images: Sequence[int] | pl.Series,
        sizes: NDArray[np.int64],
        preprocessing: Preprocessing,
    ) -> "PhotoPoints":
        """Take the points that two photos or more have, and that a network sees.

        Args:
            keypoints: side table of a catalog, in pixels; a point that stands in a photo twice counts once.
            images: ids ``[n]``, whose positions become the numbers of photos.
            sizes: int64 ``[n, 2]``, height and width in pixels.
            preprocessing: to the network's input.
        """
        order = pl.DataFrame({"image": pl.Series(images, dtype=pl.Int64)}).with_row_index("photo")
        if keypoints is None:
            keypoints = pl.DataFrame(
                schema={"image": pl.Int64, "point": pl.Int64, "x": pl.Float32, "y": pl.Float32}
            )
        table = (
            keypoints.lazy()
            .join(order.lazy(), on="image")
            .unique(["photo", "point"], keep="first", maintain_order=True)
            .filter(pl.len().over("point") > 1)
            .with_columns(pl.col("point").rank("dense").cast(pl.Int64) - 1)
            .sort("photo", "point")
            .collect()
        )
        photos = table["photo"].to_numpy().astype(np.int64)
        places = table.select("y", "x").to_numpy().astype(np.float64) / sizes[photos]
        seen = seen_share(sizes, preprocessing)[photos]
        places = (places - (1 - seen) / 2) / seen
        inside = ((places >= 0) & (places <= 1)).all(1)
        counts = np.bincount(photos[inside], minlength=len(order))
        return cls(
            np.r_[0, np.cumsum(counts)].astype(np.int64),
            table["point"].to_numpy()[inside].astype(np.int64),
            places[inside].astype(np.float32),
        )

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over all of it."""
        digest = hashlib.sha256()
        for array in (self.indptr, self.points, self.places):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    def shared(
        self,
        queries: NDArray[np.int64],
        partners: NDArray[np.int64],
        most: int | None = None,
        draw: np.random.Generator | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return where the points that both photos of each pair have lie in them.

        Args:
            queries: int64 ``[b]``, numbers of photos.
            partners: int64 ``[b]``.
            most: points of a pair at most; of more, so many are drawn.
            draw: draws them.

        Returns:
            float32 ``[b, k, 4]``, row and column in the query, then in the partner, and bool ``[b, k]``,
            false where a pair has fewer points than another.
        """
        (query, of_query), (partner, of_partner) = self._of(queries), self._of(partners)
        same, first, second = np.intersect1d(query, partner, assume_unique=True, return_indices=True)
        pair = same // max(self._total, 1)
        first, second = of_query[first], of_partner[second]
        if most is not None and draw is not None and len(pair):
            kept = _few(pair, most, draw)
            pair, first, second = pair[kept], first[kept], second[kept]
        counts = np.bincount(pair, minlength=len(queries))
        rank = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
        points = np.zeros((len(queries), int(counts.max(initial=0)), 4), np.float32)
        real = np.zeros(points.shape[:2], bool)
        points[pair, rank, :2], points[pair, rank, 2:] = self.places[first], self.places[second]
        real[pair, rank] = True
        return points, real

    @property
    def _total(self) -> int:
        return int(self.points.max()) + 1 if len(self.points) else 0

    def _of(self, photos: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return a key of (place in ``photos``, point) for all of their points, and where each is kept."""
        counts = np.diff(self.indptr)[photos]
        pair = np.repeat(np.arange(len(photos)), counts)
        at = np.arange(counts.sum()) + np.repeat(self.indptr[photos] - (np.cumsum(counts) - counts), counts)
        return pair * self._total + self.points[at], at


def _few(pair: NDArray[np.int64], most: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """Return which of ascending ``pair`` to keep, so that none stands more often than ``most`` times."""
    order = np.lexsort((draw.random(len(pair)), pair))
    counts = np.bincount(pair)
    rank = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[rank < most])


def seen_share(sizes: NDArray[np.int64], preprocessing: Preprocessing) -> NDArray[np.float64]:
    """Return how much of a photo's height and width the middle that a network sees has, float ``[n, 2]``.

    It is above 1 where ``resize: pad`` fills a side up.

    Args:
        sizes: int64 ``[n, 2]``, height and width of photos.
        preprocessing: to the network's input, without ``shorter``.
    """
    shares = np.ones((len(sizes), 2))
    if preprocessing.resize == "squash":
        return shares
    height, width = preprocessing.size
    shape = (sizes[:, 1] * height) / (sizes[:, 0] * width)  # of the photo, where the input's is 1
    bound = np.minimum if preprocessing.resize == "crop" else np.maximum
    return np.stack((bound(1, shape), bound(1, 1 / shape)), 1)

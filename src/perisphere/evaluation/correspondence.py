"""Points of one photo found in another by the nearest feature: PCK."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.catalog import Catalog, decode
from perisphere.encoder.dense_features import DenseFeatures
from perisphere.encoder.feature_matching import features_at, nearest_positions
from perisphere.errors import UsageError
from perisphere.evaluation.point_pairs import PointPair, point_pairs
from perisphere.evaluation.report import Report
from perisphere.metrics.correspondence import mean_by_group, within
from perisphere.progress import track

SHARES = (0.05, 0.1)
"""Of a photo's larger side, within which a point is found."""

CURVE = tuple(np.round(np.arange(0, 0.2501, 0.01), 2).tolist())
SAME, CHANCE = "same position", "chance"
_KEPT = 1 << 29  # bytes of features that wait for their photo's next pair
_DRAWS = 64

CONVENTIONS = {
    "PCK": "share of points whose nearest feature lies within 5 % or 10 % of the photo's larger side",
    "by pair": "mean over pairs of photos of the share of their points; else all points count alike",
    "nearest": "of all positions of the map, placed between them by a parabola; both directions of a pair",
    SAME: "the point is guessed where it is in the other photo",
    CHANCE: "it is guessed anywhere: 64 uniform draws a point",
    "median error": "distance to the true place as a share of the larger side",
}


@dataclass(frozen=True)
class Matched:
    """Points of one photo, found in another.

    Attributes:
        photos: positions of the two in the catalog.
        sizes: ``[2, 2]``, width and height of both in pixels.
        points: float32 ``[k, 2]``, x and y in pixels in the first.
        true: the same points in the second.
        found: where they were found there.
    """

    photos: tuple[int, int]
    sizes: NDArray[np.int64]
    points: NDArray[np.float32]
    true: NDArray[np.float32]
    found: NDArray[np.float32]


@dataclass(frozen=True)
class JudgedCorrespondence:
    """A report, the photos that it is of, and what was found in each pair of them."""

    report: Report
    photos: Catalog
    matched: list[Matched]


def judge_correspondence(
    catalog: Catalog,
    features: DenseFeatures,
    *,
    split: str | Sequence[str] | None = None,
    least: int = 10,
    pairs: int | None = 1000,
    seed: int = 0,
    align_corners: bool = True,
) -> JudgedCorrespondence:
    """Find each shared point of pairs of photos by the nearest feature, in both directions.

    Args:
        catalog: with keypoints.
        features: of one layer.
        split: whose photos; ``None``: all.
        least: points that two photos share.
        pairs: drawn by lot where there are more; ``None``: all.
        seed: of the lot.
        align_corners: how fractions of a photo map to positions of its features
            (:func:`~perisphere.encoder.feature_matching.features_at`).

    Raises:
        PerisphereError: no pair shares so many points, or a photo of one cannot be read.
        UsageError: ``least`` or ``pairs`` is below 1.
    """
    if least < 1 or (pairs is not None and pairs < 1):
        raise UsageError(f"least {least}, pairs {pairs}: give numbers from 1.")
    photos, drawn = point_pairs(catalog, split=split, least=least, most=pairs, seed=seed)
    kept = _Features(photos, features)
    matched: list[Matched] = []
    for pair in track(drawn, "matching", unit="pairs"):
        matched += _both_directions(pair, kept, align_corners)
    values, curves = _figures(matched, seed)
    report = Report(
        protocol="correspondence",
        values=values,
        counts={
            "photos": len(kept.sizes),
            "pairs": len(drawn),
            "points": sum(len(one.points) for one in matched),
        },
        conventions=CONVENTIONS,
        options={
            "layer": features.layer,
            "size": features.size,
            "least": least,
            "pairs": pairs,
            "align_corners": align_corners,
        },
        data={"source": str(catalog.root), "split": split if split is None else str(split)},
        encoder=_described(features),
        seeds={"pairs": seed},
        curves=curves,
    )
    return JudgedCorrespondence(report, photos, matched)


class _Features:
    """Maps and sizes of photos; those used last are kept."""

    def __init__(self, catalog: Catalog, features: DenseFeatures) -> None:
        self.paths, self.features = catalog.paths(), features
        self.sizes: dict[int, NDArray[np.int64]] = {}
        self._maps: OrderedDict[int, NDArray[np.float32]] = OrderedDict()
        self._bytes = 0

    def of(self, photo: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the map and the width and height of the photo at a position."""
        if photo in self._maps:
            self._maps.move_to_end(photo)
            return self._maps[photo], self.sizes[photo]
        picture = decode(self.paths[photo])
        made = self.features(picture)
        self.sizes[photo] = np.array([picture.shape[1], picture.shape[0]])
        self._maps[photo] = made
        self._bytes += made.nbytes
        while self._bytes > _KEPT and len(self._maps) > 1:
            self._bytes -= self._maps.popitem(last=False)[1].nbytes
        return made, self.sizes[photo]


def _both_directions(pair: PointPair, kept: _Features, align_corners: bool) -> list[Matched]:
    matched = []
    for near, far in ((0, 1), (1, 0)):
        photos = (pair.first, pair.second)[near], (pair.first, pair.second)[far]
        here, size = kept.of(photos[0])
        there, other = kept.of(photos[1])
        points = pair.points[near]
        vectors = features_at(here, points / size, align_corners=align_corners)
        found = nearest_positions(vectors, there, align_corners=align_corners).points * other
        sizes = np.stack([size, other])
        matched.append(Matched(photos, sizes, points, pair.points[far], found.astype(np.float32)))
    return matched


def _figures(matched: Sequence[Matched], seed: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    counts = [len(one.points) for one in matched]
    groups = np.repeat([number // 2 for number in range(len(matched))], counts)
    sizes = np.concatenate([np.repeat(one.sizes[1:], len(one.points), axis=0) for one in matched])
    true = np.concatenate([one.true for one in matched])
    found = np.concatenate([one.found for one in matched])
    same = np.concatenate([one.points / one.sizes[0] * one.sizes[1] for one in matched])
    values: dict[str, float] = {}
    for share in SHARES:
        name = f"PCK@{100 * share:.0f} %"
        right = within(found, true, sizes, share)
        values[name] = float(right.mean())
        values[f"{name} by pair"] = mean_by_group(right.astype(float), groups)
        values[f"{name} {SAME}"] = float(within(same, true, sizes, share).mean())
        values[f"{name} {CHANCE}"] = _chance(true, sizes, share, seed)
    errors = np.linalg.norm(found - true, axis=1) / sizes.max(1)
    values["median error"] = float(np.median(errors))
    guessed = np.linalg.norm(same - true, axis=1) / sizes.max(1)
    curves = {
        "distance": list(CURVE),
        "PCK": [float((errors <= share).mean()) for share in CURVE],
        f"PCK {SAME}": [float((guessed <= share).mean()) for share in CURVE],
    }
    return values, curves


def _chance(true: NDArray, sizes: NDArray, share: float, seed: int) -> float:
    rng = np.random.default_rng(seed)
    shares = [within(rng.random(true.shape) * sizes, true, sizes, share).mean() for _ in range(_DRAWS)]
    return float(np.mean(shares))


def _described(features: DenseFeatures) -> dict[str, Any]:
    encoder = features.encoder
    return {
        "name": encoder.name,
        "identity": encoder.identity,
        "path": str(encoder.path) if encoder.path else None,
    }

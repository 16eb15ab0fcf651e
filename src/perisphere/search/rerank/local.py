"""Local features of a photo, and which of two photos' features look alike."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from perisphere.catalog.images import ImageError, decode
from perisphere.search.ingredients import Source
from perisphere.sphere.geometry import Vectors

KEPT = 256
"""Photos whose features are kept in memory: at 1,000 features half a MiB each."""


@dataclass(frozen=True)
class LocalFeatures:
    """The features of one photo.

    Attributes:
        points: float32 ``[n, 2]``: x, y in pixels of the photo, pixel centres at whole numbers.
        descriptors: float32 ``[n, 128]``, unit rows.
    """

    points: Vectors
    descriptors: Vectors

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.points)


NO_FEATURES = LocalFeatures(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))


def features_of(photo: Source, features: int = 1000, side: int = 640, root: bool = True) -> LocalFeatures:
    """Return the SIFT features of a photo; those of a file are kept until it changes.

    Args:
        photo: a file, an open picture or uint8 RGB ``[h, w, 3]``.
        features: how many, at most, the strongest first.
        side: the photo is reduced so that its longer side has at most so many pixels.
        root: take RootSIFT (Arandjelovic and Zisserman, CVPR 2012) instead of the plain descriptors.

    Raises:
        ImageError: the photo cannot be read.
    """
    if not isinstance(photo, Path | str):
        return extract(decode(photo), features, side, root)
    file = Path(photo)
    try:
        changed = file.stat().st_mtime_ns
    except OSError as error:
        reason = f"cannot be read ({error.strerror}), so it cannot be compared; put the photo back"
        raise ImageError(str(file), reason) from error
    return _kept(file, changed, features, side, root)


@lru_cache(maxsize=KEPT)
def _kept(file: Path, _changed: int, features: int, side: int, root: bool) -> LocalFeatures:
    return extract(decode(file), features, side, root)


def extract(photo: NDArray[np.uint8], features: int, side: int, root: bool) -> LocalFeatures:
    """Return the SIFT features of uint8 RGB ``[h, w, 3]``; see :func:`features_of`."""
    height, width = photo.shape[:2]
    scale = min(1.0, side / max(height, width))
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    # Without the precise upscale all points lie a quarter of a pixel off.
    create = cv2.SIFT_create  # type: ignore[attr-defined]  # not in OpenCV's stubs
    found, descriptors = create(features, enable_precise_upscale=True).detectAndCompute(grey, None)
    if not found:
        return NO_FEATURES
    ratio = np.array([width / grey.shape[1], height / grey.shape[0]])
    points = (np.array([point.pt for point in found]) + 0.5) * ratio - 0.5
    if root:
        from perisphere.codes.sift import rooted  # brings torch along, which searches without it do not need

        descriptors = rooted(descriptors)
    else:
        descriptors = descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-9)
    # OpenCV may keep one more than asked for where several have one strength.
    strongest = np.argsort([-point.response for point in found], kind="stable")[:features]
    return LocalFeatures(points[strongest].astype(np.float32), descriptors[strongest].astype(np.float32))


def tentative(first: LocalFeatures, second: LocalFeatures, ratio: float) -> NDArray[np.int64]:
    """Return which features look alike: places in both, int64 ``[m, 2]``, each feature at most once.

    A feature and its nearest in the other photo are kept where the distance is below ``ratio`` times that of
    the second nearest (Lowe, IJCV 2004); of several with one nearest, the closest is kept.
    """
    if not len(first) or len(second) < 2:
        return np.empty((0, 2), np.int64)
    cosines = first.descriptors @ second.descriptors.T
    two = np.argpartition(-cosines, 1, axis=1)[:, :2]
    values = np.take_along_axis(cosines, two, 1)
    best = np.where(values[:, 0] >= values[:, 1], 0, 1)
    rows = np.arange(len(first))
    nearest, distance = two[rows, best], np.maximum(2 - 2 * values, 0)
    near, next_near = distance[rows, best], distance[rows, 1 - best]
    good = rows[near < ratio**2 * next_near]
    good = good[np.argsort(near[good], kind="stable")]
    _, once = np.unique(nearest[good], return_index=True)
    kept = np.sort(good[once])
    return np.column_stack([kept, nearest[kept]])

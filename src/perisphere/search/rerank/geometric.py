"""Geometric verification: photos of one place agree in where their local features lie."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from perisphere.catalog.images import ImageError
from perisphere.errors import PerisphereError
from perisphere.index.ranking import NONE, Ranking
from perisphere.search.ingredients import Source
from perisphere.search.rerank.context import Context, Ids, with_head
from perisphere.search.rerank.local import NO_FEATURES, LocalFeatures, features_of, tentative
from perisphere.search.rerank.reranker import Reranker
from perisphere.sphere.geometry import Vectors

log = logging.getLogger(__name__)

Model = Literal["homography", "fundamental"]

ENOUGH: dict[Model, int] = {"homography": 4, "fundamental": 8}
"""Pairs that a model needs."""

LARGEST_CHANGE = 100.0
"""Of a small area by a homography; beyond it the view is folded or squeezed into a line."""


@dataclass(frozen=True)
class Match:
    """Two photos, feature by feature.

    Attributes:
        first: x, y in the first photo of each pair of features that look alike, float32 ``[m, 2]``.
        second: x, y of the same features in the second photo.
        inliers: which pairs agree with the model, bool ``[m]``.
        model: 3 x 3, from the first photo to the second: the homography or the fundamental matrix; ``None``
            where no model was found.
    """

    first: Vectors
    second: Vectors
    inliers: NDArray[np.bool_]
    model: NDArray[np.float64] | None

    @property
    def count(self) -> int:
        """How many pairs agree."""
        return int(self.inliers.sum())


class GeometricVerification(Reranker):
    """Re-order the first results by how many local features agree with one geometric model.

    SIFT features that look alike are fitted by MAGSAC (Barath et al., CVPR 2020; OpenCV's USAC) with a
    homography, which holds for facades and distant scenes, or with a fundamental matrix, which holds for any
    rigid scene but constrains less. Results with fewer than ``min_inliers`` keep their order behind the
    others. The score of a verified result is its number of inliers. A photo of the gallery that cannot be
    read has none, and is logged.

    Attributes:
        n: results that are verified; 0 changes nothing.
        model: ``homography`` or ``fundamental``.
        features: of a photo, at most.
        side: longer side of a photo in pixels while its features are sought, at most.
        ratio: of the distances to the nearest and second nearest feature, at most.
        threshold: pixels of the photos that an inlier may lie off.
        min_inliers: fewer count as none.
        root: RootSIFT instead of plain SIFT.
    """

    name: ClassVar[str] = "geometric"

    n: Annotated[int, Field(ge=0, le=10_000)] = 20
    model: Model = "homography"
    features: Annotated[int, Field(ge=8, le=100_000)] = 1000
    side: Annotated[int, Field(ge=32, le=10_000)] = 640
    ratio: Annotated[float, Field(gt=0, le=1)] = 0.8
    threshold: Annotated[float, Field(gt=0, le=100)] = 3.0
    min_inliers: Annotated[int, Field(ge=0, le=10_000)] = 10
    root: bool = True

    @property
    def width(self) -> int:
        """The results that are verified."""
        return max(1, self.n)

    def __call__(self, ranking: Ranking, context: Context) -> Ranking:
        """Order by inliers; see :class:`~perisphere.search.rerank.Reranker`.

        Raises:
            PerisphereError: a photo is not known.
            ImageError: the photo of a query cannot be read.
        """
        if not self.n:
            return ranking
        head = ranking.ids[:, : self.n]
        lost: set[str] = set()
        with ThreadPoolExecutor() as pool:
            counts = np.array(
                [self._counts(query, ids, context, pool.map, lost) for query, ids in enumerate(head)]
            )
        for reason in sorted(lost):
            log.warning("counted as 0 inliers: %s", reason)
        counts = counts.reshape(head.shape).astype(np.float32)
        order = np.argsort(-counts, axis=1, kind="stable")
        return with_head(ranking, order, np.take_along_axis(counts, order, 1))

    def match(self, first: Source, second: Source) -> Match:
        """Compare two photos.

        Args:
            first: a file, an open picture or uint8 RGB ``[h, w, 3]``.
            second: the other.

        Raises:
            ImageError: one cannot be read.
        """
        return self._match(self.local_features(first), self.local_features(second))

    def local_features(self, photo: Source) -> LocalFeatures:
        """Return the features that are compared."""
        return features_of(photo, self.features, self.side, self.root)

    def _match(self, first: LocalFeatures, second: LocalFeatures) -> Match:
        pairs = tentative(first, second, self.ratio)
        return fit(first.points[pairs[:, 0]], second.points[pairs[:, 1]], self.model, self.threshold)

    def _readable(self, photo: Source, lost: set[str]) -> LocalFeatures:
        """Return the features of a photo, none where it cannot be read; ``lost`` takes the reason."""
        try:
            return self.local_features(photo)
        except ImageError as error:
            lost.add(str(error))
            return NO_FEATURES

    def _counts(self, query: int, ids: Ids, context: Context, run: Callable, lost: set[str]) -> list[float]:
        """Return the inliers of a query with each of its results, ``-inf`` where there is none.

        Args:
            query: its place among the queries.
            ids: its results.
            context: the search.
            run: ``map``.
            lost: takes why photos of results cannot be read.
        """
        there = ids[ids != NONE]
        photo = _known(context.photos[query] if context.photos else None, "the query")
        found = zip(context.gallery.files(there), there, strict=True)
        files = [_known(file, f"image {id_}") for file, id_ in found]
        own = self.local_features(photo)
        others = run(partial(self._readable, lost=lost), files)
        counts = [match.count for match in run(partial(self._match, own), others)]
        verified = [float(count) if count >= self.min_inliers else 0.0 for count in counts]
        return verified + [-np.inf] * (len(ids) - len(there))


def _known(photo: Source | None, name: str) -> Source:
    if photo is None:
        raise PerisphereError(
            f"geometric verification needs the photos, and that of {name} is not known. "
            "Leave `geometric` out, or add the images with their paths."
        )
    return photo


def fit(first: Vectors, second: Vectors, model: Model, threshold: float) -> Match:
    """Fit a model to pairs of points ``[m, 2]`` with MAGSAC; inliers lie off by ``threshold`` at most."""
    none = Match(first, second, np.zeros(len(first), bool), None)
    if len(first) < ENOUGH[model]:
        return none
    find: Any = cv2.findHomography if model == "homography" else cv2.findFundamentalMat
    options: dict[str, Any] = {"ransacReprojThreshold": threshold, "confidence": 0.999, "maxIters": 5000}
    try:
        found, mask = find(first, second, method=cv2.USAC_MAGSAC, **options)
    except cv2.error:  # all points on one line, or in one place
        return none
    if found is None or found.shape != (3, 3) or mask is None:
        return none
    inliers = mask.ravel().astype(bool)
    if model == "homography":
        inliers &= _keeps_its_shape(found, first)
    return Match(first, second, inliers, found)


def _keeps_its_shape(homography: NDArray[np.float64], points: Vectors) -> NDArray[np.bool_]:
    """Return where a homography neither mirrors nor squeezes: by its Jacobian's determinant at the points."""
    depth = points @ homography[2, :2] + homography[2, 2]
    with np.errstate(divide="ignore"):
        change = np.linalg.det(homography) / depth**3
    return (change > 1 / LARGEST_CHANGE) & (change < LARGEST_CHANGE)

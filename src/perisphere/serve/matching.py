"""Points of a query that look alike in a photo of the index."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.search import Part
from perisphere.serve.service import Service
from perisphere.serve.wire import MatchedPhoto, MatchRequest

POINTS = 60
ENOUGH = 10
"""Pairs that must agree with one geometric model, as in the re-ranking of the same name."""
Picture = NDArray[np.uint8]


async def match(service: Service, asked: MatchRequest) -> dict[str, Any]:
    """Return the pairs of points of two photos, as shares of width and height, the surest first.

    Raises:
        RefusedError: 404 for a photo that is not there.
    """
    query = await _picture(service, asked.query)
    other = (await service.picture(asked.id)).picture
    box = asked.query.region or (0.0, 0.0, 1.0, 1.0)
    seen = query if asked.query.region is None else Part(query, box).picture
    first, second, scores, agreeing, pairs = await service.model.run(partial(_pairs, service, seen, other))
    x0, y0, x1, y1 = box
    first = first * (x1 - x0, y1 - y0) + (x0, y0)
    verified = int(agreeing.sum()) >= ENOUGH
    kept = np.flatnonzero(agreeing)[:POINTS] if verified else np.arange(min(len(scores), POINTS))
    points = np.column_stack([first, second, scores])[kept]
    return {"points": np.round(points, 4).tolist(), "verified": verified, "of": pairs}


async def _picture(service: Service, asked: MatchedPhoto) -> Picture:
    if asked.upload is not None:
        return service.uploads.get(asked.upload)
    assert asked.id is not None
    return (await service.picture(asked.id)).picture


def _pairs(
    service: Service, first: Picture, second: Picture
) -> tuple[NDArray, NDArray, NDArray, NDArray[np.bool_], int]:
    """Return points of both as shares, scores, which agree, and how many pairs there were."""
    from perisphere.search.matching import match_photos
    from perisphere.search.rerank.geometric import GeometricVerification

    features = service.network.dense
    sizes = [np.array(picture.shape[1::-1], np.float64) for picture in (first, second)]
    if features is None:
        local = GeometricVerification().match(first, second)
        order = np.argsort(~local.inliers, kind="stable")
        one, other = (
            np.clip((points + 0.5)[order] / size, 0, 1)
            for points, size in zip((local.first, local.second), sizes, strict=True)
        )
        return one, other, np.ones(len(order)), local.inliers[order], len(order)
    found = match_photos(features, first, second, points=10_000, verify="homography")
    one, other = found.first / sizes[0], found.second / sizes[1]
    agreeing = found.agreeing if found.model is not None else np.zeros(len(found), bool)
    return one, other, found.scores, agreeing, len(found)

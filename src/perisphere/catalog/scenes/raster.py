"""A z-buffer over polygons: which face does each pixel see, and how near is it.

The inverse depth of a plane is affine in the pixel's coordinates (the plain depth is, for parallel light),
so a face is a polygon fill and one comparison per pixel; the rest is worked out for the pixels that won.
"""

import cv2
import numpy as np

from perisphere.catalog.scenes.camera import Camera
from perisphere.catalog.scenes.geometry import Geometry

NEAR, FAR = 0.3, 20_000.0
_SUBPIXEL = 4


def see(geometry: Geometry, camera: Camera, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Rasterise through a pinhole.

    Returns:
        inverse depth float32 ``[r, r]`` (0 = sky) and face number int32 ``[r, r]`` (-1 = nothing).
    """
    normal, origin = geometry.frames[:, 3], geometry.frames[:, 0]
    offset = ((origin - camera.position) * normal).sum(1)
    # Only fronts: leaves always face the viewer.
    front = offset < -1e-6
    offset = np.where(front, offset, -1.0)
    focal = camera.focal * resolution
    parts = _dot(normal, camera.axes) / offset[:, None]
    half = resolution / 2
    a, b = parts[:, 0] / focal, parts[:, 1] / focal
    c = parts[:, 2] + (0.5 - half) * (a + b)
    local = _dot(geometry.corners - camera.position, camera.axes)
    depth = local[:, 2]
    scale = focal / np.maximum(depth, 1e-6)
    flat = local[:, :2] * scale[:, None] + half
    low = np.minimum.reduceat(depth, geometry.starts[:-1])
    high = np.maximum.reduceat(depth, geometry.starts[:-1])
    planes = np.stack([a, b, c], 1)
    buffer = np.full((resolution, resolution), 1 / FAR, np.float32)
    faces = np.full((resolution, resolution), -1, np.int32)
    wide = np.maximum.reduceat(np.abs(flat - half).max(1), geometry.starts[:-1])
    whole = front & (low > NEAR) & (wide < 4 * resolution)
    _fill(buffer, faces, flat, geometry.starts, planes, np.flatnonzero(whole))
    reach = 0.6 / camera.focal
    for number in np.flatnonzero(front & ~whole & (high > NEAR) & _in_sight(local, reach, geometry.starts)):
        cut = _cut(local[geometry.starts[number] : geometry.starts[number + 1]], reach)
        if len(cut) < 3:
            continue
        flat_cut = cut[:, :2] * (focal / cut[:, 2:]) + half
        _fill(buffer, faces, flat_cut, np.array([0, len(cut)]), planes[number : number + 1], [0], int(number))
    buffer[faces < 0] = 0
    return buffer, faces


def see_parallel(
    geometry: Geometry, axes: np.ndarray, middle: np.ndarray, reach: float, resolution: int
) -> np.ndarray:
    """Rasterise along parallel rays, as the sun does.

    Args:
        geometry: the mesh; decals are left out.
        axes: rows right, down, forward (the way the light travels).
        middle: the point in the middle of the view.
        reach: half the width of the view in metres.
        resolution: pixels across.

    Returns:
        float32 ``[r, r]``: nearness along the light (larger is nearer to the sun), -1e9 where nothing is.
    """
    normal, origin = geometry.frames[:, 3], geometry.frames[:, 0]
    parts = _dot(normal, axes)
    front = (parts[:, 2] < -1e-3) & ~geometry.decal
    along = np.where(front, parts[:, 2], -1.0)
    offset = ((origin - middle) * normal).sum(1)
    step = 2 * reach / resolution
    # depth = (offset - x n.right - y n.down) / n.forward; nearness is its negative.
    a, b = step * parts[:, 0] / along, step * parts[:, 1] / along
    c = -offset / along + (0.5 - resolution / 2) * (a + b)
    local = _dot(geometry.corners - middle, axes)
    flat = local[:, :2] / step + resolution / 2
    buffer = np.full((resolution, resolution), -1e9, np.float32)
    _fill(buffer, None, flat, geometry.starts, np.stack([a, b, c], 1), np.flatnonzero(front))
    return buffer


def _dot(vectors: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Components along three axes, without BLAS (whose sums depend on the number of threads)."""
    return np.einsum("ij,kj->ik", vectors, axes)


def _fill(
    buffer: np.ndarray,
    faces: np.ndarray | None,
    flat: np.ndarray,
    starts: np.ndarray,
    planes: np.ndarray,
    wanted: np.ndarray | list[int],
    name: int | None = None,
) -> None:
    """Fill the polygons ``wanted`` where they are nearer (larger) than what ``buffer`` holds."""
    size = buffer.shape[0]
    flat = np.clip(
        flat, -8 * size, 9 * size
    )  # only what is drawn by its cut copy, or by nobody, is farther out
    low = np.maximum(np.floor(np.minimum.reduceat(flat, starts[:-1])).astype(int) - 1, 0)
    high = np.minimum(np.ceil(np.maximum.reduceat(flat, starts[:-1])).astype(int) + 2, size)
    fixed = np.round((flat - 0.5) * (1 << _SUBPIXEL)).astype(np.int32)
    mask = np.zeros((size, size), np.uint8)
    across = np.arange(size, dtype=np.float32)
    planes = planes.astype(np.float32)
    empty = (low >= high).any(1)
    for number in wanted:
        if empty[number]:
            continue
        (x0, y0), (x1, y1) = low[number], high[number]
        corners = fixed[starts[number] : starts[number + 1]] - np.array([x0, y0], np.int32) * (1 << _SUBPIXEL)
        window = mask[y0:y1, x0:x1]
        window[:] = 0
        if len(corners) <= 4:
            cv2.fillConvexPoly(window, corners, 1, cv2.LINE_8, _SUBPIXEL)
        else:
            cv2.fillPoly(window, [corners], 1, cv2.LINE_8, _SUBPIXEL)
        a, b, c = planes[number]
        value = (a * across[x0:x1] + c)[None, :] + (b * across[y0:y1])[:, None]
        kept = buffer[y0:y1, x0:x1]
        won = (value > kept) & window.view(bool)
        np.copyto(kept, value, where=won)
        if faces is not None:
            np.copyto(faces[y0:y1, x0:x1], number if name is None else name, where=won)


def _in_sight(local: np.ndarray, reach: float, starts: np.ndarray) -> np.ndarray:
    """Which polygons do not lie wholly beyond one side of what :func:`_cut` keeps; bool ``[n]``."""
    x, y, depth = local.T
    sides = np.stack([x + reach * depth, reach * depth - x, y + reach * depth, reach * depth - y], 1)
    return np.asarray((np.maximum.reduceat(sides, starts[:-1]) >= 0).all(1))


def _cut(points: np.ndarray, reach: float) -> np.ndarray:
    """Cut a polygon (camera coordinates) down to what lies beyond NEAR and, roughly, within the picture."""
    planes = np.array(
        [[0, 0, 1, -NEAR], [1, 0, reach, 0], [-1, 0, reach, 0], [0, 1, reach, 0], [0, -1, reach, 0]]
    )
    for plane in planes:
        side = (points * plane[:3]).sum(1) + plane[3]
        kept: list[np.ndarray] = []
        for k in range(len(points)):
            n = (k + 1) % len(points)
            if side[k] >= 0:
                kept.append(points[k])
            if (side[k] < 0) != (side[n] < 0):
                kept.append(points[k] + (points[n] - points[k]) * (side[k] / (side[k] - side[n])))
        if len(kept) < 3:
            return np.zeros((0, 3))
        points = np.stack(kept)
    return points

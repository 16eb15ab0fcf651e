"""Smooth and white noise in space, from two fixed tiles."""

from functools import lru_cache

import cv2
import numpy as np

SIDE = 512


@lru_cache(maxsize=1)
def _tiles() -> tuple[np.ndarray, np.ndarray]:
    """Fractal noise (mean 0, deviation 1, tileable) and white noise (0 to 1), float32 ``[512, 512]``."""
    rng = np.random.Generator(np.random.PCG64(20))
    total = np.zeros((SIDE, SIDE), np.float32)
    for octave in range(7):
        cells = 8 << octave
        grid = rng.standard_normal((min(cells, SIDE), min(cells, SIDE))).astype(np.float32)
        scale = SIDE // len(grid)
        wide = np.tile(grid, (3, 3))
        smooth = cv2.resize(wide, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += smooth[SIDE : 2 * SIDE, SIDE : 2 * SIDE] * 0.62**octave
    total = (total - total.mean()) / total.std()
    return total, rng.random((SIDE, SIDE), dtype=np.float32)


def smooth(u: np.ndarray, v: np.ndarray, period: float) -> np.ndarray:
    """Fractal noise at (u, v), float32 shaped like ``u``; its largest shapes are period / 8."""
    if not u.size:
        return np.zeros(u.shape, np.float32)
    tile, _ = _tiles()
    scale = np.float32(SIDE / period)
    x = np.atleast_2d(np.mod(u * scale, SIDE).astype(np.float32))
    y = np.atleast_2d(np.mod(v * scale, SIDE).astype(np.float32))
    return _remap(tile, x, y).reshape(u.shape)


def white(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """A fixed random number from 0 to 1 for each pair of integers."""
    _, tile = _tiles()
    i, j = i.astype(np.int32), j.astype(np.int32)
    return tile.ravel()[((i * 7 + j * 131) & (SIDE - 1)) * SIDE + ((j * 17 + i * 311) & (SIDE - 1))]


def _remap(tile: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # OpenCV's maps are at most 32,767 wide: long rows are folded.
    n = x.size
    width = 4096
    padded = -(-n // width) * width
    fx, fy = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
    fx[:n], fy[:n] = x.ravel(), y.ravel()
    got = cv2.remap(
        tile, fx.reshape(-1, width), fy.reshape(-1, width), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    return got.ravel()[:n]

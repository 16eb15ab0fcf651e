"""The pinhole camera, and the named places from which people photograph a landmark."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        position: float64 ``[3]``, metres.
        axes: float64 ``[3, 3]``: rows right, down and forward (unit, world coordinates).
        focal: focal length in units of the image's width (1 = 53 degrees wide).
        size: width and height of the image in pixels.
    """

    position: np.ndarray
    axes: np.ndarray
    focal: float
    size: int

    @classmethod
    def looking(
        cls, position: np.ndarray, target: np.ndarray, *, focal: float, size: int, roll: float = 0.0
    ) -> "Camera":
        """Stand at ``position`` and look at ``target``; ``roll`` in radians."""
        forward = np.asarray(target, np.float64) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        c, s = np.cos(roll), np.sin(roll)
        axes = np.stack([c * right + s * down, c * down - s * right, forward])
        return cls(np.asarray(position, np.float64), axes, focal, size)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return float64 ``[n, 3]``: x and y in pixels, depth along the axis in metres.

        The image spans ``[0, size]``: the middle of the top left pixel is (0.5, 0.5).
        Points behind have depth <= 0.
        """
        away = np.asarray(points, np.float64) - self.position
        along = (away[:, None, :] * self.axes[None]).sum(2)
        depth = along[:, 2]
        scale = self.focal * self.size / np.where(np.abs(depth) < 1e-9, 1e-9, depth)
        half = self.size / 2
        return np.stack([along[:, 0] * scale + half, along[:, 1] * scale + half, depth], 1)


VIEWS = ("front", "left", "right", "back", "close", "far", "above")
"""Where a photographer stands; the ``camera`` of a photo."""

_AZIMUTH = {
    "front": (-106, -74),
    "left": (-152, -118),
    "right": (-62, -28),
    "back": (40, 140),
    "close": (-118, -62),
    "far": (-135, -45),
    "above": (-150, -30),
}


def corners_of(bounds: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The eight corners of the box between a lowest and a highest one, float64 ``[8, 3]``."""
    return np.array([[bounds[k >> b & 1][b] for b in range(3)] for k in range(8)])


def step_back(
    position: np.ndarray,
    target: np.ndarray,
    towards: np.ndarray,
    corners: np.ndarray,
    *,
    focal: float,
    size: int,
    roll: float,
    fill: float,
) -> tuple[np.ndarray, float]:
    """Go nearer or farther along ``towards``, at the same height, until ``corners`` fill the picture.

    Args:
        position: where to begin, float64 ``[3]``.
        target: what to look at, float64 ``[3]``.
        towards: level unit vector from the target to the photographer, float64 ``[3]``.
        corners: what to fill the picture with, float64 ``[n, 3]``.
        focal: focal length, in widths of the picture.
        size: pixels across.
        roll: in radians.
        fill: share of the picture's half that the outermost corner is to reach.

    Returns:
        the place, and the distance along ``towards`` that would be tried next.
    """
    distance = float(np.hypot(*(position - target)[:2]))
    for _ in range(6):
        position = np.append((target + distance * towards)[:2], position[2])
        at = Camera.looking(position, target, focal=focal, size=size, roll=roll).project(corners)
        spread = np.abs(at[:, :2] / size - 0.5).max() * 2 if (at[:, 2] > 0.5).all() else 1.8
        distance *= float(np.clip(spread / fill, 0.6, 1.8))
    return position, distance


def place_camera(
    rng: np.random.Generator,
    view: str,
    bounds: tuple[np.ndarray, np.ndarray],
    detail: tuple[tuple[float, float, float], float] | None,
    size: int,
    loose: float,
) -> Camera:
    """Stand where ``view`` says and frame the landmark, or for ``close`` the ``detail``.

    Args:
        rng: the photo's dice.
        view: one of :data:`VIEWS`.
        bounds: lowest and highest corner of the landmark.
        detail: what a close-up shows: middle and height of the picture.
        size: pixels across.
        loose: 0 to 1: how carelessly the picture is framed.
    """
    low, high = bounds
    tall = high[2]
    azimuth = np.radians(rng.uniform(*_AZIMUTH[view]))
    focal = float(rng.uniform(0.85, 1.5))
    towards = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    if view == "close" and detail is not None:
        target, height = np.array(detail[0]), detail[1]
        distance = height * focal * rng.uniform(0.9, 1.5)
        eye = max(1.7, target[2] - rng.uniform(0.2, 0.6) * distance)
        corners = None
    else:
        target = (low + high) / 2
        distance = float(np.linalg.norm(high - low))
        eye = {"far": rng.uniform(2, 0.5 * tall), "above": rng.uniform(0.8, 1.6) * tall}.get(
            view, rng.uniform(1.6, 0.35 * tall)
        )
        corners = corners_of(bounds)
    fill = {"far": 0.42, "above": 0.85}.get(view, 0.92) * rng.uniform(1 - 0.18 * loose, 1 + 0.28 * loose)
    roll = float(np.radians(rng.normal(0, 1.0 + 2.5 * loose)))
    position = target + distance * towards
    position[2] = eye
    if corners is not None:
        position, distance = step_back(
            position, target, towards, corners, focal=focal, size=size, roll=roll, fill=fill
        )
    shift = rng.normal(0, 0.03 + 0.07 * loose, 2) * distance / focal * (1.0 if view == "far" else 0.5)
    aside = np.array([-towards[1], towards[0], 0.0])
    return Camera.looking(
        position,
        target + aside * shift[0] + np.array([0, 0, shift[1] * 0.6]),
        focal=focal,
        size=size,
        roll=roll,
    )

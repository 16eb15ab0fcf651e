"""Places worth a photo: what is in the middle of the picture, and where one stands for it."""

from dataclasses import dataclass

import numpy as np

from perisphere.catalog.scenes.camera import Camera

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Spot:
    """A subject of photos.

    Attributes:
        concept: what it is, one of the ten concepts; empty: a general view.
        name: of this one among the landmark's, such as ``"chapel 2"``.
        target: its middle, metres.
        span: height of a picture that it fills, metres.
        stand: lowest and highest corner of the box from which it is photographed inside; None: outside.
        azimuth: outside, the side from which it is seen: middle and half range, degrees from the x axis.
        eye: outside, greatest height of the camera, as a share of the target's.
    """

    concept: str
    name: str
    target: Vector
    span: float
    stand: tuple[Vector, Vector] | None = None
    azimuth: tuple[float, float] = (-90.0, 25.0)
    eye: float = 0.4

    @property
    def inside(self) -> bool:
        """Whether one stands inside."""
        return self.stand is not None


def stand_at(spot: Spot, rng: np.random.Generator | None, size: int, loose: float) -> Camera:
    """Frame a spot as a visitor would, or, without dice, from the middle of where visitors stand.

    Args:
        spot: the subject.
        rng: the photo's dice; None: the plainest view.
        size: pixels across.
        loose: 0 to 1: how carelessly.
    """
    draw = (lambda low, high: (low + high) / 2) if rng is None else rng.uniform
    target = np.array(spot.target)
    wander = 0.45 + 0.55 * loose
    zoom = float(draw(1 - 0.22 * wander, 1 + 0.3 * wander))
    if spot.stand is not None:
        low, high = np.array(spot.stand)
        share = np.array([draw(0.5 - wander / 2, 0.5 + wander / 2) for _ in range(3)])
        position = low + share * (high - low)
        focal = float(np.linalg.norm(target - position)) / spot.span * zoom
    else:
        turn = np.radians(spot.azimuth[0] + draw(-1.0, 1.0) * spot.azimuth[1] * wander)
        focal = float(draw(0.85, 1.5))
        distance = spot.span * focal / zoom
        eye = max(1.6, float(draw(0.1, 1.0)) * spot.eye * target[2], target[2] - 0.55 * distance)
        position = target + distance * np.array([np.cos(turn), np.sin(turn), 0.0])
        position[2] = eye
    focal = float(np.clip(focal, 0.48, 4.0))
    width = float(np.linalg.norm(target - position)) / focal
    roll, aside = 0.0, np.zeros(3)
    if rng is not None:
        roll = float(np.radians(rng.normal(0, 0.8 + 2.0 * loose)))
        aside = rng.normal(0, 0.02 + 0.045 * loose, 3) * width
    return Camera.looking(position, target + aside, focal=focal, size=size, roll=roll)

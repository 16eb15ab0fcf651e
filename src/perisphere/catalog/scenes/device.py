"""Fixed cameras: each sees whatever comes by from its own side, in its own colours.

What is hard across such cameras is easy within one: two photos of different landmarks by one camera share
the side, the height, the light and the colours, two photos of one landmark by different cameras do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perisphere.catalog.scenes.camera import Camera, corners_of, step_back
from perisphere.catalog.scenes.light import Light, draw_light
from perisphere.catalog.scenes.sensor import Sensor
from perisphere.catalog.scenes.world import device_stream

if TYPE_CHECKING:
    from perisphere.catalog.scenes.photo import Difficulty

SEQUENCES = 6
"""Recordings of a camera, each in one light; a landmark comes by in one of them."""
_FRONT = -90.0


@dataclass(frozen=True)
class Device:
    """A camera that stays where it is.

    Attributes:
        number: from 0.
        azimuth: its side of whatever it sees, degrees (-90: the front).
        eye: its height, as a share of the landmark's.
        focal: focal length, in widths of the picture.
        fill: how large the landmark is in the picture, 0 to 1.
        tilt: of the horizon, radians.
        swing: standard deviation of the azimuth between photos, degrees.
        sensor: its lens and sensor on average.
        drift: standard deviation of exposure and white balance between photos.
        quality: of its JPEG files.
        lights: name of the light in each sequence.
        seed: of its world.
    """

    number: int
    azimuth: float
    eye: float
    focal: float
    fill: float
    tilt: float
    swing: float
    sensor: Sensor
    drift: float
    quality: int
    lights: tuple[str, ...]
    seed: int

    @property
    def view(self) -> str:
        """The side that it sees, one of ``front``, ``left``, ``right`` and ``back``."""
        aside = (self.azimuth - _FRONT + 180) % 360 - 180
        if abs(aside) > 115:
            return "back"
        return "front" if abs(aside) <= 25 else "right" if aside > 0 else "left"

    def sequence(self, landmark: int) -> int:
        """Number of the recording in which a landmark comes by, from 0; the same for all cameras."""
        return int(device_stream(self.seed, 1, landmark).integers(SEQUENCES))

    def light(self, sequence: int) -> Light:
        """The light of a recording: sun and clouds stand still in it."""
        return draw_light(device_stream(self.seed, 2, self.number, sequence), self.lights[sequence])

    def stand(self, rng: np.random.Generator, bounds: tuple[np.ndarray, np.ndarray], size: int) -> Camera:
        """Look at a landmark between ``bounds`` with a picture ``size`` pixels across."""
        low, high = bounds
        target = (low + high) / 2
        azimuth = np.radians(self.azimuth + rng.normal(0, self.swing))
        towards = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
        position = target + float(np.linalg.norm(high - low)) * towards
        position[2] = max(1.6, self.eye * high[2] * rng.uniform(0.9, 1.1))
        fill = self.fill * rng.uniform(0.92, 1.08)
        position, _ = step_back(
            position,
            target,
            towards,
            corners_of(bounds),
            focal=self.focal,
            size=size,
            roll=self.tilt,
            fill=fill,
        )
        return Camera.looking(position, target, focal=self.focal, size=size, roll=self.tilt)

    def set_sensor(self, rng: np.random.Generator) -> Sensor:
        """The sensor for one photo: near the average."""
        own = self.sensor
        exposure = own.exposure * float(np.exp(rng.normal(0, self.drift)))
        balance = own.balance * np.exp(rng.normal(0, self.drift / 2, 3)).astype(np.float32)
        return Sensor(exposure, balance, own.blur * rng.uniform(0.8, 1.2), own.noise, own.response)


def draw_device(seed: int, number: int, cameras: int, level: Difficulty) -> Device:
    """Set up camera ``number`` of ``cameras``; their sides share the arc of the difficulty evenly.

    Args:
        seed: of the world.
        number: from 0.
        cameras: how many there are.
        level: the harder, the farther apart they stand and the less alike their colours are.
    """
    rng = device_stream(seed, 0, number)
    step = level.arc / (cameras - 1) if cameras > 1 else 0.0
    centre = _FRONT + step * (number - (cameras - 1) / 2)
    names, chances = zip(*level.lights.items(), strict=True)
    weights = np.array(chances) / sum(chances)
    return Device(
        number=number,
        azimuth=float(centre + rng.uniform(-0.15, 0.15) * step),
        eye=float(rng.uniform(0.08, 0.3 + 0.7 * level.loose)),
        focal=float(rng.uniform(0.85, 1.5)),
        fill=float(rng.uniform(0.9 - 0.35 * level.loose, 0.95)),
        tilt=float(np.radians(rng.normal(0, 0.5 + 2.5 * level.loose))),
        swing=2 + 6 * level.loose,
        sensor=_draw_sensor(rng, level),
        drift=0.5 * level.colour,
        quality=int(rng.integers(level.quality[0], level.quality[1] + 1)),
        lights=tuple(str(name) for name in rng.choice(names, SEQUENCES, p=weights)),
        seed=seed,
    )


def _draw_sensor(rng: np.random.Generator, level: Difficulty) -> Sensor:
    """A sensor of its own: cast, saturation, crosstalk of its filters, softness and noise."""
    grey = float(np.exp(rng.normal(0, 2.5 * level.colour)))
    saturated = np.eye(3) * grey + (1 - grey) / 3
    crosstalk = np.eye(3) + rng.normal(0, 0.6 * level.colour, (3, 3))
    response = (crosstalk @ saturated).astype(np.float32)
    return Sensor(
        exposure=float(np.exp(rng.normal(0, 2 * level.colour))),
        balance=np.exp(rng.normal(0, 1.5 * level.colour, 3)).astype(np.float32),
        blur=float(rng.uniform(0.2, 1.0) * level.blur),
        noise=float(rng.uniform(0.4, 1.8) * level.noise),
        response=response,
    )

"""Sun, sky and weather."""

from dataclasses import dataclass, field

import numpy as np

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """The light of one photo; colours are linear RGB.

    Attributes:
        name: morning, noon, afternoon, overcast, dusk or night.
        towards: float64 ``[3]``: unit vector to the sun (or moon).
        sun: its colour times strength.
        zenith: the sky overhead, which is also the light from above.
        horizon: the sky low down, and the haze.
        bounce: light from the ground.
        clouds: 0 clear to 1 covered.
        cloud: colour of the clouds.
        haze: fog per metre.
        flood: lamps at the foot of the walls.
        lit: share of windows with a light inside.
        drift: where the clouds and hills are.
        panes: the day behind stained glass that is seen from inside.
        lamps: float32 ``[k, 7]``: place, colour, and the distance (metres) at which a lamp is half as bright.
    """

    name: str
    towards: np.ndarray
    sun: Colour
    zenith: Colour
    horizon: Colour
    bounce: Colour
    clouds: float
    cloud: Colour
    haze: float
    flood: Colour = (0.0, 0.0, 0.0)
    lit: float = 0.0
    drift: float = 0.0
    panes: Colour = (0.0, 0.0, 0.0)
    lamps: np.ndarray = field(default_factory=lambda: np.zeros((0, 7), np.float32))


_KINDS: dict[str, dict] = {
    "morning": {
        "sun": (2.1, 1.55, 1.05),
        "zenith": (0.24, 0.42, 0.80),
        "horizon": (0.92, 0.82, 0.74),
        "bounce": (0.34, 0.28, 0.22),
        "cloud": (1.1, 0.98, 0.9),
        "elevation": (14, 30),
    },
    "noon": {
        "sun": (2.0, 1.88, 1.66),
        "zenith": (0.17, 0.36, 0.82),
        "horizon": (0.66, 0.80, 0.98),
        "bounce": (0.34, 0.31, 0.26),
        "cloud": (1.15, 1.15, 1.17),
        "elevation": (42, 66),
    },
    "afternoon": {
        "sun": (2.15, 1.78, 1.32),
        "zenith": (0.18, 0.37, 0.80),
        "horizon": (0.80, 0.82, 0.86),
        "bounce": (0.36, 0.30, 0.24),
        "cloud": (1.15, 1.1, 1.04),
        "elevation": (25, 45),
    },
    "overcast": {
        "sun": (0.34, 0.34, 0.35),
        "zenith": (0.74, 0.79, 0.88),
        "horizon": (0.93, 0.94, 0.97),
        "bounce": (0.30, 0.29, 0.28),
        "cloud": (0.62, 0.65, 0.71),
        "elevation": (45, 70),
    },
    "dusk": {
        "sun": (1.45, 0.68, 0.28),
        "zenith": (0.14, 0.18, 0.42),
        "horizon": (1.05, 0.52, 0.26),
        "bounce": (0.17, 0.13, 0.13),
        "cloud": (0.85, 0.38, 0.30),
        "elevation": (5, 12),
        "lit": 0.3,
    },
    "night": {
        "sun": (0.045, 0.06, 0.10),
        "zenith": (0.012, 0.020, 0.055),
        "horizon": (0.07, 0.07, 0.12),
        "bounce": (0.03, 0.025, 0.03),
        "cloud": (0.06, 0.06, 0.09),
        "elevation": (35, 60),
        "flood": (1.5, 1.0, 0.52),
        "lit": 0.55,
    },
}
LIGHTS = tuple(_KINDS)


def draw_light(rng: np.random.Generator, name: str) -> Light:
    """Draw the sun's place and the weather of a light called ``name``."""
    kind = dict(_KINDS[name])
    low, high = kind.pop("elevation")
    elevation = np.radians(rng.uniform(low, high))
    # Mostly from the landmark's front (negative y), so that its face is not always in shade.
    azimuth = np.radians(-90 + rng.normal(0, 65))
    level = np.cos(elevation)
    towards = np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])
    clouds = rng.uniform(0.75, 1.0) if name == "overcast" else rng.uniform(0.05, 0.65)
    haze = float(rng.uniform(0.0002, 0.0013))
    return Light(
        name=name, towards=towards, clouds=float(clouds), haze=haze, drift=float(rng.uniform(0, 500)), **kind
    )

"""The drawing board of one landmark: its mesh, its stones and the dice that give it its own proportions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from perisphere.catalog.scenes.geometry import Mesh
from perisphere.catalog.scenes.materials import Colour, Material, Openings, Surface

STONES: dict[str, Colour] = {
    "limestone": (0.62, 0.54, 0.40),
    "chalk": (0.74, 0.70, 0.60),
    "sandstone": (0.56, 0.38, 0.22),
    "granite": (0.40, 0.39, 0.38),
    "marble": (0.80, 0.78, 0.74),
    "ochre": (0.66, 0.46, 0.20),
    "brick": (0.42, 0.17, 0.10),
    "rose": (0.58, 0.36, 0.29),
    "plaster": (0.76, 0.66, 0.48),
    "slate": (0.10, 0.115, 0.14),
    "terracotta": (0.42, 0.15, 0.07),
    "lead": (0.27, 0.31, 0.34),
    "copper": (0.20, 0.42, 0.35),
    "gold": (0.72, 0.48, 0.10),
    "turquoise": (0.06, 0.36, 0.42),
    "bronze": (0.10, 0.085, 0.06),
    "oak": (0.13, 0.07, 0.04),
}


@dataclass
class Plan:
    """What a style function draws on.

    Attributes:
        rng: the landmark's own dice.
        spread: how far landmarks of one style lie apart: 1 takes the whole range of each proportion.
        details: places worth a close-up: part name, middle (metres), height of the picture there.
    """

    rng: np.random.Generator
    spread: float
    mesh: Mesh = field(default_factory=Mesh)
    details: list[tuple[str, tuple[float, float, float], float]] = field(default_factory=list)
    stone: Material = field(default=Material((0.6, 0.5, 0.4)))
    cover: Material = field(default=Material((0.2, 0.2, 0.2)))
    stone_name: str = "limestone"

    def between(self, low: float, high: float) -> float:
        """A proportion of this landmark."""
        middle = (low + high) / 2
        return float(middle + (self.rng.random() - 0.5) * (high - low) * self.spread)

    def count(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        return round(self.between(low - 0.49, high + 0.49))

    def chance(self, probability: float) -> bool:
        """A feature that this landmark has or lacks."""
        return bool(self.rng.random() < probability)

    def choose_stone(self, names: Sequence[str], covers: Sequence[str], *, course: float = 0.55) -> None:
        """Pick the walls' stone and the roofs' cover; the further apart, the more the tint varies."""
        self.stone_name = str(self.rng.choice(list(names)))
        block = course * self.between(1.6, 2.6)
        self.stone = Material(
            self.tint(STONES[self.stone_name]), course=course, block=block, variety=self.between(0.07, 0.2)
        )
        self.cover = Material(
            self.tint(STONES[str(self.rng.choice(list(covers)))]),
            course=0.42,
            block=0.36,
            joint=0.15,
            lap=0.4,
        )

    def tint(self, colour: Colour) -> Colour:
        """This landmark's own shade of a colour."""
        shift = (
            1
            + self.rng.uniform(-0.16, 0.16, 3) * self.spread * 0.6
            + self.rng.uniform(-0.12, 0.12) * self.spread
        )
        r, g, b = np.clip(np.array(colour) * shift, 0.03, 0.9)
        return float(r), float(g), float(b)

    def wall(self, part: str, tone: float = 1.0, openings: Openings | None = None) -> Surface:
        """The landmark's stone as ``part``."""
        return Surface(part, self.stone.tinted(tone), openings or Openings())

    def roof(self, part: str = "roof", tone: float = 1.0) -> Surface:
        """The landmark's tiles as ``part``."""
        return Surface(part, self.cover.tinted(tone))

    def trim(self, part: str = "cornice", tone: float = 1.14) -> Surface:
        """Smooth dressed stone, a little lighter than the walls."""
        r, g, b = (min(0.9, c * tone) for c in self.stone.colour)
        return Surface(part, Material((r, g, b), course=0.0, grain=0.3, weather=0.4))

    def metal(self, name: str, part: str, radius: float, ribs: int = 24) -> Surface:
        """A ribbed sheet-metal cover, such as a lead dome."""
        return Surface(part, Material(self.tint(STONES[name]), grain=0.2, weather=0.5, flutes=ribs / radius))

    def column(self, x: float, y: float, z: tuple[float, float], radius: float, *, sides: int = 10) -> None:
        """A fluted column with base and capital."""
        low, high = z
        shaft = Surface("column", Material(self.trim().material.colour, weather=0.3, flutes=16 / radius))
        trim = self.trim("column")
        self.mesh.cylinder((x, y), (low, high), radius, shaft, top_radius=radius * 0.86, sides=sides)
        cap = max(0.3, radius * 0.7)
        self.mesh.box(
            (x - radius * 1.25, x + radius * 1.25),
            (y - radius * 1.25, y + radius * 1.25),
            (high, high + cap),
            trim,
        )
        self.mesh.box(
            (x - radius * 1.3, x + radius * 1.3),
            (y - radius * 1.3, y + radius * 1.3),
            (low, low + cap * 0.6),
            trim,
        )

    def cornice(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        z: float,
        *,
        high: float = 0.5,
        proud: float = 0.35,
    ) -> None:
        """A ledge around a block, which throws a shadow on the wall beneath."""
        self.mesh.box(
            (x[0] - proud, x[1] + proud), (y[0] - proud, y[1] + proud), (z, z + high), self.trim("cornice")
        )

    def battlements(
        self, x: tuple[float, float], y: tuple[float, float], z: float, *, size: float = 0.9
    ) -> None:
        """Merlons around the top of a block."""
        wall = self.wall("battlement", 0.98)
        for (ax, ay), (bx, by) in (
            ((x[0], y[0]), (x[1], y[0])),
            ((x[1], y[0]), (x[1], y[1])),
            ((x[1], y[1]), (x[0], y[1])),
            ((x[0], y[1]), (x[0], y[0])),
        ):
            length = abs(bx - ax) + abs(by - ay)
            number = max(2, round(length / (size * 2.2)))
            for k in range(number):
                share = (k + 0.5) / number
                cx, cy = ax + (bx - ax) * share, ay + (by - ay) * share
                wx, wy = (size / 2, 0.25) if ay == by else (0.25, size / 2)
                self.mesh.box((cx - wx, cx + wx), (cy - wy, cy + wy), (z, z + size), wall)

    def statue(self, x: float, y: float, z: float, height: float = 2.2) -> None:
        """A standing figure on a plinth."""
        stone = Surface("statue", Material(self.trim().material.colour, grain=0.5, weather=0.8))
        h = height
        self.mesh.box((x - 0.2 * h, x + 0.2 * h), (y - 0.2 * h, y + 0.2 * h), (z, z + 0.16 * h), stone)
        self.mesh.cylinder(
            (x, y), (z + 0.16 * h, z + 0.72 * h), 0.17 * h, stone, top_radius=0.13 * h, sides=7
        )
        self.mesh.cylinder(
            (x, y), (z + 0.72 * h, z + 0.84 * h), 0.13 * h, stone, top_radius=0.05 * h, sides=7
        )
        self.mesh.dome((x, y, z + 0.84 * h), 0.075 * h, 0.15 * h, stone, sides=7, rings=2)

    def pinnacle(self, x: float, y: float, z: float, width: float, height: float) -> None:
        """A small four-sided spire."""
        w = width / 2
        stone = self.trim("spire", 1.02)
        self.mesh.box((x - w, x + w), (y - w, y + w), (z, z + height * 0.35), stone)
        self.mesh.hip_roof(
            (x - w * 1.15, x + w * 1.15),
            (y - w * 1.15, y + w * 1.15),
            (z + height * 0.35, z + height),
            stone,
            ridge=0,
        )

    def stairs(self, x: tuple[float, float], y: tuple[float, float], *, rise: float, steps: int = 4) -> None:
        """Steps around a block, up to ``rise``."""
        stone = self.trim("stairs", 1.0)
        for k in range(steps):
            out = (steps - k) * 0.55
            self.mesh.box(
                (x[0] - out, x[1] + out),
                (y[0] - out, y[1] + out),
                (rise * k / steps, rise * (k + 1) / steps),
                stone,
            )

    def detail(self, part: str, x: float, y: float, z: float, size: float) -> None:
        """Remember a place worth a close-up."""
        self.details.append((part, (x, y, z), size))

"""What a face is made of: stone, tiles or leaves, and the windows and doors cut into it."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Literal

import numpy as np

from perisphere.catalog.scenes.parts import PART_ID

Shape = Literal["none", "rect", "round", "pointed", "circle"]
Fill = Literal["void", "glass", "stained", "wood", "rose", "clock", "niche", "lancet", "wheel", "painting"]
SHAPES: tuple[Shape, ...] = ("none", "rect", "round", "pointed", "circle")
FILLS: tuple[Fill, ...] = (
    *("void", "glass", "stained", "wood", "rose", "clock", "niche"),
    *("lancet", "wheel", "painting"),
)
"""The last three hang inside: glass with the day behind it, in lights or round a hub, and a painted panel."""

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """Colour (linear RGB, 0 to 1) and masonry of a surface; lengths in metres."""

    colour: Colour
    course: float = 0.0  # height of a course of blocks or tiles; 0 = none
    block: float = 1.0  # length of a block
    joint: float = 0.25  # darkness of the joints, 0 to 1
    variety: float = 0.10  # how much the blocks differ in brightness
    grain: float = 0.25  # strength of the fine noise
    weather: float = 0.3  # strength of stains and streaks
    lap: float = 0.0  # darkening towards the lower edge of a course: overlapping tiles
    bands: float = 0.0  # every second course in another tone (striped masonry), -1 to 1
    flutes: float = 0.0  # vertical grooves or ribs: radians per metre

    def tinted(self, factor: float) -> "Material":
        """The same material, lighter (> 1) or darker (< 1)."""
        r, g, b = self.colour
        return replace(self, colour=(r * factor, g * factor, b * factor))


@dataclass(frozen=True)
class Openings:
    """A grid of equal windows, doors or niches in a face; lengths in metres.

    The first cell begins at ``left`` from the face's left edge; each cell is ``pitch`` wide and holds one
    opening of ``width`` x ``height`` in its middle, ``sill`` above the face's foot; rows repeat
    every ``storey``.
    """

    part: str = "window"
    shape: Shape = "none"
    fill: Fill = "glass"
    columns: int = 1
    rows: int = 1
    left: float = 0.0
    pitch: float = 1.0
    sill: float = 0.0
    storey: float = 1.0
    width: float = 0.5
    height: float = 1.0
    depth: float = 0.3
    frame: float = 0.12  # width of the moulding around
    bars: int = 2  # mullions or spokes

    @classmethod
    def row(
        cls, length: float, columns: int, width: float, height: float, sill: float, **options: object
    ) -> "Openings":
        """Spread ``columns`` openings evenly over a face ``length`` metres long."""
        columns = max(1, columns)
        pitch = length / columns
        width = min(width, 0.86 * pitch)
        return cls(columns=columns, pitch=pitch, width=width, height=height, sill=sill, **options)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Surface:
    """A part made of a material, with or without openings."""

    part: str
    material: Material
    openings: Openings = Openings()

    def with_openings(self, openings: Openings) -> "Surface":
        """The same wall with these openings."""
        return replace(self, openings=openings)

    @cached_property
    def row(self) -> tuple[float, ...]:
        """The numbers of this surface, in the order of :data:`COLUMNS`."""
        o = self.openings
        numbers = (float(PART_ID[o.part]), float(SHAPES.index(o.shape)), float(FILLS.index(o.fill)))
        sizes = (float(getattr(o, field.name)) for field in fields(Openings)[3:])
        stone = (float(getattr(self.material, field.name)) for field in fields(Material)[1:])
        return (float(PART_ID[self.part]), *self.material.colour, *stone, *numbers, *sizes)


COLUMNS = {
    name: number
    for number, name in enumerate(
        [
            *("part", "red", "green", "blue"),
            *(field.name for field in fields(Material)[1:]),
            *("opening_part", "shape", "fill"),
            *(field.name for field in fields(Openings)[3:]),
        ]
    )
}
"""Where each number of a surface stands in a row of :func:`surface_table`."""


def surface_table(surfaces: list[Surface]) -> np.ndarray:
    """Stack surfaces as float32 ``[surfaces, len(COLUMNS)]``."""
    return np.array([surface.row for surface in surfaces], np.float32).reshape(-1, len(COLUMNS))

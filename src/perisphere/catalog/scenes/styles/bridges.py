"""Bridges: stone arches over water."""

from itertools import pairwise

import numpy as np

from perisphere.catalog.scenes.geometry import Mesh
from perisphere.catalog.scenes.materials import Openings, Surface
from perisphere.catalog.scenes.plan import Plan


def arched(p: Plan) -> None:
    """Round or segmental arches on piers with cutwaters, a parapet, sometimes a gate tower."""
    p.choose_stone(["sandstone", "limestone", "granite", "rose"], ["slate", "terracotta"], course=0.6)
    m, number = p.mesh, p.count(3, 5)
    span, pier, wide = p.between(7, 10), p.between(1.8, 2.8), p.between(4.5, 6.5)
    rise = span * p.between(0.32, 0.5)
    deck, hump = rise + p.between(2.2, 3.6), p.between(0, 2.4)
    pitch = span + pier
    half = pitch * number / 2 + 4
    outline = _outline(number, span, pitch, rise, deck, hump, half)
    side = p.wall("arch")
    m.face([(x, 0, z) for x, z in outline], side)
    m.face([(-x, wide, z) for x, z in outline], side)
    for k in range(number):
        _vault(m, p.wall("vault", 0.85), (k - (number - 1) / 2) * pitch, span, rise, wide)
    top = [(x, z) for x, z in outline if z >= deck - 0.01]
    rail = p.trim("balcony", 1.05)
    for (ax, az), (bx, bz) in pairwise(top):
        lo, hi = ((ax, az), (bx, bz)) if ax < bx else ((bx, bz), (ax, az))
        m.face(
            [(lo[0], 0, lo[1]), (hi[0], 0, hi[1]), (hi[0], wide, hi[1]), (lo[0], wide, lo[1])],
            p.trim("floor", 0.8),
        )
        for y, flip in ((-0.2, 1), (wide + 0.2, -1)):
            quad = [
                (lo[0], y, lo[1] - 0.3),
                (hi[0], y, hi[1] - 0.3),
                (hi[0], y, hi[1] + 1),
                (lo[0], y, lo[1] + 1),
            ]
            m.face(quad if flip > 0 else [quad[1], quad[0], quad[3], quad[2]], rail)
    for k in range(number + 1):
        x = (k - number / 2) * pitch
        m.cylinder(
            (x, 0),
            (0, deck * 0.62),
            pier * 0.55,
            p.wall("buttress", 1.03),
            sides=8,
            turn=(np.pi, 2 * np.pi),
            cap=p.trim("buttress"),
        )
        m.cylinder(
            (x, wide),
            (0, deck * 0.62),
            pier * 0.55,
            p.wall("buttress", 1.03),
            sides=8,
            turn=(0, np.pi),
            cap=p.trim("buttress"),
        )
        if p.spread > 0 and 0 < k < number and p.rng.random() < 0.35:
            p.statue(x, -0.2, deck + 1 + hump * 0.6, 2.4)
    if p.chance(0.5):
        _gate(p, half - 4, wide, deck)
    p.detail("arch", pitch / 2 if number % 2 == 0 else 0, 0, rise * 0.7, span * 0.9)
    p.detail("buttress", pitch * 0.5, 0, deck * 0.6, deck * 1.2)


def _outline(
    number: int, span: float, pitch: float, rise: float, deck: float, hump: float, half: float
) -> list[tuple[float, float]]:
    """The side of the bridge, counter-clockwise: along the arches, back along the deck."""
    points = [(-half, 0.0)]
    for k in range(number):
        middle = (k - (number - 1) / 2) * pitch
        turn = np.linspace(np.pi, 0, 13)
        points += [(middle + span / 2 * np.cos(t), rise * np.sin(t)) for t in turn]
    points.append((half, 0.0))
    along = np.linspace(half, -half, 9)
    points += [(x, deck + hump * (1 - (x / half) ** 2)) for x in along]
    return [(float(x), float(z)) for x, z in points]


def _vault(m: Mesh, surface: Surface, middle: float, span: float, rise: float, wide: float) -> None:
    turn = np.linspace(0, np.pi, 11)
    x, z = middle + span / 2 * np.cos(turn), rise * np.sin(turn)
    for k in range(10):
        m.face(
            [(x[k], wide, z[k]), (x[k + 1], wide, z[k + 1]), (x[k + 1], 0, z[k + 1]), (x[k], 0, z[k])][::-1],
            surface,
        )


def _gate(p: Plan, x: float, wide: float, deck: float) -> None:
    size, high = wide * 0.55, deck + p.between(8, 13)
    lights = Openings.row(wide * 1.1, 2, 0.9, 2.0, high - deck * 0.6, shape="pointed", fill="glass")
    way = Openings(
        part="portal",
        shape="pointed",
        fill="void",
        pitch=wide * 1.1,
        sill=deck,
        width=wide * 0.6,
        height=4.4,
        depth=1.5,
    )
    m = p.mesh
    m.box(
        (x - size, x + size),
        (-0.3, wide + 0.3),
        (0, high),
        p.wall("tower", 1, lights),
        side=p.wall("tower", 1, way),
    )
    p.battlements((x - size, x + size), (-0.1, wide + 0.3), high)
    m.hip_roof(
        (x - size + 0.6, x + size - 0.6), (0.3, wide - 0.3), (high, high + p.between(5, 8)), p.roof("spire")
    )
    p.detail("tower", x, 0, high * 0.8, 11)

"""Temples: doric, corinthian and pagodas."""

from itertools import pairwise

import numpy as np

from perisphere.catalog.scenes.materials import Openings
from perisphere.catalog.scenes.plan import Plan


def doric(p: Plan) -> None:
    """Stout columns all around, a plain frieze and a low pediment."""
    p.choose_stone(["marble", "limestone", "ochre"], ["terracotta", "chalk"], course=0.8)
    _peripteral(
        p, radius=p.between(0.62, 0.85), column=p.between(5.6, 7.6), steps=3, podium=p.between(1.0, 1.5)
    )


def corinthian(p: Plan) -> None:
    """Slender columns on a high podium with a stair in front, often only a porch of them."""
    p.choose_stone(["chalk", "limestone", "rose"], ["terracotta", "lead"], course=0.7)
    _peripteral(
        p, radius=p.between(0.42, 0.55), column=p.between(8, 10.5), steps=7, podium=p.between(2.2, 3.4)
    )


def pagoda(p: Plan) -> None:
    """Storeys of red timber under wide, swept tile roofs."""
    p.choose_stone(["brick", "rose"], ["slate", "terracotta", "turquoise"], course=0.0)
    m, half, storeys = p.mesh, p.between(4.6, 6.2), p.count(3, 6)
    z, taper = p.between(1.2, 2.4), p.between(0.80, 0.88)
    p.stairs((-half - 2, half + 2), (-half - 2, half + 2), rise=z, steps=4)
    for k in range(storeys):
        high = (4.6 if k == 0 else 3.3) * p.between(0.9, 1.1)
        door = Openings.row(
            2 * half,
            3 if half > 3 else 2,
            1.3,
            high * 0.62,
            0.3,
            shape="rect",
            fill="wood" if k == 0 else "glass",
            part="portal" if k == 0 else "window",
            depth=0.25,
            frame=0.12,
            bars=5,
        )
        m.box((-half, half), (-half, half), (z, z + high), p.wall("wall", 1, door))
        for x in np.linspace(-half, half, 4):
            for y in (-half - 0.1, half + 0.1):
                m.cylinder((x, y), (z, z + high), 0.22, p.trim("column", 0.8), sides=6)
        z += high
        _swept_roof(p, half, z, half * 0.55, last=k == storeys - 1)
        p.detail("roof", half * 0.6, -half, z, half * 2.4)
        z += half * 0.26
        half *= taper
    top = z + half * 0.9
    m.cylinder(
        (0, 0),
        (top - 1.5, top + p.between(3, 6)),
        0.28,
        p.metal("gold", "spire", 0.3, 8),
        top_radius=0.05,
        sides=6,
    )


def _swept_roof(p: Plan, half: float, z: float, over: float, *, last: bool) -> None:
    """Two pitches, the lower one flatter, with corners that rise."""
    tiles, m = p.roof(), p.mesh
    outer, middle, lift = half + over, half + over * 0.3, over * 0.28
    inner, top = (0.05, z + half * 1.25) if last else (half * 0.82, z + over * 0.75)
    rings = [(outer, z - over * 0.12), (middle, z + over * 0.26), (inner, top)]
    for side in range(4):
        c, s = round(np.cos(side * np.pi / 2)), round(np.sin(side * np.pi / 2))

        def turned(x: float, y: float, h: float, c: int = c, s: int = s) -> tuple[float, float, float]:
            return (c * x - s * y, s * x + c * y, h)

        for (r0, h0), (r1, h1) in pairwise(rings):
            up = lift if r0 == outer else 0.0
            m.face(
                [
                    turned(-r0 * 0.6, -r0, h0),
                    turned(r0 * 0.6, -r0, h0),
                    turned(r1 * 0.6, -r1, h1),
                    turned(-r1 * 0.6, -r1, h1),
                ],
                tiles,
            )
            for e in (-1, 1):
                corner = [
                    turned(e * r0, -r0, h0 + up),
                    turned(e * r0 * 0.6, -r0, h0),
                    turned(e * r1 * 0.6, -r1, h1),
                    turned(e * r1, -r1, h1),
                ]
                m.face(corner[::-1] if e > 0 else corner, tiles)
                m.face([corner[0], corner[2], corner[3]][::-e], tiles)
        eaves = [
            turned(-outer, -outer, z - 0.1),
            turned(-half, -half, z - 0.1),
            turned(half, -half, z - 0.1),
            turned(outer, -outer, z - 0.1),
        ]
        m.face(eaves, p.wall("roof", 0.5))


def _peripteral(p: Plan, *, radius: float, column: float, steps: int, podium: float) -> None:
    m, number = p.mesh, 2 * p.count(2, 4) + (0 if p.chance(0.8) else 1)
    pitch = radius * p.between(4.2, 5.2)
    half = pitch * (number - 1) / 2
    depth = pitch * (round(number * p.between(1.2, 2.0)))
    x, y = (-half - radius * 2, half + radius * 2), (-radius * 2, depth + radius * 2)
    p.stairs((x[0], x[1]), (y[0], y[1]), rise=podium, steps=steps)
    top = podium + column
    around = p.chance(0.7)
    for k in range(number):
        p.column(-half + k * pitch, 0, (podium, top), radius)
        if around:
            p.column(-half + k * pitch, depth, (podium, top), radius, sides=8)
    for k in range(1, round(depth / pitch)):
        for side in (-half, half):
            if around or k <= 1:
                p.column(side, k * pitch, (podium, top), radius, sides=8)
    door = Openings(
        part="portal",
        shape="rect",
        fill="wood",
        pitch=2 * (half - pitch),
        width=pitch * 0.9,
        height=column * 0.7,
        depth=0.6,
        frame=0.4,
    )
    inner = half - pitch if around else half + radius
    deep = (pitch * 1.1, depth - (pitch if around else -radius))
    m.box((-inner, inner), deep, (podium, top + 0.5), p.wall("wall", 0.95), front=p.wall("wall", 0.95, None))
    m.wall_with((-half + pitch, deep[0]), (half - pitch, deep[0]), podium, p.wall("wall", 0.95, door), 0.05)
    beam, cap = p.between(1.2, 1.9), max(0.3, radius * 0.7)
    triglyphs = Openings.row(
        x[1] - x[0],
        number * 2 - 1,
        0.7,
        beam * 0.42,
        beam * 0.5,
        shape="rect",
        fill="void",
        part="cornice",
        depth=0.1,
        frame=0.05,
    )
    m.box(
        x, y, (top + cap, top + cap + beam), p.trim("cornice", 1.05), front=p.wall("cornice", 1.08, triglyphs)
    )
    p.cornice(x, y, top + cap + beam, high=0.35, proud=0.5)
    ridge = (x[1] - x[0]) * p.between(0.12, 0.18)
    low = top + cap + beam + 0.35
    m.gable_roof(
        (x[0] - 0.5, x[1] + 0.5),
        (y[0] - 0.4, y[1] + 0.4),
        (low, low + ridge),
        p.roof(),
        p.wall("pediment", 1.08),
        along="y",
        eaves=0.1,
    )
    figures = p.count(3, 7) if p.chance(0.6) else 0
    for k in range(figures):
        share = (k + 1) / (figures + 1) * 2 - 1
        p.statue(share * x[1] * 0.8, y[0] - 0.55, low, max(0.7, (1 - abs(share)) * ridge * 0.8))
    p.detail("pediment", 0, y[0], low, (x[1] - x[0]) * 0.5)
    p.detail("column", half * 0.4, 0, podium + column * 0.6, column * 0.9)

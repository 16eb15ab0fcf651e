"""Mosques: ottoman and persian."""

import numpy as np

from perisphere.catalog.scenes.materials import Material, Openings, Surface
from perisphere.catalog.scenes.plan import STONES, Plan


def ottoman(p: Plan) -> None:
    """A great lead dome over half domes, with pencil minarets."""
    p.choose_stone(["chalk", "limestone", "granite"], ["lead"], course=0.6)
    m, half, height = p.mesh, p.between(9, 13), p.between(9, 12)
    walls = Openings.row(
        2 * half,
        p.count(4, 6),
        1.5,
        2.4,
        1.6,
        shape="round",
        rows=2,
        storey=height * 0.45,
        fill="glass",
        depth=0.4,
    )
    m.box((-half, half), (0, 2 * half), (0, height), p.wall("wall", 1, walls), top=p.trim("roof"))
    p.cornice((-half, half), (0, 2 * half), height, high=0.5)
    radius = half * p.between(0.55, 0.68)
    drum, middle = radius * p.between(0.3, 0.5), half
    lead = p.metal("lead", "dome", radius, 24)
    step = height + p.between(2.5, 4)
    m.box(
        (-radius * 1.08, radius * 1.08),
        (middle - radius * 1.08, middle + radius * 1.08),
        (height, step),
        p.wall("wall"),
    )
    lights = Openings.row(
        2 * np.pi * radius,
        p.count(16, 24),
        0.8,
        drum * 0.62,
        drum * 0.15,
        shape="round",
        fill="glass",
        depth=0.3,
    )
    m.cylinder((0, middle), (step, step + drum), radius, p.wall("drum", 1, lights), sides=22)
    m.dome((0, middle, step + drum), radius * 1.02, radius * p.between(0.72, 0.95), lead, sides=22, rings=6)
    small = radius * 0.62
    for x, y in ((0, middle - radius), (0, middle + radius), (-radius, middle), (radius, middle)):
        m.dome(
            (x, y, height + 0.5), small, small * 0.85, p.metal("lead", "dome", small, 14), sides=14, rings=4
        )
    for x in (-half * 0.78, half * 0.78):
        for y in (half * 0.22, half * 1.78):
            m.dome((x, y, height + 0.5), half * 0.17, half * 0.17, lead, sides=10, rings=3)
    tip = step + drum + radius * 0.8
    m.cylinder((0, middle), (tip, tip + 2.2), 0.2, p.metal("gold", "spire", 0.2, 4), top_radius=0.02, sides=5)
    _porch(p, half * p.between(0.6, 0.9), height * 0.62)
    places = [(-half, 0.0), (half, 0.0), (-half, 2 * half), (half, 2 * half)][: 2 * p.count(1, 2)]
    for x, y in places:
        _minaret(p, x * 1.04, y, p.between(24, 33), 1.15, balconies=p.count(1, 3))
    p.detail("dome", 0, middle - radius, step + drum, radius * 2.4)


def persian(p: Plan) -> None:
    """A tall portal (iwan) of glazed tiles, an onion dome and two round towers."""
    p.choose_stone(["ochre", "plaster", "sandstone"], ["turquoise"], course=0.3)
    m, half, height = p.mesh, p.between(11, 15), p.between(7.5, 10)
    glaze = Material(p.cover.colour, course=0.5, block=0.5, joint=0.3, variety=0.45, weather=0.1)
    niches = Openings.row(
        2 * half,
        p.count(5, 9),
        2.0,
        height * 0.33,
        0.6,
        shape="pointed",
        rows=2,
        storey=height * 0.47,
        fill="niche",
        depth=0.8,
        frame=0.2,
    )
    m.box((-half, half), (1.5, half * 1.5), (0, height), p.wall("wall", 1, niches), top=p.trim("roof"))
    wide, tall = half * p.between(0.36, 0.46), height * p.between(1.45, 1.8)
    iwan = Openings(
        part="portal",
        shape="pointed",
        fill="niche",
        pitch=2 * wide,
        width=wide * 1.3,
        height=tall * 0.8,
        depth=2.2,
        frame=0.45,
    )
    m.box(
        (-wide, wide),
        (0, 3.5),
        (0, tall),
        Surface("facade", glaze, Openings()),
        front=Surface("facade", glaze, iwan),
        top=p.trim(),
    )
    radius = half * p.between(0.36, 0.48)
    drum, y = height + p.between(3, 5.5), half * 0.9
    band = Openings.row(2 * np.pi * radius, 12, 1.0, 1.6, 1.0, shape="pointed", fill="glass", depth=0.3)
    m.cylinder((0, y), (height, drum), radius * 0.92, p.wall("drum", 1, band), sides=20)
    m.dome(
        (0, y, drum),
        radius,
        radius * p.between(1.3, 1.7),
        Surface(
            "dome",
            Material(
                p.cover.colour,
                course=0.6,
                block=0.6,
                joint=0.2,
                variety=0.3,
                weather=0.2,
                flutes=(20 / radius if p.chance(0.5) else 0.0),
            ),
        ),
        sides=22,
        rings=8,
        bulge=p.between(0.15, 0.4),
    )
    for x in (-wide - 0.8, wide + 0.8):
        _minaret(p, x, 1.2, tall * p.between(1.35, 1.8), 1.25, balconies=1, cap=p.chance(0.4))
    p.detail("portal", 0, 0, tall * 0.5, tall * 1.1)


def _porch(p: Plan, half: float, height: float) -> None:
    arches = Openings.row(
        2 * half,
        p.count(3, 7),
        3.0,
        height * 0.82,
        0,
        shape="round",
        part="portal",
        fill="void",
        depth=1.8,
        frame=0.25,
    )
    p.mesh.box(
        (-half, half),
        (-4, 0),
        (0, height),
        p.wall("portal"),
        front=p.wall("portal", 1.03, arches),
        top=p.roof(),
    )
    p.cornice((-half, half), (-4, 0), height - 0.3, high=0.3, proud=0.2)
    for x in np.linspace(-half, half, 7)[1::2]:
        p.mesh.dome(
            (x, -2, height), half / 3.6, half / 5, p.metal("lead", "dome", half / 4, 12), sides=12, rings=3
        )


def _minaret(
    p: Plan, x: float, y: float, height: float, radius: float, *, balconies: int, cap: bool = True
) -> None:
    m, shaft = p.mesh, p.wall("minaret", 1.05)
    m.box(
        (x - radius * 1.4, x + radius * 1.4),
        (y - radius * 1.4, y + radius * 1.4),
        (0, height * 0.2),
        p.wall("minaret"),
    )
    m.cylinder((x, y), (height * 0.2, height), radius, shaft, top_radius=radius * 0.8, sides=12)
    for k in range(balconies):
        z = height * (0.94 - 0.2 * k)
        m.cylinder((x, y), (z - 0.9, z), radius * 0.9, p.trim("balcony"), top_radius=radius * 1.5, sides=12)
        m.cylinder(
            (x, y), (z, z + 0.9), radius * 1.5, p.trim("balcony", 1.05), sides=12, cap=p.trim("balcony")
        )
    if cap:
        m.cylinder(
            (x, y),
            (height, height * 1.18),
            radius * 0.95,
            p.metal("lead", "spire", radius, 10),
            top_radius=0,
            sides=12,
        )
    else:
        m.dome(
            (x, y, height),
            radius,
            radius * 1.5,
            Surface("dome", Material(STONES["turquoise"])),
            sides=12,
            rings=4,
        )

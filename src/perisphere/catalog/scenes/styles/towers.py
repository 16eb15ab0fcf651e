"""Towers: campanile and lighthouse."""

import numpy as np

from perisphere.catalog.scenes.materials import Material, Openings, Surface
from perisphere.catalog.scenes.plan import STONES, Plan


def campanile(p: Plan) -> None:
    """A tall square bell tower with an open loggia, a clock and a pyramid roof."""
    p.choose_stone(["brick", "rose", "sandstone", "chalk"], ["terracotta", "copper", "slate"], course=0.3)
    m, half, height = p.mesh, p.between(2.9, 4.0), p.between(25, 36)
    bell = p.between(5, 7)
    shaft, storeys = height - bell, p.count(3, 6)
    slits = Openings.row(
        2 * half,
        1,
        0.9,
        2.0,
        shaft * 0.16,
        shape="round",
        rows=storeys,
        storey=shaft * 0.62 / storeys,
        fill="void",
        depth=0.5,
    )
    m.box((-half, half), (0, 2 * half), (0, shaft), p.wall("tower", 1, slits))
    for x in (-half, half):
        for y in (0, 2 * half):
            m.box((x - 0.5, x + 0.5), (y - 0.5, y + 0.5), (0, shaft), p.wall("buttress", 1.05))
    clock = Openings(
        part="clock",
        shape="circle",
        fill="clock",
        pitch=2 * half,
        sill=shaft - half * 1.6,
        width=half * 1.1,
        height=half * 1.1,
        depth=0.1,
        frame=0.25,
    )
    m.wall_with((-half, -0.02), (half, -0.02), 0, p.wall("tower", 1, clock), 0.1)
    p.cornice((-half, half), (0, 2 * half), shaft, high=0.6, proud=0.7)
    loggia = Openings.row(
        2 * half, p.count(2, 4), 1.6, bell * 0.74, 0.5, shape="round", fill="void", depth=0.9, frame=0.2
    )
    m.box((-half, half), (0, 2 * half), (shaft + 0.6, height), p.trim("tower", 1.1).with_openings(loggia))
    p.cornice((-half, half), (0, 2 * half), height, high=0.6, proud=0.6)
    roof = p.between(4, 10)
    if p.chance(0.7):
        m.hip_roof(
            (-half - 0.4, half + 0.4),
            (-0.4, 2 * half + 0.4),
            (height + 0.6, height + 0.6 + roof),
            p.roof("spire"),
            ridge=0,
        )
    else:
        p.battlements((-half, half), (0.2, 2 * half), height + 0.6)
    door = Openings(
        part="portal", shape="round", fill="wood", pitch=4, width=1.8, height=3, depth=0.5, frame=0.35
    )
    m.wall_with((-2, -0.02), (2, -0.02), 0, p.wall("portal", 1, door), 0.25)
    wing = p.between(8, 13)
    lights = Openings.row(wing, 3, 1.3, 2.2, 1.8, shape="round", fill="glass", frame=0.2)
    m.box((half, half + wing), (1, 2 * half), (0, 6.5), p.wall("chapel", 0.97, lights))
    m.gable_roof((half, half + wing), (1, 2 * half), (6.5, 9), p.roof(), p.wall("chapel"), along="x")
    p.detail("clock", 0, 0, shaft - half, half * 4)
    p.detail("tower", 0, 0, height - bell / 2, bell * 2.2)


def lighthouse(p: Plan) -> None:
    """A tapering round shaft in stripes, a gallery and a lantern, beside the keeper's house."""
    p.choose_stone(["chalk", "granite", "brick"], ["slate", "terracotta"], course=0.6)
    m, height, radius = p.mesh, p.between(18, 27), p.between(2.7, 3.7)
    stripes = p.count(3, 7)
    band = str(p.rng.choice(["brick", "slate", "copper", "terracotta"]))
    paint = [p.stone, Material(STONES[band], course=0.6, block=1.2, weather=0.4)]
    upper = radius * p.between(0.58, 0.72)
    slots = Openings(
        part="window",
        shape="round",
        fill="glass",
        columns=4,
        pitch=2 * np.pi * radius / 4,
        left=np.pi * radius / 4,
        sill=1.5,
        width=0.8,
        height=1.5,
        depth=0.3,
    )
    for k in range(stripes):
        a, b = (radius + (upper - radius) * t / stripes for t in (k, k + 1))
        surface = Surface("tower", paint[k % 2], slots if k % 2 == 0 else Openings())
        m.cylinder(
            (0, radius),
            (height * k / stripes, height * (k + 1) / stripes),
            a,
            surface,
            top_radius=b,
            sides=20,
        )
    m.cylinder(
        (0, radius), (height - 0.7, height), upper, p.trim("balcony"), top_radius=upper * 1.55, sides=20
    )
    m.cylinder(
        (0, radius),
        (height, height + 1.0),
        upper * 1.55,
        Surface("balcony", Material(STONES["bronze"])),
        sides=20,
        cap=p.trim("balcony", 0.8),
    )
    lamp = Openings.row(
        2 * np.pi * upper * 0.75,
        10,
        1.0,
        1.9,
        0.3,
        shape="rect",
        fill="glass",
        part="lantern",
        depth=0.1,
        frame=0.05,
    )
    m.cylinder(
        (0, radius),
        (height, height + 2.7),
        upper * 0.75,
        Surface("lantern", Material(STONES["bronze"]), lamp),
        sides=14,
    )
    m.dome(
        (0, radius, height + 2.7),
        upper * 0.9,
        upper * p.between(0.7, 1.1),
        p.metal(band if band != "terracotta" else "copper", "dome", upper, 10),
        sides=14,
        rings=4,
    )
    long, deep = p.between(7, 11), p.between(5, 7)
    side = 1 if p.chance(0.5) else -1
    x = sorted((side * radius * 0.8, side * (radius + long)))
    lights = Openings.row(long, 3, 1.0, 1.5, 1.2, shape="rect", fill="glass", frame=0.15, bars=2)
    m.box((x[0], x[1]), (0.5, 0.5 + deep), (0, 3.6), p.wall("chapel", 1, lights))
    m.gable_roof((x[0], x[1]), (0.5, 0.5 + deep), (3.6, 6.4), p.roof(), p.wall("chapel"), along="x")
    p.detail("lantern", 0, radius, height + 1, 8)
    p.detail("chapel", side * (radius + long / 2), 0, 3, 9)

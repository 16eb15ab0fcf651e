"""Palaces: renaissance and neoclassical."""

import numpy as np

from perisphere.catalog.scenes.materials import Openings
from perisphere.catalog.scenes.plan import Plan


def renaissance(p: Plan) -> None:
    """A heavy block with a rusticated ground floor, rows of arched windows and a wide cornice."""
    p.choose_stone(["ochre", "plaster", "sandstone", "rose", "limestone"], ["terracotta"], course=0.0)
    m, half, depth = p.mesh, p.between(13, 19), p.between(12, 18)
    storeys, columns, z = p.count(2, 3), 2 * p.count(3, 5) + 1, 0.0
    rustic = Openings.row(
        2 * half, columns, 1.8, 3.4, 0.9, shape="round", fill="glass", depth=0.5, frame=0.35, bars=2
    )
    for k in range(storeys):
        high = p.between(5.4, 6.6) if k == 0 else p.between(4.6, 5.6)
        shape = "round" if p.chance(0.5) else "rect"
        row = (
            rustic
            if k == 0
            else Openings.row(
                2 * half,
                columns,
                1.6,
                high * 0.56,
                high * 0.2,
                shape=shape,
                fill="glass",
                depth=0.35,
                frame=0.3,
                bars=2,
            )
        )
        wall = p.wall("facade", 0.92 if k == 0 else 1.0, row)
        side = p.wall(
            "wall",
            0.92 if k == 0 else 1.0,
            Openings.row(
                depth,
                max(3, columns // 2),
                1.6,
                high * 0.56,
                high * 0.2,
                shape=shape,
                fill="glass",
                frame=0.3,
            ),
        )
        m.box((-half, half), (0, depth), (z, z + high), wall, side=side)
        z += high
        p.cornice((-half, half), (0, depth), z - 0.35, high=0.4, proud=0.25 if k < storeys - 1 else 0.9)
    m.hip_roof((-half - 0.9, half + 0.9), (-0.9, depth + 0.9), (z + 0.05, z + p.between(2.4, 4.2)), p.roof())
    door = Openings(
        part="portal",
        shape="round",
        fill="wood",
        pitch=2 * half / columns * 1.4,
        width=2.8,
        height=4.4,
        depth=0.7,
        frame=0.6,
    )
    wide = half / columns * 1.4
    m.wall_with((-wide, 0), (wide, 0), 0, p.wall("facade", 0.98, door), 0.25)
    m.box((-wide * 1.2, wide * 1.2), (-1.3, 0), (5.3, 5.7), p.trim("balcony"))
    if p.chance(0.45):
        x, size = half * p.between(-0.5, 0.5), p.between(2.2, 3.0)
        top = z + p.between(8, 14)
        clock = Openings(
            part="clock",
            shape="circle",
            fill="clock",
            pitch=2 * size,
            sill=top - z - 3.4,
            width=2.2,
            height=2.2,
            depth=0.1,
            frame=0.2,
        )
        m.box((x - size, x + size), (2, 2 + 2 * size), (z - 1, top), p.wall("tower", 1, clock))
        p.battlements((x - size, x + size), (2.2, 2 + 2 * size), top)
        p.detail("tower", x, 2, top - 3, 9)
    p.detail("portal", 0, 0, 3, 8)
    p.detail("window", half * 0.5, 0, z * 0.6, 9)


def neoclassical(p: Plan) -> None:
    """A long wing with pilasters, a columned portico under a pediment, perhaps a dome."""
    p.choose_stone(["chalk", "limestone", "plaster", "marble"], ["slate", "lead", "copper"], course=0.7)
    m, half, depth = p.mesh, p.between(17, 23), p.between(11, 15)
    base, high = p.between(2.4, 3.6), p.between(8.5, 11)
    columns = 2 * p.count(5, 7) + 1
    rows = Openings.row(
        2 * half,
        columns,
        1.35,
        high * 0.34,
        high * 0.1,
        shape="rect",
        rows=2,
        storey=high * 0.5,
        fill="glass",
        depth=0.35,
        frame=0.25,
        bars=3,
    )
    cellar = Openings.row(
        2 * half, columns, 1.2, 1.3, base * 0.3, shape="rect", fill="glass", depth=0.4, bars=2
    )
    m.box((-half, half), (0, depth), (0, base), p.wall("wall", 0.88, cellar))
    m.box((-half, half), (0, depth), (base, base + high), p.wall("facade", 1, rows))
    top = base + high
    p.cornice((-half, half), (0, depth), top, high=0.8, proud=0.5)
    m.hip_roof((-half, half), (0, depth), (top + 0.8, top + p.between(3, 5)), p.roof())
    number = 2 * p.count(2, 4)
    wide = half * p.between(0.26, 0.38)
    for x in np.linspace(-wide, wide, number):
        p.column(float(x), -3.2, (base, top - 0.6), p.between(0.5, 0.6))
    m.box((-wide - 1, wide + 1), (-4.2, 0), (0, base), p.trim("stairs", 1.0))
    p.stairs((-wide, wide), (-5, -2), rise=base, steps=5)
    m.box((-wide - 0.9, wide + 0.9), (-4, 0), (top - 0.2, top + 0.9), p.trim("cornice"))
    ridge = wide * p.between(0.36, 0.5)
    m.gable_roof(
        (-wide - 1.2, wide + 1.2),
        (-4.3, 3),
        (top + 0.9, top + 0.9 + ridge),
        p.roof(),
        p.wall("pediment", 1.06),
        eaves=0.2,
    )
    if p.chance(0.6):
        _rotunda(p, depth / 2, top + 1.5, p.between(4.2, 6))
    for x in (-half * 0.8, half * 0.8):
        if p.chance(0.5):
            p.statue(x, 0.3, top + 0.8, 2.6)
    p.detail("pediment", 0, -4, top, wide * 2.1)
    p.detail("column", wide * 0.5, -3.2, base + high * 0.5, high)


def _rotunda(p: Plan, y: float, z: float, radius: float) -> None:
    m, drum = p.mesh, radius * p.between(0.8, 1.2)
    lights = Openings.row(
        2 * np.pi * radius, 14, 1.0, drum * 0.6, drum * 0.22, shape="round", fill="glass", depth=0.4
    )
    m.cylinder((0, y), (z - 1.5, z + drum), radius, p.wall("drum", 1, lights), sides=22)
    for k in range(14):
        angle = (k + 0.5) / 14 * 2 * np.pi - np.pi / 2
        m.cylinder(
            (1.13 * radius * np.cos(angle), y + 1.13 * radius * np.sin(angle)),
            (z, z + drum),
            0.3,
            p.trim("column"),
            sides=6,
        )
    m.cylinder((0, y), (z + drum, z + drum + 0.6), radius * 1.22, p.trim(), sides=22, cap=p.trim())
    cover = str(p.rng.choice(["lead", "copper", "gold"]))
    m.dome(
        (0, y, z + drum + 0.6),
        radius,
        radius * p.between(1.0, 1.3),
        p.metal(cover, "dome", radius, 16),
        sides=22,
        rings=6,
    )
    tip = z + drum + 0.6 + radius * 1.05
    m.cylinder((0, y), (tip, tip + 1.8), radius * 0.18, p.wall("lantern"), sides=8)
    m.dome((0, y, tip + 1.8), radius * 0.2, radius * 0.3, p.metal(cover, "lantern", 1.0, 6), sides=8, rings=3)
    p.detail("dome", 0, y - radius, z + drum, radius * 3)

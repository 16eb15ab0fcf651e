"""Churches: gothic, romanesque and baroque."""

from dataclasses import replace

import numpy as np

from perisphere.catalog.scenes.materials import Openings, Surface
from perisphere.catalog.scenes.plan import Plan


def gothic(p: Plan) -> None:
    """Two towers (or one), a rose over deep portals, pointed windows, buttresses and a steep roof."""
    p.choose_stone(["limestone", "sandstone", "granite"], ["slate", "lead"])
    m = p.mesh
    half, tower, height = p.between(5.5, 8), p.between(5, 7), p.between(15, 21)
    length, twin, base = p.between(28, 44), p.chance(0.65), 0.0
    outer = half + tower if twin else half + 3.5
    y0 = 0.0
    _nave(p, half, (tower if twin else 1.0, length), height, pointed=True)
    _aisles(p, half, outer - 0.8, (tower, length - 2), height * 0.48, pointed=True)
    front = p.wall("facade")
    m.box((-half, half), (y0, tower), (base, height * 1.08), front, top=p.trim())
    m.gable_roof((-half, half), (y0, tower), (height * 1.08, height * 1.08 + half * 0.9), p.roof(), front)
    _rose(p, half, height)
    bays = [(-half, half)]
    if twin:
        bays += [(-outer, -half), (half, outer)]
    for x0, x1 in bays:
        _portal(p, (x0, x1), width=min((x1 - x0) * 0.42, 3.8), pointed=True)
    rise = p.between(1.35, 1.9) * height
    spire = p.between(7, 20) if p.chance(0.55) else 0.0
    places = [(-outer, -half), (half, outer)] if twin else [(-tower / 2, tower / 2)]
    for x0, x1 in places:
        z0 = 0.0 if twin else height
        bell_tower(
            p,
            (x0, x1),
            (-0.4, tower - 0.4),
            (z0, rise if twin else height + p.between(9, 14)),
            spire,
            pointed=True,
        )
    gallery = Openings.row(
        2 * half, p.count(6, 9), 0.8, 2.2, 0.3, shape="round", part="statue", fill="niche", frame=0.1
    )
    strip = height * 0.40
    m.face(
        [
            (-half, -0.06, strip),
            (half, -0.06, strip),
            (half, -0.06, strip + 2.9),
            (-half, -0.06, strip + 2.9),
        ],
        p.wall("facade", 1.03, gallery),
        decal=True,
    )
    _apse(p, half * 0.95, length, height * 0.8, pointed=True)
    p.detail("tower", half + tower / 2 if twin else 0, 0, rise * 0.8, 16)


def romanesque(p: Plan) -> None:
    """Heavy walls, small round windows, blind arcades, a crossing tower, a round choir."""
    p.choose_stone(["sandstone", "rose", "ochre", "granite"], ["terracotta", "slate"], course=0.45)
    if p.chance(0.35):
        p.stone = replace(p.stone, bands=p.between(0.2, 0.5))
    m = p.mesh
    half, height, length = p.between(5, 7), p.between(11, 15), p.between(24, 34)
    _nave(p, half, (0, length), height, pointed=False)
    _aisles(p, half, half + p.between(3, 4.5), (1.2, length - 3), height * 0.55, pointed=False)
    _portal(p, (-half, half), width=p.between(2.6, 3.6), pointed=False)
    eye = Openings(
        part="rose",
        shape="circle",
        fill="rose",
        pitch=2 * half,
        sill=height * 0.62,
        width=2.6,
        height=2.6,
        bars=8,
        depth=0.5,
    )
    m.wall_with((-half, 0), (half, 0), 0, p.wall("facade", 1, eye), 0.05)
    arcade = Openings.row(
        2 * half, p.count(5, 9), 0.9, 1.7, 0.3, shape="round", fill="void", depth=0.35, frame=0.1
    )
    m.wall_with((-half, 0), (half, 0), height * 0.46, p.wall("facade", 1.02, arcade), 0.07)
    cross = length * 0.68
    m.box(
        (-half - 5, half + 5),
        (cross - 4, cross + 4),
        (0, height * 0.95),
        _lights(p, "chapel", 8, height, 2, False),
        top=p.roof(),
    )
    m.gable_roof(
        (-half - 5, half + 5),
        (cross - 4, cross + 4),
        (height * 0.95, height * 1.25),
        p.roof(),
        p.wall("chapel"),
        along="x",
    )
    if p.chance(0.5):
        drum = _belfry(p, 2 * np.pi * 4, 8, 2.6, 1.2, False)
        m.cylinder((0, cross), (height, height * 1.62), 4.2, p.wall("drum", 1, drum), sides=8, smooth=False)
        m.cylinder(
            (0, cross),
            (height * 1.62, height * 2.0),
            4.6,
            p.roof("spire"),
            top_radius=0,
            sides=8,
            smooth=False,
        )
    else:
        bell_tower(p, (-3.6, 3.6), (cross - 3.6, cross + 3.6), (height, height * 1.75), 4.5, pointed=False)
    if p.chance(0.6):
        for side in (-1, 1) if p.chance(0.6) else (1,):
            x = side * (half + 2.2)
            bell_tower(
                p,
                (x - 2.3, x + 2.3),
                (-0.3, 4.3),
                (0, height * p.between(1.5, 1.9)),
                p.between(2, 5),
                pointed=False,
            )
    _apse(p, half * 0.9, length, height * 0.8, pointed=False)


def baroque(p: Plan) -> None:
    """A two-storeyed front with pilasters, volutes and a pediment, onion towers or a great dome."""
    p.choose_stone(["plaster", "ochre", "chalk", "rose"], ["terracotta", "copper"], course=0.0)
    m = p.mesh
    half, height, length = p.between(6.5, 9), p.between(12, 15), p.between(24, 34)
    upper = half * p.between(0.58, 0.72)
    top = height * p.between(1.55, 1.75)
    _nave(p, upper, (1.5, length), height * 1.15, pointed=False)
    _aisles(p, upper, half, (1.5, length - 3), height * 0.75, pointed=False)
    m.box((-half, half), (0, 1.5), (0, height), p.wall("facade"), top=p.trim())
    m.box((-upper, upper), (0, 1.5), (height, top), p.wall("facade"), top=p.trim())
    p.cornice((-half, half), (0, 1.5), height, high=0.8, proud=0.5)
    p.cornice((-upper, upper), (0, 1.5), top, high=0.7, proud=0.5)
    m.gable_roof(
        (-upper - 0.4, upper + 0.4),
        (-0.4, 1.5),
        (top + 0.7, top + 0.7 + upper * 0.42),
        p.trim("pediment"),
        p.wall("pediment", 1.05),
    )
    for x in np.linspace(-half + 0.7, half - 0.7, p.count(4, 6)):
        m.box((x - 0.5, x + 0.5), (-0.4, 0), (0, height), p.trim("column", 1.2))
        if abs(x) < upper:
            m.box((x - 0.45, x + 0.45), (-0.35, 0), (height + 0.8, top), p.trim("column", 1.2))
    _portal(p, (-half * 0.4, half * 0.4), width=2.8, pointed=False)
    window = Openings(
        part="window",
        shape="round",
        fill="glass",
        pitch=2 * upper,
        sill=height + 1.8,
        width=2.4,
        height=(top - height) * 0.6,
        bars=3,
    )
    m.wall_with((-upper, 0), (upper, 0), 0, p.wall("facade", 1, window), 0.06)
    for x in (-(half + upper) / 2, (half + upper) / 2):
        p.statue(x, 0.6, height + 0.8, p.between(2, 2.8))
    if p.chance(0.6):
        _dome(p, (0, length * 0.68), height * 1.15, p.between(4.2, 5.8))
    if p.chance(0.6):
        for x in (-half - 1.2, half + 1.2):
            bell_tower(p, (x - 2.3, x + 2.3), (-0.2, 4.4), (0, height * 1.5), 0, pointed=False)
            m.dome(
                (x, 2.1, height * 1.5 + 0.5),
                2.1,
                p.between(4, 6),
                p.metal("copper", "dome", 2.1, 8),
                sides=12,
                rings=6,
                bulge=0.5,
            )
    _apse(p, upper * 0.9, length, height, pointed=False)


def _lights(p: Plan, part: str, length: float, height: float, columns: int, pointed: bool) -> Surface:
    shape = "pointed" if pointed else "round"
    return p.wall(
        part,
        1,
        Openings.row(
            length, columns, height * 0.16, height * 0.5, height * 0.3, shape=shape, fill="stained", depth=0.5
        ),
    )


def _ordered(a: float, b: float) -> tuple[float, float]:
    return (a, b) if a < b else (b, a)


def _nave(p: Plan, half: float, y: tuple[float, float], height: float, *, pointed: bool) -> None:
    length, bays = y[1] - y[0], p.count(4, 7)
    side = p.wall(
        "nave",
        1,
        Openings.row(
            length,
            bays,
            length / bays * 0.4,
            height * 0.3,
            height * 0.6,
            shape="pointed" if pointed else "round",
            fill="stained",
            depth=0.5,
        ),
    )
    steep = p.between(1.0, 1.4) if pointed else p.between(0.5, 0.8)
    p.mesh.box((-half, half), y, (0, height), p.wall("facade"), side=side, back=p.wall("nave"))
    p.mesh.gable_roof(
        (-half, half), y, (height, height + half * steep), p.roof(), p.wall("facade"), along="y", eaves=0.5
    )


def _aisles(
    p: Plan, inner: float, outer: float, y: tuple[float, float], height: float, *, pointed: bool
) -> None:
    bays = p.count(4, 7)
    length = y[1] - y[0]
    wall = p.wall(
        "nave",
        0.98,
        Openings.row(
            length,
            bays,
            length / bays * 0.36,
            height * 0.58,
            height * 0.24,
            shape="pointed" if pointed else "round",
            fill="stained",
            depth=0.5,
        ),
    )
    m, (y0, y1) = p.mesh, y
    lean = height * 1.28
    for s in (-1, 1):
        m.box(_ordered(s * inner, s * outer), y, (0, height), p.wall("facade", 0.98), side=wall)
        slope = [
            (s * outer, y0, height),
            (s * outer, y1, height),
            (s * inner, y1, lean),
            (s * inner, y0, lean),
        ]
        m.face(slope if s > 0 else slope[::-1], p.roof())
        m.face(
            [(s * outer, y0, height), (s * inner, y0, height), (s * inner, y0, lean)][::-s],
            p.wall("facade", 0.98),
        )
        for k in range(bays + 1) if pointed else ():
            y_k = y0 + length * k / bays
            x = sorted((s * outer, s * (outer + 1.3)))
            m.box((x[0], x[1]), (y_k - 0.4, y_k + 0.4), (0, height * 1.12), p.wall("buttress", 1.02))
            p.pinnacle(s * (outer + 0.65), y_k, height * 1.12, 0.7, 2.6)


def _rose(p: Plan, half: float, height: float) -> None:
    width = p.between(1.0, 1.35) * half
    sill = height * 0.60
    rose = Openings(
        part="rose",
        shape="circle",
        fill="rose",
        pitch=2 * half,
        sill=sill,
        width=width,
        height=width,
        depth=0.6,
        frame=0.35,
        bars=p.count(8, 16),
    )
    p.mesh.wall_with((-half, 0), (half, 0), 0, p.wall("facade", 1, rose), 0.05)
    p.detail("rose", 0, 0, sill + width / 2, width * 1.7)


def _portal(p: Plan, x: tuple[float, float], *, width: float, pointed: bool) -> None:
    high = width * p.between(1.45, 1.8)
    door = Openings(
        part="portal",
        shape="pointed" if pointed else "round",
        fill="wood",
        pitch=x[1] - x[0],
        width=width,
        height=high,
        depth=0.9,
        frame=width * 0.24,
        bars=2,
    )
    p.mesh.wall_with((x[0], 0), (x[1], 0), 0, p.wall("facade", 1, door), 0.5)
    p.detail("portal", (x[0] + x[1]) / 2, -0.5, high * 0.75, high * 1.7)


def _belfry(p: Plan, length: float, columns: int, high: float, sill: float, pointed: bool) -> Openings:
    shape = "pointed" if pointed else "round"
    return Openings.row(length, columns, 1.3, high, sill, shape=shape, fill="void", depth=0.6, frame=0.18)


def bell_tower(
    p: Plan,
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    spire: float,
    *,
    pointed: bool,
) -> None:
    """A square tower in storeys; ``spire`` metres of roof (0: flat with pinnacles)."""
    width, storeys = x[1] - x[0], max(2, round((z[1] - z[0]) / 9))
    step = (z[1] - z[0]) / storeys
    for k in range(storeys):
        low = z[0] + k * step
        last = k == storeys - 1
        size = step * (0.62 if last else 0.4)
        holes = _belfry(p, width, 2 if width > 4 or last else 1, size, step * 0.2, pointed)
        inset = 0.12 * k
        box_x, box_y = (x[0] + inset, x[1] - inset), (y[0] + inset, y[1] - inset)
        first = k == 0 and z[0] == 0
        p.mesh.box(
            box_x,
            box_y,
            (low, low + step),
            p.wall("tower", 1, None if first else replace(holes, pitch=(width - 2 * inset) / holes.columns)),
        )
        p.cornice(box_x, box_y, low + step - 0.4, high=0.4, proud=0.28)
    if spire:
        p.mesh.hip_roof(
            (x[0] - 0.2, x[1] + 0.2), (y[0] - 0.2, y[1] + 0.2), (z[1], z[1] + spire), p.roof("spire"), ridge=0
        )
    if pointed:
        for cx in (x[0] + 0.5, x[1] - 0.5):
            for cy in (y[0] + 0.5, y[1] - 0.5):
                p.pinnacle(cx, cy, z[1], 0.9, 3.6)
    p.detail("tower", (x[0] + x[1]) / 2, y[0], z[1] - step * 0.5, step * 2.2)


def _apse(p: Plan, radius: float, y: float, height: float, *, pointed: bool) -> None:
    holes = Openings.row(
        2 * np.pi * radius,
        p.count(9, 13),
        1.3,
        height * 0.5,
        height * 0.28,
        shape="pointed" if pointed else "round",
        fill="stained",
        depth=0.5,
    )
    p.mesh.cylinder((0, y), (0, height), radius, p.wall("choir", 1, holes), sides=10, turn=(0, np.pi))
    p.mesh.cylinder(
        (0, y),
        (height, height + radius * 0.8),
        radius + 0.4,
        p.roof("choir"),
        top_radius=0,
        sides=10,
        turn=(0, np.pi),
    )


def _dome(p: Plan, centre: tuple[float, float], z: float, radius: float) -> None:
    """A drum with windows, a ribbed cupola and a lantern."""
    x, y = centre
    drum = radius * p.between(0.7, 1.0)
    holes = Openings.row(
        2 * np.pi * radius,
        p.count(8, 12),
        1.2,
        drum * 0.6,
        drum * 0.2,
        shape="round",
        fill="glass",
        depth=0.4,
    )
    p.mesh.box(
        (x - radius * 1.1, x + radius * 1.1),
        (y - radius * 1.1, y + radius * 1.1),
        (z - 4, z + 1),
        p.wall("nave"),
    )
    p.mesh.cylinder(centre, (z + 1, z + 1 + drum), radius, p.wall("drum", 1, holes), sides=20)
    p.mesh.cylinder(centre, (z + 1 + drum, z + 1.5 + drum), radius * 1.07, p.trim(), sides=20, cap=p.trim())
    high = radius * p.between(1.0, 1.4)
    foot = z + 1.5 + drum
    cover = str(p.rng.choice(["lead", "copper"]))
    p.mesh.dome((x, y, foot), radius, high, p.metal(cover, "dome", radius, 16), sides=20, rings=6)
    tip = foot + high * 0.97
    p.mesh.cylinder(centre, (tip, tip + radius * 0.5), radius * 0.2, p.wall("lantern"), sides=10)
    p.mesh.cylinder(
        centre,
        (tip + radius * 0.5, tip + radius * 0.95),
        radius * 0.25,
        p.roof("lantern"),
        top_radius=0,
        sides=10,
    )
    p.detail("dome", x, y - radius, foot + high * 0.3, radius * 3.2)

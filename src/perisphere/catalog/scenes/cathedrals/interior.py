"""The inside of a cathedral: nave with arcades and vault, aisles, side chapels, choir, apse and west wall."""

from dataclasses import dataclass, replace

import numpy as np

from perisphere.catalog.scenes.cathedrals.figures import GOLD, OAK, add_altar, add_organ, add_statue
from perisphere.catalog.scenes.cathedrals.spots import Spot
from perisphere.catalog.scenes.cathedrals.walls import (
    Arch,
    add_arched_wall,
    add_facing,
    add_groin_vault,
    add_wall,
    profile,
)
from perisphere.catalog.scenes.geometry import Mesh
from perisphere.catalog.scenes.materials import Material, Openings, Surface
from perisphere.catalog.scenes.plan import STONES, Plan

DEEP = 3.4
"""How far side chapels reach outwards, metres."""


@dataclass(frozen=True)
class Hall:
    """Measures of an interior in metres: x across, y from the west door to the choir, z up.

    Attributes:
        half: half the width of the nave between its piers.
        wall: half the width between the outer walls of the aisles.
        bays: of nave and aisles.
        bay: length of one.
        height: crown of the nave's vault.
        spring: where that vault begins.
        capital: where the arcades begin.
        arcade: their crown, and that of the aisles' vaults.
        choir: length of the choir, without the apse.
        pointed: whether arches are.
    """

    half: float
    wall: float
    bays: int
    bay: float
    height: float
    spring: float
    capital: float
    arcade: float
    choir: float
    pointed: bool

    @classmethod
    def drawn(cls, p: Plan, style: str) -> "Hall":
        """Draw the proportions that a style has."""
        pointed = style == "gothic"
        half = p.between(4.2, 6.2)
        slim = {"gothic": (3.0, 4.0), "romanesque": (2.3, 2.9), "baroque": (2.2, 2.7)}[style]
        height = half * p.between(*slim)
        arcade = height * p.between(0.42, 0.52)
        bay = p.between(4.6, 6.4)
        capital = max(arcade - bay * (0.62 if pointed else 0.46), 2.6)
        return cls(
            half=half,
            wall=half + p.between(3.2, 4.6),
            bays=p.count(4, 6),
            bay=bay,
            height=height,
            spring=height - half * (1.0 if pointed else 0.8),
            capital=capital,
            arcade=arcade,
            choir=2 * p.between(4.4, 5.8),
            pointed=pointed,
        )

    @property
    def nave(self) -> float:
        """Length of the nave."""
        return self.bays * self.bay

    @property
    def end(self) -> float:
        """Where the choir ends and the apse begins."""
        return self.nave + self.choir


@dataclass
class Inside:
    """What an interior is drawn on.

    Attributes:
        plan: with the mesh of all that is seen.
        hall: the measures.
        shell: outer side of walls and roof, with holes for windows: what keeps the sun out.
        spots: places worth a photo.
        lamps: places of lamps and candles, and their strength.
    """

    plan: Plan
    hall: Hall
    shell: Mesh
    spots: list[Spot]
    lamps: list[tuple[float, float, float, float]]

    def outer_wall(
        self, left: tuple[float, float], right: tuple[float, float], z: tuple[float, float], surface: Surface
    ) -> None:
        """An inner wall, and its outer side with a hole for each window."""
        add_wall(self.plan.mesh, left, right, z, surface)
        a, b, o = np.array(left), np.array(right), surface.openings
        length = float(np.hypot(*(b - a)))

        def patch(begin: float, end: float, low: float, high: float) -> None:
            if end - begin > 0.01 and high - low > 0.01:
                p, q = a + (b - a) * begin / length, a + (b - a) * end / length
                add_wall(self.shell, (q[0], q[1]), (p[0], p[1]), (low, high), surface)

        if o.shape == "none":
            patch(0, length, *z)
            return
        low, high = z[0] + o.sill, z[0] + o.sill + o.height * 0.9
        patch(0, length, z[0], low)
        patch(0, length, high, z[1])
        edge = 0.0
        for k in range(o.columns):
            middle = o.left + (k + 0.5) * o.pitch
            patch(edge, middle - o.width * 0.42, low, high)
            edge = middle + o.width * 0.42
        patch(edge, length, low, high)

    def window(self, part: str, length: float, high: float, columns: int = 1, sill: float = 0.2) -> Surface:
        """A wall of the landmark's stone, ``length`` by ``high``, with tall stained windows."""
        hall, p = self.hall, self.plan
        width = min(0.52 * length / columns, 0.3 * high + 0.5)
        holes = Openings.row(
            length,
            columns,
            width,
            high * (0.9 - sill),
            high * sill,
            shape="pointed" if hall.pointed else "round",
            fill="lancet",
            depth=0.08,
            frame=0.22,
            bars=2 if width > 1.3 else 1,
        )
        return p.wall(part, 1.0, holes)


def build(p: Plan, style: str) -> Inside:
    """Draw the interior of a cathedral of a style on a plan whose stone is chosen."""
    inside = Inside(p, Hall.drawn(p, style), Mesh(), [], [])
    _floor(inside)
    _arcades(inside)
    _vaults(inside)
    _aisles(inside)
    _choir(inside, style)
    _west(inside)
    _furnish(inside)
    h = inside.hall
    inside.spots.append(
        Spot(
            "nave",
            "nave",
            (0.0, h.nave * 0.75, h.height * 0.42),
            h.height * 1.0,
            ((-1.6, 1.2, 1.6), (1.6, 4.5, 3.2)),
        )
    )
    inside.spots.append(
        Spot(
            "nave",
            "nave to the west",
            (0.0, h.bay, h.height * 0.45),
            h.height * 1.0,
            ((-1.6, h.nave - 5, 1.6), (1.6, h.nave, 3.2)),
        )
    )
    inside.spots.append(
        Spot(
            "nave",
            "vault",
            (0.0, h.nave * 0.7, h.height * 0.8),
            h.half * 3.0,
            ((-1.0, h.nave * 0.15, 1.6), (1.0, h.nave * 0.35, 2.0)),
        )
    )
    return inside


def _floor(s: Inside) -> None:
    p, h, m = s.plan, s.hall, s.plan.mesh
    tone = p.between(0.7, 1.2)
    slab = Material(
        p.tint((0.36 * tone, 0.32 * tone, 0.27 * tone)),
        course=0.7,
        block=0.7,
        joint=0.35,
        variety=p.between(0.15, 0.5),
    )
    w = h.wall + DEEP
    m.face([(-w, 0, 0), (w, 0, 0), (w, h.nave, 0), (-w, h.nave, 0)], Surface("floor", slab))
    raised = [(-h.half, h.nave, 0.45), (h.half, h.nave, 0.45), (h.half, h.end, 0.45)]
    angles = np.linspace(0, np.pi, 6)[1:-1]
    raised += [(h.half * np.cos(a), h.end + h.half * np.sin(a), 0.45) for a in angles]
    m.face([*raised, (-h.half, h.end, 0.45)], Surface("choir", slab.tinted(1.15)))
    for k in range(3):
        step = p.trim("choir", 1.0)
        m.box((-h.half, h.half), (h.nave - 1.05 + 0.35 * k, h.nave), (0.15 * k, 0.15 * (k + 1)), step)


def _arcades(s: Inside) -> None:
    """Columns, arches, triforium and clerestory on both sides of the nave."""
    p, h, m = s.plan, s.hall, s.plan.mesh
    thick, radius = 0.85, p.between(0.42, 0.62)
    kind = p.count(0, 2)
    arch = p.wall("arch", 1.04)
    has_triforium = p.chance(0.5)
    share = radius * 0.9 / h.bay
    opening, top = Arch(share, 1 - share, h.capital, h.arcade), h.arcade + 0.5
    for side in (-1, 1):
        x = side * h.half
        back = x + side * thick
        for k in range(h.bays):
            y0, y1 = _bay(h, k)
            left, right = _ends(x, side, y0, y1)
            add_arched_wall(
                *(m, left, right, (h.capital, top), opening, arch),
                pointed=h.pointed,
                deep=thick,
                soffit=p.trim("arch"),
            )
            add_arched_wall(
                m, (back, right[1]), (back, left[1]), (h.capital, top), opening, arch, pointed=h.pointed
            )
            low = _triforium(s, side, k, top) if has_triforium else 0.0
            glass = s.window("nave", h.bay, h.height - top - low, sill=0.1)
            s.outer_wall(left, right, (top + low, h.height), glass)
            if k:
                _pier(s, x + side * thick / 2, y0, radius, kind)
                shaft = p.trim("column", 1.05)
                m.cylinder((x, y0), (h.capital + 0.6, h.spring), 0.2, shaft, sides=6)
        for y in (0.0, h.nave):
            _pier(s, side * (h.half + thick / 2), y, radius * 1.2, kind)


def _triforium(s: Inside, side: int, k: int, low: float) -> float:
    """A gallery of small arches on a ledge over those of a bay; return how high it is, metres."""
    p, h, m = s.plan, s.hall, s.plan.mesh
    y0, y1 = _bay(h, k)
    x = side * h.half
    high = min(0.25 * (h.height - low), 2.4)
    shape = "pointed" if h.pointed else "round"
    row = Openings.row(
        *(h.bay, 3, 0.9, high * 0.8, 0.25), shape=shape, fill="void", part="nave", depth=0.5, frame=0.12
    )
    add_wall(m, *_ends(x, side, y0, y1), (low, low + high), p.wall("nave", 1.0, row))
    ledge = sorted((x, x - side * 0.25))
    m.box((ledge[0], ledge[1]), (y0, y1), (low - 0.2, low), p.trim("nave"))
    return high


def _pier(s: Inside, x: float, y: float, radius: float, kind: int) -> None:
    """A round column, an eight-sided pier, or a bundle of shafts."""
    p, h, m = s.plan, s.hall, s.plan.mesh
    stone = p.trim("column", 1.08)
    z = h.capital - 0.55
    m.box((x - radius * 1.35, x + radius * 1.35), (y - radius * 1.35, y + radius * 1.35), (0, 0.5), stone)
    if kind < 2:
        m.cylinder((x, y), (0.5, z), radius, stone, sides=8, smooth=kind == 0)
    else:
        m.cylinder((x, y), (0.5, z), radius * 0.8, stone, sides=8)
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            place = (x + dx * radius * 0.8, y + dy * radius * 0.8)
            m.cylinder(place, (0.5, z), radius * 0.3, p.trim("column", 1.18), sides=6)
    capital = p.trim("column", 1.22)
    m.cylinder((x, y), (z, h.capital - 0.15), radius, capital, top_radius=radius * 1.3, sides=8, smooth=False)
    m.box(
        (x - radius * 1.3, x + radius * 1.3),
        (y - radius * 1.3, y + radius * 1.3),
        (h.capital - 0.15, h.capital),
        capital,
    )


def _vaults(s: Inside) -> None:
    p, h, m = s.plan, s.hall, s.plan.mesh
    plaster = Material(p.tint(STONES["chalk"] if p.chance(0.6) else p.stone.colour), grain=0.4, weather=0.5)
    if p.chance(0.25):
        plaster = replace(plaster, colour=p.tint((0.10, 0.20, 0.42)))  # painted as a sky
    rib = p.trim("vault", 0.85)
    for k in range(h.bays):
        y = (k * h.bay, (k + 1) * h.bay)
        add_groin_vault(
            m, (-h.half, h.half), y, (h.spring, h.height), Surface("vault", plaster), rib, pointed=h.pointed
        )
        for side in (-1, 1):
            a, b = sorted((side * (h.half + 0.8), side * h.wall))
            add_groin_vault(
                m,
                (a, b),
                y,
                (h.capital, h.arcade),
                Surface("vault", plaster),
                None,
                pointed=h.pointed,
                steps=4,
            )
    for side in (-1, 1):  # the lean-to roof and the main roof keep the sun out
        a, b = sorted((side * h.half, side * (h.wall + DEEP)))
        s.shell.face([(a, 0, h.arcade), (b, 0, h.arcade), (b, h.nave, h.arcade), (a, h.nave, h.arcade)], rib)
    far = h.end + h.half
    s.shell.face(
        [(-h.half, 0, h.height), (h.half, 0, h.height), (h.half, far, h.height), (-h.half, far, h.height)],
        rib,
    )


def _aisles(s: Inside) -> None:
    """Outer walls with windows, side chapels and statues; ends of the aisles."""
    p, h = s.plan, s.hall
    chapels = (
        {(-1, 1), (1, 2)} | ({(1, 0)} if p.chance(0.5) else set()) | ({(-1, 3)} if p.chance(0.5) else set())
    )
    windows, statues = 0, 0
    for side in (-1, 1):
        for k in range(h.bays):
            y0, y1 = k * h.bay, (k + 1) * h.bay
            x = side * h.wall
            left, right = _ends(x, side, y0, y1)
            if (side, k) in chapels:
                _chapel(s, side, k, left, right)
                continue
            s.outer_wall(left, right, (0, h.arcade), s.window("nave", h.bay, h.arcade, sill=0.36))
            middle = ((x, (y0 + y1) / 2, h.arcade * 0.6), h.arcade * 0.72)
            if windows < 2 and k > 0:
                windows += 1
                s.spots.append(Spot("window", f"window {windows}", *middle, _before(h, side, y0, y1, 2.0)))
            elif statues < 3:
                statues += 1
                high = p.between(1.9, 2.5)
                place = (x - side * 0.9, (y0 + y1) / 2)
                turn = np.pi if side > 0 else 0.0
                add_statue(p, *place, 0.0, high, plinth=p.between(0.9, 1.4), turn=turn)
                target = (*place, 1.15 + high / 2)
                s.spots.append(
                    Spot("statue", f"statue {statues}", target, high * 1.5, _before(h, side, y0, y1, 3.0))
                )
        m, a, b = p.mesh, side * (h.half - 0.1), side * (h.wall + 0.01)
        near, far = sorted((a, b))
        add_wall(m, (near, h.nave), (far, h.nave), (0, h.arcade + 0.6), p.wall("nave", 0.97))
        s.outer_wall((far, 0), (near, 0), (0, h.arcade + 0.6), p.wall("nave", 0.97))


def _before(
    h: Hall, side: int, y0: float, y1: float, near: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Where one stands to look at the aisle's wall of a bay: between the piers, in the aisle or the nave."""
    a, b = sorted((side * (h.wall - near), side * (h.wall - 6.5)))
    return (a, y0 + 0.28 * h.bay, 1.5), (b, y1 - 0.28 * h.bay, 2.2)


def _chapel(s: Inside, side: int, k: int, left: tuple[float, float], right: tuple[float, float]) -> None:
    """A painted recess behind an arch, with an altar, a statue, a window and a railing."""
    p, h, m = s.plan, s.hall, s.plan.mesh
    tint = p.tint(
        ((0.16, 0.22, 0.40), (0.42, 0.14, 0.09), (0.55, 0.40, 0.16), (0.18, 0.28, 0.17))[p.count(0, 3)]
    )
    paint = Surface("chapel", Material(tint, grain=0.5, weather=0.6, bands=0.0))
    crown, spring = h.arcade * 0.86, max(h.arcade * 0.86 - h.bay * 0.42, 1.8)
    add_arched_wall(
        m,
        left,
        right,
        (0, h.arcade),
        Arch(0.14, 0.86, spring, crown),
        p.wall("nave", 1.0),
        pointed=h.pointed,
        deep=0.6,
        soffit=p.trim("chapel"),
    )
    y0, y1 = k * h.bay + 0.1 * h.bay, (k + 1) * h.bay - 0.1 * h.bay
    back, front = side * (h.wall + DEEP), side * (h.wall + 0.6)
    far = _ends(back, side, y0, y1)
    lit = replace(s.window("chapel", y1 - y0, h.arcade, sill=0.5), material=paint.material)
    s.outer_wall(*far, (0, h.arcade), lit)
    x0, x1 = sorted((front, back))
    for cut, other in ((y0, y1), (y1, y0)):
        corners = [(x0, cut, 0), (x1, cut, 0), (x1, cut, h.arcade), (x0, cut, h.arcade)]
        add_facing(m, corners, ((x0 + x1) / 2, other, 1), paint)
    add_groin_vault(
        m, (x0, x1), (y0, y1), (spring, crown + 0.3), Surface("chapel", paint.material.tinted(1.3)), None,
        pointed=h.pointed, steps=4,
    )  # fmt: skip
    _furnish_chapel(s, side, (x0, x1), (y0, y1))
    number = sum(spot.concept == "chapel" for spot in s.spots) + 1
    target = (side * (h.wall + 0.8), (y0 + y1) / 2, crown * 0.47)
    s.spots.append(Spot("chapel", f"chapel {number}", target, crown, _before(h, side, *_bay(h, k), 4.2)))
    if number <= 2:
        wide = _chapel_altar(h)
        altar = (side * (h.wall + DEEP - 1.6), (y0 + y1) / 2, wide * 0.9)
        view = _before(h, side, *_bay(h, k), 0.6)
        s.spots.append(Spot("altar", f"chapel {number}/altar", altar, wide * 1.7, view))


def _chapel_altar(h: Hall) -> float:
    """Width of the altar of a chapel, metres."""
    return min(2.2, 0.4 * h.arcade)


def _furnish_chapel(s: Inside, side: int, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Tiles, an altar, a statue, a railing and a lamp."""
    p, h, m = s.plan, s.hall, s.plan.mesh
    (x0, x1), (y0, y1) = x, y
    tiles = Surface("chapel", Material((0.34, 0.27, 0.20), course=0.4, block=0.4, variety=0.5))
    m.face([(x0, y0, 0.03), (x1, y0, 0.03), (x1, y1, 0.03), (x0, y1, 0.03)], tiles, decal=True)
    middle = (y0 + y1) / 2
    add_altar(p, side * (h.wall + DEEP - 1.9), middle, 0.0, _chapel_altar(h), turn=-side)
    add_statue(p, side * (h.wall + 1.5), y0 + 0.7, 0.0, 1.7, plinth=0.9, turn=np.pi if side > 0 else 0.0)
    iron = Surface("chapel", Material((0.05, 0.045, 0.04) if p.chance(0.5) else STONES["gold"]))
    rail = sorted((side * (h.wall + 0.15), side * (h.wall + 0.22)))
    m.box((rail[0], rail[1]), (y0, y1), (0.95, 1.03), iron)
    for bar in np.linspace(y0 + 0.2, y1 - 0.2, 9):
        m.box((rail[0], rail[1]), (float(bar) - 0.025, float(bar) + 0.025), (0, 0.95), iron)
    s.lamps.append((side * (h.wall + 1.4), middle, 2.6, 0.5))


def _bay(h: Hall, k: int) -> tuple[float, float]:
    return k * h.bay, (k + 1) * h.bay


def _ends(x: float, side: int, y0: float, y1: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Left and right end of a wall along the nave, for one who looks at it from within."""
    return ((x, y1), (x, y0)) if side > 0 else ((x, y0), (x, y1))


def _choir(s: Inside, style: str) -> None:
    """Walls, stalls and vault of the choir, the apse with its tall windows, and the high altar."""
    p, h, m = s.plan, s.hall, s.plan.mesh
    half_bay = h.choir / 2
    web = Surface("choir", Material(p.tint(STONES["chalk"]), grain=0.4, weather=0.4))
    rib = p.trim("choir", 0.85)
    for side in (-1, 1):
        for k in range(2):
            y0, y1 = h.nave + k * half_bay, h.nave + (k + 1) * half_bay
            x = side * h.half
            left, right = _ends(x, side, y0, y1)
            s.outer_wall(left, right, (0, h.height), s.window("choir", half_bay, h.height, sill=0.42))
        _stalls(s, side)
    for k in range(2):
        y = (h.nave + k * half_bay, h.nave + (k + 1) * half_bay)
        add_groin_vault(m, (-h.half, h.half), y, (h.spring, h.height), web, rib, pointed=h.pointed)
    _apse(s, web)
    wide = min(h.half * p.between(0.8, 1.05), 5.5)
    front = h.end + 0.1 * h.half
    tall = add_altar(p, 0.0, front, 0.45, wide)
    s.lamps += [(-wide / 2, front - 1.6, 2.6, 0.7), (wide / 2, front - 1.6, 2.6, 0.7)]
    s.spots += _choir_spots(h, (0.0, front, 0.45 + tall * 0.47), tall * 1.05)


def _apse(s: Inside, web: Surface) -> None:
    """Five sides of ten, each with a tall window, under a half dome."""
    p, h, m = s.plan, s.hall, s.plan.mesh
    angles = np.linspace(0, np.pi, 6)
    ring = [(h.half * np.cos(a), h.end + h.half * np.sin(a)) for a in angles]
    u = np.linspace(1, 0, 4)
    heights = h.spring + (h.height - h.spring) * profile(u, h.pointed)
    for k in range(5):
        a, b = ring[k + 1], ring[k]
        length = float(np.hypot(b[0] - a[0], b[1] - a[1]))
        s.outer_wall(a, b, (0, h.spring + 0.4), s.window("choir", length, h.spring, sill=0.3))
        for j in range(3):
            corners = [
                (c[0] * r, h.end + (c[1] - h.end) * r, z)
                for c, r, z in (
                    (a, u[j], heights[j]), (b, u[j], heights[j]),
                    (b, u[j + 1], heights[j + 1]), (a, u[j + 1], heights[j + 1]),
                )
            ]  # fmt: skip
            add_facing(m, corners[:3] if j == 2 else corners, (0, h.end - 1, h.spring - 9), web)
        m.cylinder(b, (0.45, h.spring), 0.16, p.trim("choir", 1.12), sides=6)


def _choir_spots(h: Hall, altar: tuple[float, float, float], span: float) -> list[Spot]:
    """The choir from the nave, its stalls, one of its windows, and the altar at a place and of a height."""
    stalls = (h.half - 0.6, h.nave + h.choir * 0.6, 2.9)
    window = (h.half * 0.59, h.end + h.half * 0.81, h.spring * 0.62)
    views = {
        "altar": ((-1.8, h.nave - 3, 1.6), (1.8, h.end - 5, 2.6)),
        "choir": ((-1.5, h.nave - 4, 1.6), (1.5, h.nave + 1, 3)),
        "stalls": ((-h.half + 1.8, h.nave + 0.5, 1.8), (-1.0, h.nave + h.choir * 0.5, 2.4)),
        "window": ((-1.5, h.end - 5.5, 1.8), (0.5, h.end - 3.0, 3.5)),
    }
    return [
        Spot("altar", "high altar", altar, span, views["altar"]),
        Spot("choir", "choir", (0.0, h.end, h.height * 0.45), h.height, views["choir"]),
        Spot("choir", "stalls", stalls, 7.5, views["stalls"]),
        Spot("window", "choir window", window, h.spring * 0.7, views["window"]),
    ]


def _stalls(s: Inside, side: int) -> None:
    """Carved seats along a wall of the choir, with high backs under a canopy."""
    p, h, m = s.plan, s.hall, s.plan.mesh
    oak = Surface("choir", replace(OAK, colour=p.tint(STONES["oak"])))
    y = (h.nave + 0.5, h.end - 1.2)
    length, high = y[1] - y[0], p.between(3.0, 4.0)
    seats = max(6, round(length / 0.75))
    arches = Openings.row(
        length, seats, 0.5, high * 0.55, 0.9, shape="pointed" if h.pointed else "round", fill="niche",
        part="choir", depth=0.15, frame=0.08,
    )  # fmt: skip
    x = sorted((side * h.half, side * (h.half - 0.45)))
    m.box((x[0], x[1]), y, (0.45, 0.45 + high), oak)
    at = side * (h.half - 0.47)
    left, right = _ends(at, side, *y)
    add_wall(m, left, right, (0.45, 0.45 + high), Surface("choir", oak.material.tinted(2.0), arches))
    x = sorted((side * h.half, side * (h.half - 0.95)))
    m.box((x[0], x[1]), y, (0.45 + high, 0.75 + high), oak)
    m.box((x[0], x[1]), y, (0.45, 0.95), oak)
    for k in range(seats + 1):
        cy = y[0] + length * k / seats
        m.box((x[0], x[1]), (cy - 0.05, cy + 0.05), (0.9, 1.45), oak)
    x = sorted((side * (h.half - 1.5), side * (h.half - 1.75)))
    m.box((x[0], x[1]), y, (0.45, 1.4), oak)


def _west(s: Inside) -> None:
    """The door, the rose over it, and the organ on its gallery between them."""
    p, h, m = s.plan, s.hall, s.plan.mesh
    s.outer_wall((h.half + 0.9, 0), (-h.half - 0.9, 0), (0, h.height + 0.2), p.wall("nave", 1.0))
    gallery = max(h.capital * p.between(0.85, 1.0), 4.6)
    wide = p.between(2.6, 3.4)
    door = Openings(
        part="portal", shape="pointed" if h.pointed else "round", fill="wood", pitch=2 * h.half, width=wide,
        height=min(wide * 1.45, gallery - 1.0), depth=0.35, frame=0.55, bars=2,
    )  # fmt: skip
    m.wall_with((h.half, 0), (-h.half, 0), 0, p.wall("nave", 1.0, door), 0.05)
    room = h.spring - gallery
    rose = min(h.half * 1.1, h.height * 0.3)
    eye = Openings(
        part="rose", shape="circle", fill="wheel", pitch=2 * h.half, sill=h.height - rose - 1.6, width=rose,
        height=rose, depth=0.08, frame=0.3, bars=p.count(8, 14),
    )  # fmt: skip
    m.wall_with((h.half, 0), (-h.half, 0), 0, p.wall("nave", 1.0, eye), 0.05)
    _organ(s, gallery, room)
    view = ((-1.6, 5.2, 1.5), (1.6, 9.5, 2.0))
    s.spots.append(Spot("portal", "west door", (0.0, 0.0, door.height * 0.52), door.height * 1.5, view))
    view = ((-1.5, h.nave * 0.6, 1.8), (1.5, h.nave * 0.8, 4))
    s.spots.append(Spot("window", "rose", (0.0, 0.0, eye.sill + rose / 2), rose * 1.5, view))


def _organ(s: Inside, gallery: float, room: float) -> None:
    """The organ on its gallery, so many metres above the floor and with so many for it."""
    p, h, m = s.plan, s.hall, s.plan.mesh
    m.box((-h.half, h.half), (0, 2.6), (gallery - 0.45, gallery), p.trim("balcony"))
    rail = Openings.row(
        2 * h.half, 14, 0.4, 0.7, 0.1, shape="round", fill="void", part="balcony", depth=0.2, frame=0.05
    )
    add_wall(
        m, (h.half, 2.62), (-h.half, 2.62), (gallery - 0.45, gallery + 0.95), p.wall("balcony", 1.05, rail)
    )
    for side in (-1, 1):
        p.column(side * h.half * 0.6, 2.3, (0, gallery - 1.0), 0.25, sides=8)
    tall, half = add_organ(p, h.half * p.between(0.72, 0.9), gallery, room)
    middle = (0.0, 1.2, gallery + tall * 0.47)
    view = ((-2.2, h.bay * 1.6, 1.6), (2.2, h.bay * 2.8, 4.5))
    s.spots.append(Spot("organ", "organ", middle, max(tall, 2 * half) * 1.08, view))
    side_view = ((-2.6, 6.5, gallery * 0.6), (2.6, h.bay * 1.8, gallery + 0.5))
    s.spots.append(Spot("organ", "pipes", (half * 0.35, 1.2, gallery + tall * 0.5), tall * 0.75, side_view))


def _furnish(s: Inside) -> None:
    """Pews, and lamps that hang in the nave."""
    p, h, m = s.plan, s.hall, s.plan.mesh
    oak = Surface("floor", replace(OAK, colour=p.tint(STONES["oak"])))
    rows = np.arange(1.6 * h.bay, h.nave - 3.2, 1.25) if p.chance(0.7) else np.zeros(0)
    for y in rows:
        for side in (-1, 1):
            x = sorted((side * 1.0, side * (h.half - 0.5)))
            m.box((x[0], x[1]), (y, y + 0.08), (0.1, 0.95), oak)
            m.box((x[0], x[1]), (y + 0.08, y + 0.5), (0.38, 0.46), oak)
    gilt = Surface("nave", GOLD)
    for k in range(1, h.bays, 2):
        y, z = (k + 0.5) * h.bay, h.capital + 1.0
        if p.chance(0.6):
            chain = Surface("nave", Material((0.03, 0.03, 0.03)))
            m.cylinder((0, y), (z, z + 0.12), 0.5, gilt, sides=10, cap=gilt)
            m.box((-0.015, 0.015), (y - 0.015, y + 0.015), (z + 0.12, h.height), chain)
        s.lamps.append((0.0, y, z - 0.4, 1.0))

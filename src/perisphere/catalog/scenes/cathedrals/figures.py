"""Statues, benches, altars, organs: what stands in a cathedral."""

from dataclasses import replace

import numpy as np

from perisphere.catalog.scenes.materials import Colour, Material, Openings, Surface
from perisphere.catalog.scenes.plan import STONES, Plan

GOLD, OAK = Material(STONES["gold"], grain=0.5, weather=0.3), Material(STONES["oak"], grain=0.6, course=0.3)
TIN = Material((0.62, 0.63, 0.62), grain=0.15, weather=0.2)
LINEN = Material((0.82, 0.80, 0.74), grain=0.3, weather=0.1)
_COATS: tuple[Colour, ...] = ((0.45, 0.08, 0.07), (0.08, 0.14, 0.42), (0.62, 0.42, 0.10), (0.12, 0.30, 0.16))


def add_statue(
    p: Plan, x: float, y: float, z: float, height: float, *, plinth: float = 0.0, turn: float = -np.pi / 2
) -> None:
    """A standing figure in a robe, with a staff or a book, on a plinth.

    Args:
        p: the plan; its dice choose the stone, the attribute and the gesture.
        x: where it stands.
        y: where it stands.
        z: foot of the plinth.
        height: of the figure, metres.
        plinth: height of the plinth.
        turn: where it looks, radians from the x axis.
    """
    m, h = p.mesh, height
    stone = _flesh(p)
    pale = Surface("statue", Material((0.70, 0.66, 0.58), grain=0.5, weather=0.7))
    w = 0.27 * h
    if plinth:
        m.box((x - w, x + w), (y - w, y + w), (z, z + plinth - 0.12), pale)
        m.box((x - w * 1.2, x + w * 1.2), (y - w * 1.2, y + w * 1.2), (z + plinth - 0.12, z + plinth), pale)
    z += plinth
    robe, coat = stone, Surface("statue", replace(stone.material, flutes=9 / (0.2 * h)))
    m.cylinder((x, y), (z, z + 0.46 * h), 0.20 * h, coat, top_radius=0.12 * h, sides=9)
    m.cylinder((x, y), (z + 0.46 * h, z + 0.74 * h), 0.12 * h, robe, top_radius=0.175 * h, sides=9)
    m.cylinder((x, y), (z + 0.74 * h, z + 0.82 * h), 0.175 * h, robe, top_radius=0.05 * h, sides=9)
    skin = Surface("statue", stone.material.tinted(1.2))
    m.cylinder((x, y), (z + 0.81 * h, z + 0.86 * h), 0.045 * h, skin, top_radius=0.05 * h, sides=8)
    m.cylinder((x, y), (z + 0.855 * h, z + 0.92 * h), 0.055 * h, skin, top_radius=0.08 * h, sides=8)
    m.dome((x, y, z + 0.92 * h), 0.08 * h, 0.08 * h, skin, sides=8, rings=2)
    ahead, side = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    for s, low in ((-1, 0.44), (1, 0.50)):  # sleeves
        arm = np.array([x, y]) + (ahead * 0.07 + side * 0.15 * s) * h
        m.cylinder(
            (arm[0], arm[1]), (z + low * h, z + 0.72 * h), 0.085 * h, robe, top_radius=0.05 * h, sides=6
        )
    spot = np.array([x, y]) + (ahead * 0.13 + side * 0.05) * h
    t = 0.055 * h
    m.box((spot[0] - 2 * t, spot[0] + 2 * t), (spot[1] - t, spot[1] + t), (z + 0.56 * h, z + 0.66 * h), skin)
    gilt = Surface("statue", GOLD)
    kind = p.count(0, 2)
    hand = np.array([x, y]) + (ahead * 0.12 - side * 0.20) * h
    t = 0.018 * h
    if kind == 0:
        m.box((hand[0] - t, hand[0] + t), (hand[1] - t, hand[1] + t), (z, z + 1.08 * h), gilt)
        arm = np.abs(side) * 0.09 * h + t
        m.box(
            (hand[0] - arm[0], hand[0] + arm[0]),
            (hand[1] - arm[1], hand[1] + arm[1]),
            (z + 0.96 * h, z + h),
            gilt,
        )
    elif kind == 1:
        m.cylinder((x, y), (z + 0.955 * h, z + 1.10 * h), 0.085 * h, gilt, top_radius=0.015, sides=8)
    else:
        m.cylinder((x, y), (z + 0.985 * h, z + 1.0 * h), 0.15 * h, gilt, sides=10, cap=gilt)


def _flesh(p: Plan) -> Surface:
    kind = p.count(0, 3)
    if kind == 0:
        return Surface("statue", Material(_COATS[p.count(0, 3)], grain=0.5, weather=0.3))
    if kind == 1:
        return Surface("statue", Material((0.16, 0.13, 0.08), grain=0.5, weather=0.8))
    return Surface("statue", Material((0.74, 0.71, 0.66), grain=0.4, weather=0.7))


def add_altar(p: Plan, x: float, y: float, z: float, wide: float, *, turn: int = 0) -> float:
    """A table with a cloth before a gilded retable; returns its height.

    Args:
        p: the plan.
        x: middle of the front of the table.
        y: middle of the front of the table.
        z: floor.
        wide: of the retable, metres.
        turn: it faces -y (0), +x (1) or -x (-1).
    """
    board = _Board(p, x, y, turn)
    cloth, gilt = Surface("altar", LINEN), Surface("altar", GOLD)
    step = p.trim("altar", 0.95)
    table = min(0.62 * wide, 3.6)
    board.box((-0.62 * wide, 0.62 * wide), (-1.3, 2.4), (z, z + 0.22), step)
    board.box((-table / 2, table / 2), (0, 1.0), (z + 0.2, z + 1.15), cloth)
    board.box((-table / 2, table / 2), (-0.03, 0), (z + 0.85, z + 1.17), gilt)
    for s in (-0.42, -0.3, 0.3, 0.42):
        candle = Surface("altar", Material((0.9, 0.86, 0.7)))
        board.box((s * table - 0.04, s * table + 0.04), (0.5, 0.58), (z + 1.15, z + 1.75), candle)
    foot, height = z + 0.9, wide * p.between(1.15, 1.7)
    own = Material(p.tint((0.36, 0.17, 0.08) if p.chance(0.5) else STONES["gold"]), grain=0.5, weather=0.2)
    wings = p.count(1, 2) if wide > 2.5 else 1
    parts = [(-wide * 0.22, wide * 0.22, 1.0)]
    if wings:
        parts += [(-wide * 0.5, -wide * 0.22, 0.72), (wide * 0.22, wide * 0.5, 0.72)]
    for a, b, share in parts:
        high = height * share
        panel = Openings(
            part="altar",
            shape="pointed" if p.chance(0.5) else "round",
            fill="painting",
            pitch=b - a,
            rows=2 if high > 3.5 else 1,
            sill=high * 0.12,
            storey=high * 0.44,
            width=(b - a) * 0.68,
            height=high * (0.36 if high > 3.5 else 0.74),
            depth=0.1,
            frame=0.07 * (b - a) + 0.05,
        )
        board.box(
            (a, b), (1.3, 1.75), (foot, foot + high), Surface("altar", own), Surface("altar", own, panel)
        )
        board.box((a - 0.08, b + 0.08), (1.2, 1.8), (foot + high, foot + high + 0.22), gilt)
        board.roof((a, b), (1.25, 1.75), (foot + high + 0.2, foot + high + 0.2 + 0.6 * (b - a)), gilt)
    for a in (-0.5, -0.22, 0.22, 0.5):
        board.box(
            (a * wide - 0.1, a * wide + 0.1),
            (1.12, 1.4),
            (foot, foot + height * (1.0 if abs(a) < 0.3 else 0.72)),
            gilt,
        )
    cross = foot + height + 0.3 * wide
    board.box((-0.06, 0.06), (1.45, 1.55), (cross, cross + 0.3 * wide), gilt)
    board.box((-0.1 * wide, 0.1 * wide), (1.45, 1.55), (cross + 0.17 * wide, cross + 0.21 * wide), gilt)
    return height + 0.9 + 0.6 * wide


class _Board:
    """Boxes in the frame of a piece that faces -y, +x or -x."""

    def __init__(self, p: Plan, x: float, y: float, turn: int) -> None:
        self.mesh, self.x, self.y, self.turn = p.mesh, x, y, turn

    def _place(self, along: tuple[float, float], back: tuple[float, float]) -> list[tuple[float, float]]:
        if self.turn == 0:
            x, y = along, back
        elif self.turn < 0:
            x, y = back, along
        else:
            x, y = (-back[1], -back[0]), along
        return [(self.x + x[0], self.x + x[1]), (self.y + y[0], self.y + y[1])]

    def box(
        self,
        along: tuple[float, float],
        back: tuple[float, float],
        z: tuple[float, float],
        surface: Surface,
        front: Surface | None = None,
    ) -> None:
        x, y = self._place(along, back)
        if front is None or self.turn == 0:
            self.mesh.box(x, y, z, surface, front=front)
            return
        self.mesh.box(x, y, z, surface)
        at = x[0] if self.turn < 0 else x[1]
        low, high = (y[1], y[0]) if self.turn < 0 else y
        shift = 0.02 if self.turn > 0 else -0.02
        corners = [(at + shift, low, z[0]), (at + shift, high, z[0]), (at + shift, high, z[1])]
        self.mesh.face([*corners, (at + shift, low, z[1])], front)

    def roof(
        self, along: tuple[float, float], back: tuple[float, float], z: tuple[float, float], tiles: Surface
    ) -> None:
        x, y = self._place(along, back)
        self.mesh.gable_roof(x, y, z, tiles, tiles, along="y" if self.turn == 0 else "x", eaves=0.05)


def add_organ(p: Plan, half: float, z: float, room: float) -> tuple[float, float]:
    """A case of carved wood with towers of pipes, on a gallery over the west door, facing +y.

    Args:
        p: the plan.
        half: half the width that it may take.
        z: floor of the gallery.
        room: height that it may take.

    Returns:
        height and half width.
    """
    m = p.mesh
    wood = Surface(
        "organ", Material(p.tint((0.20, 0.10, 0.05) if p.chance(0.7) else (0.50, 0.47, 0.40)), grain=0.6)
    )
    gilt, dark = Surface("organ", GOLD), Surface("organ", Material((0.04, 0.03, 0.025)))
    tin = Surface("organ", TIN if p.chance(0.7) else Material((0.55, 0.38, 0.14), grain=0.2))
    towers = 3 if p.chance(0.5) else 5
    high = min(room, half * p.between(1.25, 1.9))
    base = 0.24 * high
    m.box((-half, half), (0.3, 1.5), (z, z + base), wood)
    m.box((-half, half), (0.3, 1.58), (z + base - 0.14, z + base), gilt)
    edges = np.linspace(-half, half, 2 * towers)  # towers and the flats between them
    centre_high = p.chance(0.6)
    for k in range(len(edges) - 1):
        tower = k % 2 == 0
        middle = abs(k - (len(edges) - 2) / 2) / ((len(edges) - 2) / 2)
        top = 1.0 if centre_high else 0.72
        share = (top + ((0.76 if centre_high else 1.0) - top) * middle) if tower else 0.62
        low, up = z + base, z + base + (high - base) * share
        a, b = float(edges[k]), float(edges[k + 1])
        m.box((a, b), (0.3, 0.7), (low, up), dark)
        _pipes(p, (a + 0.08, b - 0.08), 1.1 if tower else 0.8, (low, up), tin, 5 if tower else 6, tower)
        m.box((a - 0.05, b + 0.05), (0.3, 1.5 if tower else 1.0), (up - 0.1, up + 0.22), wood)
        m.box((a - 0.07, b + 0.07), (0.3, 1.55 if tower else 1.05), (up + 0.22, up + 0.32), gilt)
        if tower:
            m.hip_roof((a, b), (0.4, 1.4), (up + 0.3, up + 0.3 + 0.35 * (b - a) + 0.3), gilt, ridge=0)
        for edge in (a, b):
            m.box((edge - 0.07, edge + 0.07), (0.3, 1.2), (low, up), wood)
    return high * 1.05, half


def _pipes(
    p: Plan, x: tuple[float, float], y: float, z: tuple[float, float], tin: Surface, count: int, tower: bool
) -> None:
    """Pipes side by side, in a bow where they make a tower; the mouths rise towards the middle."""
    radius = (x[1] - x[0]) / count / 2
    mouth = Surface("organ", Material((0.03, 0.025, 0.02)))
    for k in range(count):
        cx = x[0] + (2 * k + 1) * radius
        u = (k - (count - 1) / 2) / max((count - 1) / 2, 1)
        cy = y + (0.3 * (1 - u * u) if tower else 0.0)
        foot = z[0] + (z[1] - z[0]) * (0.12 + 0.08 * abs(u))
        p.mesh.cylinder(
            (cx, cy), (z[0], foot), radius * 0.35, tin, top_radius=radius * 0.95, sides=4, turn=(0, np.pi)
        )
        p.mesh.cylinder((cx, cy), (foot, z[1] - 0.08), radius * 0.95, tin, sides=5, turn=(0, np.pi))
        w, front = radius * 0.5, cy + radius
        corners = [
            (cx + w, front, foot),
            (cx - w, front, foot),
            (cx - w, front, foot + 2 * w),
            (cx + w, front, foot + 2 * w),
        ]
        p.mesh.face(corners, mouth, decal=True)

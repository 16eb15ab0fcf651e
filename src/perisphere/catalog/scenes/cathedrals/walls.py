"""Walls with real arches in them, and vaults: what a hall is made of, all seen from inside."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from perisphere.catalog.scenes.geometry import Mesh
from perisphere.catalog.scenes.materials import Surface

Point = tuple[float, float]


class Arch(NamedTuple):
    """An opening through a wall: shares of the wall's length, and heights in metres."""

    begin: float
    end: float
    spring: float
    crown: float


def profile(u: np.ndarray, pointed: bool) -> np.ndarray:
    """Height of an arch of height 1 at ``u`` from -1 to 1: a half circle, or two arcs and a point."""
    if pointed:
        return np.sqrt(np.maximum(4 - (np.abs(u) + 1) ** 2, 0)) / np.sqrt(3)
    return np.sqrt(np.maximum(1 - u * u, 0))


def add_wall(mesh: Mesh, left: Point, right: Point, z: Point, surface: Surface) -> None:
    """A wall of which a viewer sees ``left`` on the left; only from that side can it be seen."""
    (ax, ay), (bx, by), (low, high) = left, right, z
    mesh.face([(ax, ay, low), (bx, by, low), (bx, by, high), (ax, ay, high)], surface)


def add_facing(
    mesh: Mesh, corners: Sequence[Sequence[float]], towards: Sequence[float], surface: Surface
) -> None:
    """A polygon whose visible side is the one towards a point."""
    stack = np.asarray(corners, np.float64)
    normal = np.cross(stack, np.roll(stack, -1, 0)).sum(0)
    turned = float(normal @ (np.asarray(towards) - stack.mean(0))) < 0
    mesh.face([tuple(corner) for corner in (stack[::-1] if turned else stack)], surface)


def add_arched_wall(
    mesh: Mesh,
    left: Point,
    right: Point,
    z: Point,
    arch: Arch,
    surface: Surface,
    *,
    pointed: bool,
    deep: float = 0.0,
    soffit: Surface | None = None,
    steps: int = 8,
) -> None:
    """A wall with an open arch; ``deep`` metres of its thickness are seen under the arch.

    Args:
        mesh: to draw in.
        left: its left end, as the viewer sees it.
        right: its right end.
        z: foot of what stands beside the opening (the springing, where columns carry it) and top.
        arch: the opening.
        surface: of the wall.
        pointed: whether the arch is.
        deep: thickness, away from the viewer.
        soffit: surface of the underside; None: that of the wall.
        steps: straight pieces of the arch.
    """
    a, b = np.array(left), np.array(right)
    foot, top = z
    u = np.linspace(-1, 1, steps + 1)
    share = arch.begin + (arch.end - arch.begin) * (u + 1) / 2
    heights = arch.spring + (arch.crown - arch.spring) * profile(u, pointed)
    for begin, end in ((0.0, arch.begin), (arch.end, 1.0)):
        if end - begin > 1e-6:
            p, q = a + (b - a) * begin, a + (b - a) * end
            add_wall(mesh, (p[0], p[1]), (q[0], q[1]), (foot, top), surface)
    feet = [a + (b - a) * s for s in share]
    along = (b - a) / np.hypot(*(b - a))
    away = np.array([-along[1], along[0]]) * deep
    for (p, low), (q, high) in pairwise(zip(feet, heights.tolist(), strict=True)):
        mesh.face([(*q, top), (*p, top), (*p, low), (*q, high)], surface)
        if deep:
            under = [(*q, high), (*p, low), (*(p + away), low), (*(q + away), high)]
            add_facing(mesh, under, (*(a + b) / 2, foot - 99), soffit or surface)
    if deep and arch.spring > foot + 1e-6:
        for p, other in ((feet[0], feet[-1]), (feet[-1], feet[0])):
            jamb = [(*p, foot), (*(p + away), foot), (*(p + away), arch.spring), (*p, arch.spring)]
            add_facing(mesh, jamb, (*other, foot), soffit or surface)


def add_groin_vault(
    mesh: Mesh,
    x: Point,
    y: Point,
    z: Point,
    web: Surface,
    rib: Surface | None,
    *,
    pointed: bool,
    steps: int = 6,
) -> None:
    """Two barrels that cross over one bay, seen from below, with ribs along the groins.

    Args:
        mesh: to draw in.
        x: from, to.
        y: from, to.
        z: springing and crown.
        web: surface of the shells.
        rib: surface of the ribs; None: no ribs.
        pointed: form of the barrels.
        steps: pieces of each barrel (even).
    """
    middle = np.array([sum(x) / 2, sum(y) / 2])
    half = np.array([x[1] - x[0], y[1] - y[0]]) / 2
    below = (*middle, z[0] - 3 * max(half))
    u = np.linspace(-1, 1, steps + 1)
    height = z[0] + (z[1] - z[0]) * profile(u, pointed)
    for axis in (0, 1):
        for side in (-1, 1):
            for (p, low), (q, high) in pairwise(zip(u, height, strict=True)):
                flat = [(p, side, low), (q, side, high), (q, side * abs(q), high), (p, side * abs(p), low)]
                corners = [
                    (*(middle + half * np.array((s, t) if axis == 0 else (t, s))), h) for s, t, h in flat
                ]
                add_facing(mesh, corners, below, web)
    if rib is not None:
        _ribs(mesh, middle, half, u, height, rib)


def _ribs(
    mesh: Mesh, middle: np.ndarray, half: np.ndarray, u: np.ndarray, height: np.ndarray, rib: Surface
) -> None:
    """Bands under the diagonals, and across the bay at its near end."""
    wide = 0.035 * float(half.max()) + 0.06
    ways = [(np.array([1.0, 1.0]), np.zeros(2)), (np.array([1.0, -1.0]), np.zeros(2))]
    ways.append((np.array([1.0, 0.0]), np.array([0.0, -1.0])))
    for way, shift in ways:
        line = [middle + half * (way * s + shift) for s in u]
        along = half * way
        aside = np.array([-along[1], along[0]]) / np.hypot(*along) * wide
        for (p, low), (q, high) in pairwise(zip(line, (height - 0.1).tolist(), strict=True)):
            corners = [(*(p - aside), low), (*(p + aside), low), (*(q + aside), high), (*(q - aside), high)]
            add_facing(mesh, corners, (*middle, height.min() - 9 * half.max()), rib)

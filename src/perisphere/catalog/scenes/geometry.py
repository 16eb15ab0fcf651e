"""Polygons in space: walls, roofs, columns, domes. Metres, z up, landmarks face the negative y axis."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from perisphere.catalog.scenes.materials import Surface, surface_table

PLANE, ROUND, DOME, BLOB = range(4)
"""How a face is curved: flat, round an axis, round a centre, or a leafy ball that faces the viewer."""


@dataclass(frozen=True)
class Geometry:
    """A finished mesh of ``n`` faces.

    Attributes:
        corners: float64 ``[sum of corners, 3]``.
        starts: int64 ``[n + 1]``: face ``i`` has ``corners[starts[i]:starts[i + 1]]``,
            counter-clockwise from outside.
        frames: float64 ``[n, 4, 3]``: origin, tangent (u), bitangent (v), outward normal.
        kind: int64 ``[n]``, one of PLANE, ROUND, DOME, BLOB.
        centre: float64 ``[n, 3]``: foot of the axis, centre of the dome or ball.
        radii: float64 ``[n, 2]``: horizontal and vertical radius (ROUND: radius and slope of the wall).
        surface: int64 ``[n]``: row of ``surfaces``.
        surfaces: float32, see :func:`perisphere.catalog.scenes.materials.surface_table`.
        decal: bool ``[n]``: lies on another face, casts no shadow.
    """

    corners: np.ndarray
    starts: np.ndarray
    frames: np.ndarray
    kind: np.ndarray
    centre: np.ndarray
    radii: np.ndarray
    surface: np.ndarray
    surfaces: np.ndarray
    decal: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner of the box around everything."""
        return self.corners.min(0), self.corners.max(0)

    def joined(self, *others: "Geometry") -> "Geometry":
        """This mesh and the others as one; the face numbers of this one stay."""
        meshes = [self, *(other for other in others if len(other))]
        corner = np.cumsum([0, *(len(m.corners) for m in meshes)])
        surface = np.cumsum([0, *(len(m.surfaces) for m in meshes)])
        starts = [m.starts[:-1] + o for m, o in zip(meshes, corner, strict=False)]
        return Geometry(
            corners=np.concatenate([m.corners for m in meshes]),
            starts=np.concatenate([*starts, corner[-1:]]),
            frames=np.concatenate([m.frames for m in meshes]),
            kind=np.concatenate([m.kind for m in meshes]),
            centre=np.concatenate([m.centre for m in meshes]),
            radii=np.concatenate([m.radii for m in meshes]),
            surface=np.concatenate([m.surface + o for m, o in zip(meshes, surface, strict=False)]),
            surfaces=np.concatenate([m.surfaces for m in meshes]),
            decal=np.concatenate([m.decal for m in meshes]),
        )


@dataclass
class Mesh:
    """Gathers faces; :meth:`finished` makes them a :class:`Geometry`."""

    _corners: list[Sequence[float]] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)
    _curves: list[tuple[int, Sequence[float], float, float, bool]] = field(default_factory=list)
    _surfaces: dict[Surface, int] = field(default_factory=dict)
    _surface: list[int] = field(default_factory=list)

    def face(
        self,
        corners: Sequence[Sequence[float]],
        surface: Surface,
        *,
        kind: int = PLANE,
        centre: Sequence[float] = (0.0, 0.0, 0.0),
        radii: tuple[float, float] = (1.0, 1.0),
        decal: bool = False,
    ) -> None:
        """Add a planar polygon; its first edge is the u axis and its foot."""
        self._corners.extend(corners)
        self._counts.append(len(corners))
        self._curves.append((kind, centre, *radii, decal))
        self._surface.append(self._surfaces.setdefault(surface, len(self._surfaces)))

    def finished(self) -> Geometry:
        """Stack everything into arrays."""
        n = len(self._counts)
        corners = np.array(self._corners, np.float64).reshape(-1, 3)
        starts = np.concatenate([[0], np.cumsum(self._counts)]).astype(np.int64)
        curves = self._curves
        return Geometry(
            corners=corners,
            starts=starts,
            frames=_frames(corners, starts) if n else np.zeros((0, 4, 3)),
            kind=np.array([c[0] for c in curves], np.int64),
            centre=np.array([tuple(c[1]) for c in curves], np.float64).reshape(n, 3),
            radii=np.array([c[2:4] for c in curves], np.float64).reshape(n, 2),
            surface=np.array(self._surface, np.int64),
            surfaces=surface_table(list(self._surfaces)),
            decal=np.array([c[4] for c in curves], bool),
        )

    def box(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        z: tuple[float, float],
        surface: Surface,
        *,
        front: Surface | None = None,
        side: Surface | None = None,
        back: Surface | None = None,
        top: Surface | None = None,
    ) -> None:
        """A block; ``front``, ``side``, ``back`` and ``top`` may have their own surface."""
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        side = side or surface
        feet = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        walls = [front or surface, side, back or surface, side]
        for number, wall in enumerate(walls):
            (ax, ay), (bx, by) = feet[number], feet[(number + 1) % 4]
            self.face([(ax, ay, z0), (bx, by, z0), (bx, by, z1), (ax, ay, z1)], wall)
        self.face([(ax, ay, z1) for ax, ay in feet], top or surface)
        if z0 > 0.3:  # its underside can be seen
            self.face([(ax, ay, z0) for ax, ay in reversed(feet)], surface)

    def gable_roof(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        z: tuple[float, float],
        tiles: Surface,
        gable: Surface,
        *,
        along: str = "y",
        eaves: float = 0.4,
    ) -> None:
        """A saddle roof with its ridge along ``y`` or ``x``, eaves at ``z[0]``, ridge at ``z[1]``."""
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        if along == "y":
            m = (x0 + x1) / 2
            e, drop = eaves, eaves * (z1 - z0) / ((x1 - x0) / 2)
            self.face([(x1 + e, y0, z0 - drop), (x1 + e, y1, z0 - drop), (m, y1, z1), (m, y0, z1)], tiles)
            self.face([(x0 - e, y1, z0 - drop), (x0 - e, y0, z0 - drop), (m, y0, z1), (m, y1, z1)], tiles)
            self.face([(x0, y0, z0), (x1, y0, z0), (m, y0, z1)], gable)
            self.face([(x1, y1, z0), (x0, y1, z0), (m, y1, z1)], gable)
        else:
            m = (y0 + y1) / 2
            e, drop = eaves, eaves * (z1 - z0) / ((y1 - y0) / 2)
            self.face([(x0, y0 - e, z0 - drop), (x1, y0 - e, z0 - drop), (x1, m, z1), (x0, m, z1)], tiles)
            self.face([(x1, y1 + e, z0 - drop), (x0, y1 + e, z0 - drop), (x0, m, z1), (x1, m, z1)], tiles)
            self.face([(x1, y0, z0), (x1, y1, z0), (x1, m, z1)], gable)
            self.face([(x0, y1, z0), (x0, y0, z0), (x0, m, z1)], gable)

    def hip_roof(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        z: tuple[float, float],
        tiles: Surface,
        *,
        ridge: float | None = None,
    ) -> None:
        """A roof that slopes on four sides; ``ridge`` is its length along the longer side (0: a pyramid)."""
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        w, d = x1 - x0, y1 - y0
        length = max(0.0, max(w, d) - min(w, d)) if ridge is None else ridge
        mx, my = (x0 + x1) / 2, (y0 + y1) / 2
        hx, hy = (length / 2, 0.0) if w >= d else (0.0, length / 2)
        a, b = (mx - hx, my - hy, z1), (mx + hx, my + hy, z1)
        if length < 1e-6:
            feet = [(x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)]
            for number in range(4):
                self.face([feet[number], feet[(number + 1) % 4], a], tiles)
        elif w >= d:
            self.face([(x0, y0, z0), (x1, y0, z0), b, a], tiles)
            self.face([(x1, y0, z0), (x1, y1, z0), b], tiles)
            self.face([(x1, y1, z0), (x0, y1, z0), a, b], tiles)
            self.face([(x0, y1, z0), (x0, y0, z0), a], tiles)
        else:
            self.face([(x0, y0, z0), (x1, y0, z0), a], tiles)
            self.face([(x1, y0, z0), (x1, y1, z0), b, a], tiles)
            self.face([(x1, y1, z0), (x0, y1, z0), b], tiles)
            self.face([(x0, y1, z0), (x0, y0, z0), a, b], tiles)

    def cylinder(
        self,
        centre: tuple[float, float],
        z: tuple[float, float],
        radius: float,
        surface: Surface,
        *,
        top_radius: float | None = None,
        sides: int = 16,
        smooth: bool = True,
        cap: Surface | None = None,
        turn: tuple[float, float] = (0.0, 2 * np.pi),
    ) -> None:
        """A shaft, round or (not ``smooth``) many-sided; a cone (``top_radius=0``); an arc (``turn``)."""
        (cx, cy), (z0, z1) = centre, z
        upper = radius if top_radius is None else top_radius
        angles = np.linspace(*turn, sides + 1)
        slope = (radius - upper) / (z1 - z0)
        ring = np.stack([np.cos(angles), np.sin(angles)], 1)
        for a, b in pairwise(ring):
            corners = [
                (cx + radius * a[0], cy + radius * a[1], z0),
                (cx + radius * b[0], cy + radius * b[1], z0),
                (cx + upper * b[0], cy + upper * b[1], z1),
                (cx + upper * a[0], cy + upper * a[1], z1),
            ]
            kind = ROUND if smooth else PLANE
            self.face(
                corners[:3] if upper < 1e-6 else corners,
                surface,
                kind=kind,
                centre=(cx, cy, z0),
                radii=(radius, slope),
            )
        if upper > 1e-6 and cap is not None:
            self.face([(cx + upper * a[0], cy + upper * a[1], z1) for a in ring[:-1]], cap)

    def dome(
        self,
        centre: tuple[float, float, float],
        radius: float,
        height: float,
        surface: Surface,
        *,
        sides: int = 20,
        rings: int = 6,
        bulge: float = 0.0,
        turn: tuple[float, float] = (0.0, 2 * np.pi),
    ) -> None:
        """A cupola on ``centre``; ``bulge`` > 0 makes it an onion that swells and ends in a point."""
        cx, cy, cz = centre
        rise = np.linspace(0, np.pi / 2, rings + 1)
        r = radius * np.cos(rise) * (1 + bulge * np.sin(2 * rise) ** 2)
        h = (
            height * np.sin(rise)
            if bulge == 0
            else height * (0.55 * np.sin(rise) + 0.45 * (rise / (np.pi / 2)) ** 1.6)
        )
        angles = np.linspace(*turn, sides + 1)
        for low in range(rings):
            for a, b in pairwise(angles):
                corners = [
                    (cx + r[k] * np.cos(t), cy + r[k] * np.sin(t), cz + h[k])
                    for k, t in ((low, a), (low, b), (low + 1, b), (low + 1, a))
                ]
                self.face(
                    corners[:3] if low == rings - 1 else corners,
                    surface,
                    kind=DOME,
                    centre=centre,
                    radii=(radius, height),
                )

    def wall_with(
        self,
        left: tuple[float, float],
        right: tuple[float, float],
        foot: float,
        surface: Surface,
        proud: float = 0.04,
    ) -> None:
        """Lay one framed opening (door, rose, window) on a wall that runs from ``left`` to ``right``.

        The opening's ``left``/``sill`` are relative to this stretch of wall.
        """
        (ax, ay), (bx, by) = left, right
        length = float(np.hypot(bx - ax, by - ay))
        nx, ny = (by - ay) / length * proud, -(bx - ax) / length * proud
        o = surface.openings
        top = foot + o.sill + (o.rows - 1) * o.storey + o.height + o.frame
        self.face(
            [
                (ax + nx, ay + ny, foot),
                (bx + nx, by + ny, foot),
                (bx + nx, by + ny, top),
                (ax + nx, ay + ny, top),
            ],
            surface,
            decal=True,
        )

    def leaves(
        self, balls: np.ndarray, edges: np.ndarray, facing: np.ndarray, surfaces: Sequence[Surface]
    ) -> None:
        """Ragged balls of leaves turned towards a viewer.

        Args:
            balls: float64 ``[n, 4]``: centre and radius.
            edges: float64 ``[n, k]``: outline of each as shares of its radius.
            facing: float64 ``[3]``: unit vector to the viewer.
            surfaces: in turn, what the balls are made of.
        """
        right = np.array((-facing[1], facing[0], 0.0))
        right /= max(float(np.hypot(facing[0], facing[1])), 1e-9)
        up = _cross(facing, right)
        angles = np.linspace(0, 2 * np.pi, edges.shape[1], endpoint=False)
        ring = np.cos(angles)[:, None] * right + np.sin(angles)[:, None] * up
        points = balls[:, None, :3] + (balls[:, 3:] * edges)[..., None] * ring
        for k, (corners, (x, y, z, radius)) in enumerate(zip(points.tolist(), balls.tolist(), strict=True)):
            self.face(
                corners, surfaces[k % len(surfaces)], kind=BLOB, centre=(x, y, z), radii=(radius, radius)
            )


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product along the last axis (numpy's own is slow on small arrays)."""
    ax, ay, az = np.moveaxis(a, -1, 0)
    bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def _frames(corners: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Origin, tangent, bitangent and normal of every face, float64 ``[n, 4, 3]``."""
    first, following = starts[:-1], np.arange(1, len(corners) + 1)
    following[starts[1:] - 1] = first
    # The normal of a polygon that need not be convex is the sum of its corners' cross products.
    origin = corners[first]
    local = corners - np.repeat(origin, np.diff(starts), 0)
    normal = np.add.reduceat(_cross(local, local[following]), first)
    normal /= np.sqrt((normal * normal).sum(1, keepdims=True))
    tangent = corners[first + 1] - origin
    tangent /= np.sqrt((tangent * tangent).sum(1, keepdims=True))
    return np.stack([origin, tangent, _cross(normal, tangent), normal], 1)

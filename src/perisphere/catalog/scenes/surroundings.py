"""What stands around a landmark: ground or water, houses, trees and people."""

from dataclasses import dataclass

import numpy as np

from perisphere.catalog.scenes.geometry import Geometry, Mesh
from perisphere.catalog.scenes.materials import Material, Openings, Surface
from perisphere.catalog.scenes.world import Landmark

FAR = 2500.0
_LEAVES = (
    (0.085, 0.14, 0.04),
    (0.11, 0.15, 0.045),
    (0.06, 0.11, 0.05),
    (0.26, 0.15, 0.04),
    (0.14, 0.16, 0.06),
)
_CLOTHES = (
    (0.4, 0.05, 0.05),
    (0.05, 0.10, 0.30),
    (0.55, 0.5, 0.42),
    (0.04, 0.04, 0.05),
    (0.5, 0.36, 0.06),
    (0.08, 0.22, 0.14),
    (0.6, 0.6, 0.62),
)


@dataclass(frozen=True)
class Tree:
    """A trunk and balls of leaves, as numbers that :meth:`add` turns towards a viewer."""

    x: float
    y: float
    height: float
    leaves: tuple[float, float, float]
    balls: np.ndarray  # [n, 4]: offset and radius
    edges: np.ndarray  # [n, 19]: ragged outlines

    @classmethod
    def draw(cls, rng: np.random.Generator, x: float, y: float) -> "Tree":
        """A tree of random size and shape."""
        height, wide = rng.uniform(5, 11), rng.uniform(0.30, 0.42)
        n = int(rng.integers(13, 20))
        direction = rng.standard_normal((n, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        offset = direction * rng.uniform(0.35, 1, (n, 1)) * np.array([wide, wide, 0.33]) * height
        offset[:, 2] += 0.64 * height
        radius = rng.uniform(0.13, 0.21, (n, 1)) * height
        tint = np.array(_LEAVES[int(rng.integers(len(_LEAVES)))]) * rng.uniform(0.8, 1.2)
        edges = rng.uniform(0.72, 1.16, (n, 19))
        return cls(
            x,
            y,
            float(height),
            (float(tint[0]), float(tint[1]), float(tint[2])),
            np.hstack([offset, radius]),
            edges,
        )

    def add(self, mesh: Mesh, facing: np.ndarray) -> None:
        """Put it in a mesh, its leaves turned to ``facing``."""
        bark = Surface("tree", Material((0.10, 0.07, 0.045), grain=0.8))
        mesh.cylinder(
            (self.x, self.y),
            (0, self.height * 0.62),
            self.height * 0.028,
            bark,
            top_radius=self.height * 0.014,
            sides=6,
        )
        r, g, b = self.leaves
        tones = (0.85, 0.95, 1.05, 1.15)
        leaves = [Surface("tree", Material((r * t, g * t, b * t), grain=0.6, weather=0)) for t in tones]
        mesh.leaves(self.balls + np.array((self.x, self.y, 0, 0)), self.edges, facing, leaves)


@dataclass(frozen=True)
class Surroundings:
    """Everything in a photo but the landmark."""

    fixed: Geometry
    trees: tuple[Tree, ...]

    def geometry(self, facing: np.ndarray) -> Geometry:
        """The mesh, with leaves turned to ``facing``."""
        mesh = Mesh()
        for tree in self.trees:
            tree.add(mesh, facing)
        return self.fixed.joined(mesh.finished())


def draw_surroundings(
    rng: np.random.Generator, landmark: Landmark, position: np.ndarray, *, crowd: float, clutter: float
) -> Surroundings:
    """Furnish the place around a landmark, seen from ``position``.

    Args:
        rng: the photo's dice.
        landmark: what is photographed.
        position: the camera's, so that nothing stands in its face.
        crowd: mean number of people.
        clutter: 0 to 1: how often trees stand in the line of sight.
    """
    mesh = Mesh()
    low, high = landmark.geometry.bounds
    water = landmark.family == "bridge"
    _ground(mesh, rng, low, high, water)
    sight = landmark.middle[:2] - position[:2]
    _houses(mesh, rng, landmark, position, water)
    across = np.array([-sight[1], sight[0]]) / max(float(np.linalg.norm(sight)), 1e-9)
    trees = []
    for _ in range(int(rng.integers(2, 7))):
        angle, out = rng.uniform(0, 2 * np.pi), landmark.reach * rng.uniform(0.95, 1.8) + 4
        trees.append(landmark.middle[:2] + out * np.array([np.cos(angle), np.sin(angle)]))
    trees = [
        spot for spot in trees if not _blocks(spot, position[:2], landmark.middle[:2], landmark.reach * 0.55)
    ]
    for _ in range(int(rng.binomial(3, clutter))):
        # Beside the middle: a tree may hide a wing, seldom the whole.
        share, aside = rng.uniform(0.42, 0.85), rng.choice((-1, 1)) * rng.uniform(0.25, 0.9) * landmark.reach
        trees.append(position[:2] + sight * share + across * aside * (0.3 + 0.7 * share))
    spots = [
        spot
        for spot in trees
        if np.linalg.norm(spot - position[:2]) > 9 and not _within(spot, low, high, 3.0)
    ]
    if water:
        spots = [spot for spot in spots if abs(spot[0]) > high[0] - 2]
    planted = tuple(Tree.draw(rng, float(x), float(y)) for x, y in spots)
    for _ in range(0 if water else int(rng.poisson(crowd))):
        share, aside = rng.uniform(0.3, 0.95), rng.normal(0, 0.5) * landmark.reach
        spot = position[:2] + sight * share + across * aside * (0.2 + 0.8 * share)
        if not _within(spot, low, high, 0.5) and np.linalg.norm(spot - position[:2]) > 5:
            add_person(mesh, rng, spot, position)
    return Surroundings(mesh.finished(), planted)


def _within(spot: np.ndarray, low: np.ndarray, high: np.ndarray, margin: float) -> bool:
    return bool(((spot > low[:2] - margin) & (spot < high[:2] + margin)).all())


def _blocks(spot: np.ndarray, camera: np.ndarray, target: np.ndarray, width: float) -> bool:
    """Whether a thing at ``spot`` would hide the target."""
    sight = target - camera
    share = float(((spot - camera) * sight).sum() / (sight * sight).sum())
    return 0 < share < 1 and float(np.linalg.norm(spot - camera - share * sight)) < width


def _ground(mesh: Mesh, rng: np.random.Generator, low: np.ndarray, high: np.ndarray, water: bool) -> None:
    grass = Surface("ground", Material((0.13, 0.17, 0.055), grain=0.9, weather=1.0))
    if water:
        river = Surface("water", Material((0.05, 0.085, 0.085), grain=0.2, weather=0.1))
        mesh.face([(-FAR, -FAR, 0), (FAR, -FAR, 0), (FAR, FAR, 0), (-FAR, FAR, 0)], river)
        for side in (-1, 1):
            x = sorted((side * (high[0] - 3), side * FAR))
            top = float(rng.uniform(1.2, 2.4))
            bank = Surface("ground", Material((0.30, 0.27, 0.22), course=0.5, block=1.0))
            mesh.box((x[0], x[1]), (-FAR, low[1] - 0.3), (0, top), bank, top=grass)
            mesh.box((x[0], x[1]), (high[1] + 0.3, FAR), (0, top), bank, top=grass)
        return
    tone = float(rng.uniform(0.75, 1.2))
    slabs = Material((0.42 * tone, 0.39 * tone, 0.34 * tone), course=1.1, block=1.6, joint=0.3, weather=0.6)
    gravel = Material((0.45 * tone, 0.40 * tone, 0.31 * tone), grain=0.6, weather=0.7)
    base = (grass, Surface("ground", gravel), Surface("ground", slabs))[
        int(rng.choice(3, p=(0.45, 0.2, 0.35)))
    ]
    mesh.face([(-FAR, -FAR, 0), (FAR, -FAR, 0), (FAR, FAR, 0), (-FAR, FAR, 0)], base)
    m, deep = float(rng.uniform(3, 9)), float(rng.uniform(8, 26))
    x0, x1, y0, y1 = low[0] - m, high[0] + m, low[1] - deep, high[1] + m
    mesh.face(
        [(x0, y0, 0.02), (x1, y0, 0.02), (x1, y1, 0.02), (x0, y1, 0.02)], Surface("ground", slabs), decal=True
    )


def _houses(
    mesh: Mesh, rng: np.random.Generator, landmark: Landmark, position: np.ndarray, water: bool
) -> None:
    """A few plain houses behind and beside."""
    for _ in range(int(rng.integers(2, 9))):
        angle, out = rng.uniform(0, 2 * np.pi), landmark.reach * rng.uniform(1.5, 3.2) + 12
        spot = landmark.middle[:2] + out * np.array([np.cos(angle), np.sin(angle)])
        wide, deep, high = rng.uniform(4, 8), rng.uniform(4, 7), rng.uniform(5, 11)
        tone = rng.uniform(0.6, 1.1)
        colour = (
            np.array(
                ((0.62, 0.52, 0.36), (0.55, 0.32, 0.22), (0.68, 0.65, 0.6), (0.5, 0.45, 0.3))[
                    int(rng.integers(4))
                ]
            )
            * tone
        )
        near = float(np.linalg.norm(spot - position[:2])) < 20
        if near or _blocks(spot, position[:2], landmark.middle[:2], landmark.reach * 0.8 + wide):
            continue
        if water and abs(spot[0]) < landmark.geometry.bounds[1][0] + wide:
            continue
        plaster = Material((float(colour[0]), float(colour[1]), float(colour[2])), weather=0.5)
        rows = max(1, int(high / 3))
        windows = Openings.row(
            2 * wide,
            max(2, int(wide * 0.8)),
            1.0,
            1.5,
            0.9,
            shape="rect",
            rows=rows,
            storey=3.0,
            part="background",
            fill="glass",
            depth=0.2,
            frame=0.12,
        )
        wall = Surface("background", plaster, windows)
        tiles = Surface(
            "background", Material((0.30 * tone, 0.12 * tone, 0.07 * tone), course=0.4, block=0.3, lap=0.3)
        )
        x, y = (spot[0] - wide, spot[0] + wide), (spot[1] - deep, spot[1] + deep)
        mesh.box(x, y, (0, high), wall)
        mesh.gable_roof(x, y, (high, high + deep * 0.75), tiles, Surface("background", plaster), along="x")


def add_person(mesh: Mesh, rng: np.random.Generator, spot: np.ndarray, viewer: np.ndarray) -> None:
    """A flat figure turned to the viewer: legs, coat, head."""
    height = rng.uniform(1.55, 1.9)
    away = viewer[:2] - spot
    side = np.array([-away[1], away[0]]) / np.linalg.norm(away)
    picks = rng.integers(len(_CLOTHES), size=2)
    coat, legs = (Surface("person", Material(_CLOTHES[int(k)], grain=0.3, weather=0)) for k in picks)
    skin = Surface(
        "person", Material(((0.5, 0.32, 0.22), (0.25, 0.14, 0.08), (0.62, 0.42, 0.3))[int(rng.integers(3))])
    )
    stride = rng.uniform(0.10, 0.24)

    def shape(points: list[tuple[float, float]], surface: Surface) -> None:
        mesh.face(
            [(spot[0] + side[0] * u * height, spot[1] + side[1] * u * height, v * height) for u, v in points],
            surface,
        )

    shape(
        [
            (-stride, 0),
            (-stride + 0.07, 0),
            (0.0, 0.42),
            (stride - 0.07, 0),
            (stride, 0),
            (0.09, 0.5),
            (-0.09, 0.5),
        ],
        legs,
    )
    shape([(-0.11, 0.4), (0.11, 0.4), (0.14, 0.6), (0.12, 0.83), (-0.12, 0.83), (-0.14, 0.6)], coat)
    turn = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    shape([(0.062 * np.cos(t), 0.92 + 0.078 * np.sin(t)) for t in turn], skin)

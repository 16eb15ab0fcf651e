"""Fortresses: the square keep and the castle with a ring of round towers."""

import numpy as np

from perisphere.catalog.scenes.materials import Openings
from perisphere.catalog.scenes.plan import Plan


def keep(p: Plan) -> None:
    """One great square tower with corner turrets behind a low wall."""
    p.choose_stone(["granite", "limestone", "sandstone"], ["slate"], course=0.5)
    m, half, height = p.mesh, p.between(7, 10), p.between(17, 25)
    turret = p.between(1.8, 2.8)
    storeys = p.count(2, 4)
    slits = Openings.row(
        2 * half,
        p.count(2, 4),
        0.8,
        1.9,
        height * 0.2,
        shape="round",
        rows=storeys,
        storey=height * 0.72 / storeys,
        fill="void",
        depth=0.6,
    )
    m.box((-half, half), (0, 2 * half), (0, height), p.wall("keep", 1, slits), top=p.trim("roof", 0.8))
    p.battlements((-half, half), (0.2, 2 * half), height, size=1.1)
    taller = p.between(2, 5)
    for x in (-half, half):
        for y in (0, 2 * half):
            size = turret * (1.25 if x < 0 < y else 1)
            m.box((x - size, x + size), (y - size, y + size), (0, height + taller), p.wall("tower"))
            p.battlements((x - size, x + size), (y - size, y + size), height + taller)
            if p.spread > 0 and p.rng.random() < 0.2:
                m.hip_roof(
                    (x - size, x + size),
                    (y - size, y + size),
                    (height + taller, height + taller + 4),
                    p.roof("spire"),
                    ridge=0,
                )
    gate = Openings(
        part="portal", shape="round", fill="wood", pitch=7, width=3, height=4.4, depth=1.0, frame=0.4
    )
    m.box((-3.5, 3.5), (-3, 0), (0, 7.5), p.wall("portal"), front=p.wall("portal", 1, gate))
    p.battlements((-3.5, 3.5), (-2.8, 0), 7.5)
    ring = half + p.between(6, 10)
    for side in ((-ring, -5.5), (5.5, ring)):
        m.box(side, (-9, -8), (0, 3.5), p.wall("wall", 0.95))
        p.battlements(side, (-9, -8.2), 3.5)
    p.detail("portal", 0, -3, 3.5, 9)
    p.detail("tower", half, 0, height, 9)


def castle(p: Plan) -> None:
    """Curtain walls between round towers with cone roofs, and a gatehouse."""
    p.choose_stone(["sandstone", "limestone", "rose", "granite"], ["slate", "terracotta"], course=0.5)
    m, half, height = p.mesh, p.between(13, 18), p.between(8, 11)
    depth = half * p.between(1.1, 1.7)
    slits = Openings.row(
        2 * half, p.count(4, 7), 0.6, 1.6, height * 0.5, shape="rect", fill="void", depth=0.5
    )
    m.box((-half, half), (0, depth), (0, height), p.wall("wall", 1, slits), top=p.trim("roof", 0.7))
    p.battlements((-half, half), (0.2, depth), height, size=1.3)
    for k, x in enumerate((-half, half, -half, half)):
        _round_tower(p, x, 0.0 if k < 2 else depth, p.between(2.8, 3.8), height * p.between(1.3, 1.9))
    gate_height = height * p.between(1.15, 1.5)
    gate = Openings(
        part="portal", shape="pointed", fill="wood", pitch=6, width=3.2, height=5, depth=1.2, frame=0.45
    )
    m.box((-3, 3), (-1.5, 2), (0, gate_height), p.wall("portal"), front=p.wall("portal", 1, gate))
    p.battlements((-3, 3), (-1.3, 2), gate_height)
    for x in (-4.2, 4.2):
        _round_tower(p, x, -0.8, p.between(1.8, 2.4), gate_height * p.between(1.05, 1.35))
    hall = half * p.between(0.4, 0.6)
    lights = Openings.row(2 * hall, 4, 1.0, 2.4, height * 1.0, shape="pointed", fill="glass", depth=0.4)
    m.box((-hall, hall), (depth * 0.45, depth * 0.9), (0, height * 1.55), p.wall("keep", 1, lights))
    m.gable_roof(
        (-hall, hall),
        (depth * 0.45, depth * 0.9),
        (height * 1.55, height * 2.1),
        p.roof(),
        p.wall("keep"),
        along="x",
    )
    p.detail("portal", 0, -1.5, 4, 11)
    p.detail("tower", half, 0, height * 1.2, 12)


def _round_tower(p: Plan, x: float, y: float, radius: float, height: float) -> None:
    m = p.mesh
    slits = Openings.row(
        2 * np.pi * radius,
        5,
        0.7,
        1.8,
        height * 0.3,
        shape="round",
        rows=2,
        storey=height * 0.4,
        fill="void",
        depth=0.5,
    )
    m.cylinder((x, y), (0, height), radius * 1.06, p.wall("tower", 1, slits), top_radius=radius, sides=18)
    m.cylinder(
        (x, y), (height - 0.8, height), radius, p.trim("battlement"), top_radius=radius * 1.16, sides=18
    )
    m.cylinder(
        (x, y), (height, height + 1.3), radius * 1.16, p.wall("battlement"), sides=18, cap=p.trim("roof", 0.7)
    )
    if p.chance(0.75):
        high = radius * p.between(1.6, 2.6)
        m.cylinder(
            (x, y), (height + 1.3, height + 1.3 + high), radius * 1.3, p.roof("spire"), top_radius=0, sides=18
        )

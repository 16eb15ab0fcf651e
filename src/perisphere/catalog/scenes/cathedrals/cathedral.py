"""A cathedral: outside and inside, the places worth a photo, and points on its surfaces."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from perisphere.catalog.scenes import render as shading
from perisphere.catalog.scenes.cathedrals import exterior, interior
from perisphere.catalog.scenes.cathedrals.interior import Hall
from perisphere.catalog.scenes.cathedrals.spots import Spot, stand_at
from perisphere.catalog.scenes.cathedrals.wording import Category, Guide, folders
from perisphere.catalog.scenes.geometry import BLOB, PLANE, Geometry
from perisphere.catalog.scenes.materials import COLUMNS
from perisphere.catalog.scenes.parts import PART_ID
from perisphere.catalog.scenes.plan import Plan
from perisphere.catalog.scenes.raster import see
from perisphere.catalog.scenes.world import Keypoints, Landmark, cathedral_stream, place_name

POINTS = 40
"""Surface points that each spot adds."""
STYLES = ("gothic", "romanesque", "baroque")
_LOOK = 160  # pixels across of the view in which a spot's points are found


@dataclass(frozen=True)
class Church(Landmark):
    """The landmark that a cathedral is.

    Attributes:
        guide: how photos of it are sorted and captioned.
        folders: its tree of categories: path of names -> path of numbered folders, parents first.
    """

    guide: Guide
    folders: dict[tuple[Category, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Cathedral:
    """A landmark that can be entered.

    Attributes:
        landmark: its outside, and the surface points of outside and inside.
        inside: the mesh of the interior.
        shell: what keeps the sun out of it, but for the windows.
        hall: measures of the interior.
        lamps: float64 ``[k, 4]``: place and strength of the lamps inside.
        spots: places worth a photo.
        first_inside: number of the first surface point that lies inside.
    """

    landmark: Church
    inside: Geometry
    shell: Geometry
    hall: Hall
    lamps: np.ndarray
    spots: tuple[Spot, ...]
    first_inside: int


@lru_cache(maxsize=4)
def cathedral(seed: int, number: int, spread: float = 1.0) -> Cathedral:
    """Build cathedral ``number`` of the world ``seed``; styles take turns.

    Args:
        seed: of the world.
        number: from 0.
        spread: how far cathedrals of one style differ, 0 to 1.
    """
    style = STYLES[number % len(STYLES)]
    rng = cathedral_stream(seed, number)
    plan = Plan(rng=rng, spread=spread)
    outside, spots = exterior.build(plan, style)
    within = Plan(rng=rng, spread=spread, stone=plan.stone, cover=plan.cover, stone_name=plan.stone_name)
    inside = interior.build(within, style)
    mesh = within.mesh.finished()
    out = _points(outside, [spot for spot in spots if not spot.inside], rng)
    into = _points(mesh, inside.spots, rng)
    guide = Guide(place_name(seed, number), cathedral_stream(seed, number, 0, 0))
    landmark = Church(
        number=number,
        name=guide.english,
        guide=guide,
        folders=folders(guide.categories(spot) for spot in (*spots, *inside.spots)),
        family="cathedral",
        style=style,
        stone=plan.stone_name,
        geometry=outside,
        details=tuple(plan.details),
        keypoints=Keypoints(*(np.concatenate(pair) for pair in zip(out, into, strict=True))),
    )
    return Cathedral(
        landmark=landmark,
        inside=mesh,
        shell=inside.shell.finished(),
        hall=inside.hall,
        lamps=np.array(inside.lamps),
        spots=(*spots, *inside.spots),
        first_inside=len(out[0]),
    )


def _points(
    geometry: Geometry, spots: list[Spot], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position, normal and part of points that the plainest view of each spot shows, dense where it looks."""
    position, normal, part = [], [], []
    for spot in spots:
        camera = stand_at(spot, None, _LOOK, 0.0)
        inverse, faces = see(geometry, camera, _LOOK)
        seen = np.argwhere(faces >= 0)
        chosen = seen[rng.choice(len(seen), min(6 * POINTS, len(seen)), replace=False)]
        j, i = chosen.T
        face = faces[j, i]
        share = (np.stack([i, j], 1) + 0.5) / _LOOK - 0.5
        right, down, forward = camera.axes
        rays = (share[:, :1] * right + share[:, 1:] * down) / camera.focal + forward
        place = camera.position + rays / inverse[j, i, None]
        fixed = np.flatnonzero(_fixed(geometry, place, face))[:POINTS]
        position.append(place[fixed])
        normal.append(geometry.frames[face[fixed], 3])
        part.append(_part(geometry, place[fixed], face[fixed]))
    return np.concatenate(position), np.concatenate(normal), np.concatenate(part)


def _cells(geometry: Geometry, place: np.ndarray, face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the table of surfaces, and metres inside the nearest opening."""
    table = geometry.surfaces[geometry.surface[face]]
    frames = geometry.frames[face]
    away = place - frames[:, 0]
    u, v = ((away * frames[:, k]).sum(1).astype(np.float32) for k in (1, 2))
    x, y, _, _ = shading.cell(table, u, v)
    return table, shading.inside(
        *(table[:, COLUMNS["shape"]], x, y), table[:, COLUMNS["width"]], table[:, COLUMNS["height"]]
    )


def _fixed(geometry: Geometry, place: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Whether points lie on a surface that looks the same from all sides: on stone, or on flat glass."""
    table, edge = _cells(geometry, place, face)
    flat = table[:, COLUMNS["depth"]] < 0.12
    kind = geometry.kind[face]
    plain = table[:, COLUMNS["shape"]] == 0
    ground = table[:, COLUMNS["part"]] == PART_ID["ground"]
    return ~ground & (kind != BLOB) & (plain | ((kind == PLANE) & (flat | (edge < -0.05))))


def _part(geometry: Geometry, place: np.ndarray, face: np.ndarray) -> np.ndarray:
    table, edge = _cells(geometry, place, face)
    opening = (table[:, COLUMNS["shape"]] > 0) & (edge > -table[:, COLUMNS["frame"]])
    return np.where(opening, table[:, COLUMNS["opening_part"]], table[:, COLUMNS["part"]]).astype(np.uint8)

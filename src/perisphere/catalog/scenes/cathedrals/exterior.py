"""The outside of a cathedral: a church of its style, with statues and side chapels."""

from dataclasses import replace

import numpy as np

from perisphere.catalog.scenes.cathedrals.figures import add_statue
from perisphere.catalog.scenes.cathedrals.spots import Spot, Vector
from perisphere.catalog.scenes.geometry import Geometry, Mesh
from perisphere.catalog.scenes.materials import COLUMNS, Openings
from perisphere.catalog.scenes.parts import PART_ID, PARTS
from perisphere.catalog.scenes.plan import Plan
from perisphere.catalog.scenes.styles import STYLES
from perisphere.catalog.scenes.styles.churches import bell_tower

_PART, _OPENING = COLUMNS["part"], COLUMNS["opening_part"]


def build(p: Plan, style: str) -> tuple[Geometry, list[Spot]]:
    """Draw the outside of a cathedral on a fresh plan; return its mesh and the places worth a photo."""
    STYLES["church", style](p)
    church = p.mesh.finished()
    if not (_parts(church) == PART_ID["tower"]).any():
        _campanile(p, church)
        church = p.mesh.finished()
    niches = _openings(church, "statue", 0.2)
    church = _told_apart(church, style)
    p.mesh = Mesh()
    spots = [*_portals(p), *_statues(p, niches)]
    chapels = _chapels(p, church)
    spots += [*chapels, *_windows(p, church, chapels), *_towers(church), *_wholes(church)]
    return church.joined(p.mesh.finished()), spots


def _parts(geometry: Geometry) -> np.ndarray:
    return geometry.surfaces[geometry.surface, _PART].astype(np.int64)


def _box(geometry: Geometry, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    corners = [geometry.corners[geometry.starts[k] : geometry.starts[k + 1]] for k in np.flatnonzero(faces)]
    stack = np.concatenate(corners)
    return stack.min(0), stack.max(0)


def _told_apart(church: Geometry, style: str) -> Geometry:
    """Name ledges and pinnacles after what carries them, and back walls and transepts as nave."""
    part = _parts(church)
    is_ = {name: part == PART_ID[name] for name in PARTS}
    if style == "romanesque":
        part[is_["drum"]] = PART_ID["tower"]  # the crossing tower
    part[is_["chapel"]] = PART_ID["nave"]  # the arms of the transept
    part[is_["facade"] & (church.frames[:, 3, 1] > 0.5)] = PART_ID["nave"]
    middle = np.add.reduceat(church.corners, church.starts[:-1]) / np.diff(church.starts)[:, None]
    low = np.minimum.reduceat(church.corners, church.starts[:-1])
    high = np.maximum.reduceat(church.corners, church.starts[:-1])
    carriers = [PART_ID[name] for name in ("tower", "facade", "nave", "buttress", "drum", "choir")]
    walls = np.flatnonzero(np.isin(part, carriers) & (np.abs(church.frames[:, 3, 2]) < 0.3) & ~church.decal)
    own = {"tower": "spire", "nave": "nave", "buttress": "buttress", "choir": "choir", "drum": "drum"}
    for face in np.flatnonzero(is_["cornice"] | is_["spire"] | is_["dome"]):
        gap = np.maximum(np.maximum(low[walls] - middle[face], middle[face] - high[walls]), 0)
        at = int(np.argmin(np.hypot(np.maximum(np.hypot(gap[:, 0], gap[:, 1]) - 0.5, 0) * 4, gap[:, 2])))
        carrier = PARTS[part[walls[at]]]
        if not (is_["dome"][face] and carrier != "tower"):
            part[face] = PART_ID[own.get(carrier, PARTS[part[face]])]
    # One row of the table for each pair of surface and part.
    pairs, surface = np.unique(np.stack([church.surface, part], 1), axis=0, return_inverse=True)
    surfaces = church.surfaces[pairs[:, 0]].copy()
    surfaces[:, _PART] = pairs[:, 1]
    surfaces[surfaces[:, _OPENING] == PART_ID["statue"], _OPENING] = PART_ID["facade"]  # an empty niche
    return replace(church, surface=surface.ravel().astype(np.int64), surfaces=surfaces)


def _campanile(p: Plan, church: Geometry) -> None:
    """A bell tower that stands by itself, beside a church that has none."""
    low, high = church.bounds
    side, wide = (1 if p.chance(0.5) else -1), p.between(4.6, 6.0)
    x = sorted(side * (high[0] + away) for away in (2.5, 2.5 + wide))
    tall = (high[2] - low[2]) * p.between(0.95, 1.2)
    bell_tower(p, (x[0], x[1]), (2.0, 2.0 + wide), (0, tall), p.between(3, 6), pointed=False)


def _openings(church: Geometry, part: str, least: float) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Middle, outward normal and height of the openings of a part that are at least so wide."""
    found = []
    for face in np.flatnonzero(church.kind == 0):
        row = church.surfaces[church.surface[face]]
        shape, width, height = (float(row[COLUMNS[name]]) for name in ("shape", "width", "height"))
        if not shape or int(row[_OPENING]) != PART_ID[part] or width < least:
            continue
        origin, tangent, bitangent, normal = church.frames[face]
        left, pitch, sill = (float(row[COLUMNS[name]]) for name in ("left", "pitch", "sill"))
        for column in range(int(row[COLUMNS["columns"]])):
            u, v = left + (column + 0.5) * pitch, sill + height / 2
            found.append((origin + u * tangent + v * bitangent, normal, height))
    return found


def _vector(place: np.ndarray) -> Vector:
    return float(place[0]), float(place[1]), float(place[2])


def _portals(p: Plan) -> list[Spot]:
    found = [(place, span) for part, place, span in p.details if part == "portal"]
    found.sort(key=lambda one: (abs(one[0][0]), one[0][0]))
    names = ("main portal", "north portal", "south portal")
    return [
        Spot("portal", name, (x, y, span * 0.34), span * 0.85, azimuth=(-90, 30))
        for name, ((x, y, _), span) in zip(names, found, strict=False)
    ]


def _statues(p: Plan, niches: list[tuple[np.ndarray, np.ndarray, float]]) -> list[Spot]:
    """Figures beside the main portal, and one in each niche of the gallery."""
    spots = []
    door = min((place for part, place, _ in p.details if part == "portal"), key=lambda place: abs(place[0]))
    span = max(span for part, place, span in p.details if part == "portal" and place == door)
    x, y = door[0], door[1]
    high = p.between(2.0, 2.6)
    for number, side in enumerate((-1, 1), 1):
        place = (x + side * (span * 0.34 + 1.1), y - 0.9)
        add_statue(p, *place, 0.0, high, plinth=p.between(1.1, 1.7))
        target = (*place, 1.3 + high / 2)
        spots.append(
            Spot("statue", f"portal statue {number}", target, high * 1.7, azimuth=(-90, 32), eye=0.8)
        )
    for middle, normal, height in niches:
        at = middle + 0.22 * normal
        add_statue(p, float(at[0]), float(at[1]), float(at[2] - height / 2), height * 0.84)
    if niches:
        middle, _, height = niches[len(niches) // 2]
        spots.append(Spot("statue", "gallery", _vector(middle), height * 1.9, azimuth=(-90, 28), eye=1.0))
    return spots


def _chapels(p: Plan, church: Geometry) -> list[Spot]:
    """Small chapels with their own roofs against the aisles."""
    low, high = _box(church, _parts(church) == PART_ID["nave"])
    spots = []
    sides = ((1, 0.45), (-1, 0.6)) if p.chance(0.6) else ((1, 0.5),)
    for number, (side, share) in enumerate(sides, 1):
        wall = high[0] if side > 0 else -low[0]
        y, tall, wide, out = (
            low[1] + share * (high[1] - low[1]),
            p.between(4.6, 6.2),
            p.between(2.8, 3.6),
            3.6,
        )
        holes = Openings.row(
            2 * wide, 2, 1.0, tall * 0.5, tall * 0.28, shape="pointed", fill="stained", depth=0.4, frame=0.18
        )
        x = sorted((side * (wall - 1.5), side * (wall + out)))
        tone = p.wall("chapel", 1.1, holes)
        p.mesh.box((x[0], x[1]), (y - wide, y + wide), (0, tall), tone)
        ridge = tall + wide * p.between(0.8, 1.3)
        p.mesh.gable_roof(
            (x[0], x[1]),
            (y - wide, y + wide),
            (tall, ridge),
            p.roof("chapel", 1.1),
            p.wall("chapel", 1.1),
            along="x",
        )
        end = (side * (wall + out), y)
        turn = (-np.pi / 2, np.pi / 2) if side > 0 else (np.pi / 2, 3 * np.pi / 2)
        apse = Openings.row(
            2 * np.pi * 1.9, 8, 0.7, tall * 0.4, tall * 0.25, shape="round", fill="stained", depth=0.3
        )
        p.mesh.cylinder(end, (0, tall * 0.8), 1.9, p.wall("chapel", 1.1, apse), sides=8, turn=turn)
        p.mesh.cylinder(
            end, (tall * 0.8, tall * 1.2), 2.2, p.roof("chapel", 1.1), top_radius=0, sides=8, turn=turn
        )
        target = (side * (wall + out * 0.6), y, ridge * 0.5)
        around = (0.0, 38.0) if side > 0 else (180.0, 38.0)
        spots.append(Spot("chapel", f"outer chapel {number}", target, ridge * 1.5, azimuth=around, eye=0.6))
    return spots


def _windows(p: Plan, church: Geometry, chapels: list[Spot]) -> list[Spot]:
    spots = []
    for _, place, span in (d for d in p.details if d[0] == "rose"):
        spots.append(Spot("window", "rose from outside", place, span, azimuth=(-90, 22), eye=0.5))
    sides = [one for one in _openings(church, "window", 0.8) if one[1][0] < -0.9]
    sides.sort(key=lambda one: -one[2])
    hidden = [spot.target[1] for spot in chapels if spot.target[0] < 0]
    order = sides[len(sides) // 3 :] + sides[: len(sides) // 3]
    free = [one for one in order if all(abs(float(one[0][1]) - y) > 4.4 for y in hidden)]
    for middle, _, height in (free or order)[:1]:
        spots.append(Spot("window", "side window", _vector(middle), height * 1.6, azimuth=(180, 18), eye=0.9))
    fronts = [one for one in _openings(church, "window", 1.4) if one[1][1] < -0.9 and one[0][1] < 2]
    if fronts and not any(spot.name.startswith("rose") for spot in spots):
        middle, _, height = fronts[0]
        spots.append(
            Spot("window", "front window", _vector(middle), height * 1.7, azimuth=(-90, 24), eye=0.6)
        )
    return spots


def _towers(church: Geometry) -> list[Spot]:
    """A spot for each tower with its spire: boxes of their faces that touch are one tower."""
    low = np.minimum.reduceat(church.corners, church.starts[:-1])
    high = np.maximum.reduceat(church.corners, church.starts[:-1])
    tall = high[:, 2] - low[:, 2] > 1.2  # no ledges, which may run from a tower along the front
    faces = tall & np.isin(_parts(church), (PART_ID["tower"], PART_ID["spire"]))
    spots = []
    for number, (a, b) in enumerate(_clusters(low[faces], high[faces]), 1):
        wide, rise = float((b - a)[:2].max()), float(b[2] - a[2])
        span = min(max(wide * 2.2, 0.6 * rise), rise * 1.1)
        target = (float(a[0] + b[0]) / 2, float(a[1]), float(b[2]) - span * 0.46)
        # A tower farther back is hidden by the front: go to its side.
        azimuth, eye = ((-90.0, 40.0), 0.35) if a[1] < 5 else ((-20.0, 35.0), 1.1)
        spots.append(Spot("tower", f"tower {number}", target, span * 1.12, azimuth=azimuth, eye=eye))
    return spots


def _clusters(low: np.ndarray, high: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Join boxes whose ground plans touch; those that are at least 5 m tall."""
    boxes: list[tuple[np.ndarray, np.ndarray]] = []
    for a, b in zip(low, high, strict=True):
        apart = []
        for other in boxes:
            if (other[0][:2] < b[:2] + 0.3).all() and (a[:2] < other[1][:2] + 0.3).all():
                a, b = np.minimum(a, other[0]), np.maximum(b, other[1])
            else:
                apart.append(other)
        boxes = [*apart, (a, b)]
    return [box for box in boxes if box[1][2] - box[0][2] > 5]


def _wholes(church: Geometry) -> list[Spot]:
    """The facade, the choir from behind, and the whole building."""
    part = _parts(church)
    front = (
        (part == PART_ID["facade"])
        & (church.frames[:, 3, 1] < -0.5)
        & (church.corners[church.starts[:-1], 1] < 3)
    )
    low, high = _box(church, front)
    span = max(high[0] - low[0], high[2] - low[2])
    spots = [
        Spot("facade", "facade", (0.0, 0.0, high[2] * 0.5), span * 1.12, azimuth=(-90, 30), eye=0.5),
        Spot("facade", "lower facade", (0.0, 0.0, high[2] * 0.3), high[2] * 0.72, azimuth=(-90, 24), eye=0.6),
    ]
    low, high = _box(church, part == PART_ID["choir"])
    target = (0.0, float(high[1]), float(high[2]) * 0.5)
    spots.append(
        Spot("choir", "choir from outside", target, float(high[2]) * 1.35, azimuth=(90, 45), eye=0.6)
    )
    low, high = church.bounds
    whole = (0.0, float(low[1] + high[1]) * 0.35, float(high[2]) * 0.47)
    spots.append(Spot("", "general view", whole, float(high[2]) * 1.35, azimuth=(-90, 75), eye=0.7))
    return spots

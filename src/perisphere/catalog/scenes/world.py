"""The world of one seed: landmarks, each with a name, a place in the taxonomy, a mesh and surface points."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from perisphere.catalog.scenes import render as shading
from perisphere.catalog.scenes.camera import Camera
from perisphere.catalog.scenes.geometry import PLANE, Geometry
from perisphere.catalog.scenes.materials import COLUMNS
from perisphere.catalog.scenes.plan import Plan
from perisphere.catalog.scenes.raster import see
from perisphere.catalog.scenes.styles import STYLES

POINTS = 64
_PLACES, _PHOTOS, _NAMES, _DEVICES, _BOXES, _TAGS, _CATHEDRALS = range(
    7
)  # the first number of a random stream's key
_NOUNS = {
    "gothic": ("Cathedral", "Minster"),
    "romanesque": ("Abbey", "Priory"),
    "baroque": ("Basilica", "Pilgrimage Church"),
    "doric": ("Temple", "Sanctuary"),
    "corinthian": ("Forum Temple", "Maison"),
    "pagoda": ("Pagoda", "Stupa"),
    "ottoman": ("Mosque", "Sultan Mosque"),
    "persian": ("Friday Mosque", "Madrasa"),
    "keep": ("Keep", "Hold"),
    "castle": ("Castle", "Citadel"),
    "renaissance": ("Palazzo", "Town Hall"),
    "neoclassical": ("Palace", "Museum"),
    "campanile": ("Campanile", "Bell Tower"),
    "lighthouse": ("Lighthouse", "Beacon"),
    "arched": ("Bridge", "Crossing"),
}
_HEADS = [
    "Al",
    "Bel",
    "Cor",
    "Dun",
    "El",
    "Fal",
    "Gran",
    "Hol",
    "Is",
    "Kar",
    "Lor",
    "Mar",
    "Nor",
    "Or",
    "Pel",
    "Ros",
    "Sel",
    "Tor",
    "Ul",
    "Ver",
]
_TAILS = [
    "amar",
    "bridge",
    "crest",
    "dale",
    "enza",
    "ford",
    "gard",
    "haven",
    "ilion",
    "karra",
    "lund",
    "mere",
    "nova",
    "oria",
    "pont",
    "rath",
    "stein",
    "tava",
    "vale",
    "wick",
]


@dataclass(frozen=True)
class Keypoints:
    """Points on a landmark's surface, the same in all its photos.

    Attributes:
        position: float64 ``[n, 3]``, metres.
        normal: float64 ``[n, 3]``.
        part: uint8 ``[n]``, position in PARTS.
    """

    position: np.ndarray
    normal: np.ndarray
    part: np.ndarray


@dataclass(frozen=True)
class Landmark:
    """A building that can be photographed.

    Attributes:
        number: from 0, in the order of the collection.
        name: such as ``"Belmere Cathedral"``.
        family: root of the taxonomy, such as ``"church"``.
        style: below it, such as ``"gothic"``.
        stone: what its walls are made of.
        geometry: its mesh in metres, its front towards negative y.
        details: places worth a close-up: part, middle, height of a picture there.
        keypoints: its surface points.
    """

    number: int
    name: str
    family: str
    style: str
    stone: str
    geometry: Geometry
    details: tuple[tuple[str, tuple[float, float, float], float], ...]
    keypoints: Keypoints

    @property
    def slug(self) -> str:
        """The name as a folder: ``"belmere-cathedral"``."""
        return self.name.lower().replace(" ", "-")

    @property
    def categories(self) -> tuple[str, str, str]:
        """Family, style and landmark: the path in the taxonomy, root first."""
        return self.family, self.style, self.slug

    @property
    def middle(self) -> np.ndarray:
        """Middle of its bounding box, float64 ``[3]``."""
        low, high = self.geometry.bounds
        return (low + high) / 2

    @property
    def reach(self) -> float:
        """Half the diagonal of its ground plan, metres."""
        low, high = self.geometry.bounds
        return float(np.hypot(*(high - low)[:2]) / 2)


def stream(seed: int, *key: int) -> np.random.Generator:
    """The dice for one thing (a landmark, a photo): independent of every other and of who asks first."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def photo_stream(seed: int, landmark: int, photo: int) -> np.random.Generator:
    """The dice of one photo."""
    return stream(seed, _PHOTOS, landmark, photo)


def device_stream(seed: int, *key: int) -> np.random.Generator:
    """The dice of one fixed camera, or of what happens in front of it."""
    return stream(seed, _DEVICES, *key)


def box_stream(seed: int, landmark: int, photo: int) -> np.random.Generator:
    """The dice of whoever draws a box in a photo."""
    return stream(seed, _BOXES, landmark, photo)


def tag_stream(seed: int, *key: int) -> np.random.Generator:
    """The dice of a user (one number) or of one who tags a photo (landmark and photo)."""
    return stream(seed, _TAGS, *key)


def cathedral_stream(seed: int, *key: int) -> np.random.Generator:
    """The dice of a cathedral (one number), or of one of its photos (its number and the photo's)."""
    return stream(seed, _CATHEDRALS, *key)


@lru_cache(maxsize=4)
def landmark(seed: int, number: int, spread: float = 1.0) -> Landmark:
    """Build landmark ``number`` of the world ``seed``; styles take turns.

    Args:
        seed: of the world.
        number: from 0.
        spread: how far landmarks of one style differ, 0 (not at all) to 1.
    """
    styles = list(STYLES)
    family, style = styles[number % len(styles)]
    rng = stream(seed, _PLACES, number)
    plan = Plan(rng=rng, spread=spread)
    STYLES[family, style](plan)
    geometry = plan.mesh.finished()
    return Landmark(
        number=number,
        name=_name(seed, number, style),
        family=family,
        style=style,
        stone=plan.stone_name,
        geometry=geometry,
        details=tuple(plan.details),
        keypoints=_keypoints(geometry, rng),
    )


def _name(seed: int, number: int, style: str) -> str:
    """A name that no other landmark of this world has."""
    pick, again = _pick(seed, number)
    noun = _NOUNS[style][(pick + number) % 2]
    return f"{_place(pick)} {noun}" + (f" {again + 1}" if again else "")


def place_name(seed: int, number: int) -> str:
    """Name of the place of landmark ``number``, which no other of this world has."""
    pick, again = _pick(seed, number)
    return _place(pick) + (f" {again + 1}" if again else "")


def _pick(seed: int, number: int) -> tuple[int, int]:
    """Which of the names, and how often it was given before."""
    pairs = len(_HEADS) * len(_TAILS)
    return int(stream(seed, _NAMES).permutation(pairs)[number % pairs]), number // pairs


def _place(pick: int) -> str:
    return _HEADS[pick // len(_TAILS)] + _TAILS[pick % len(_TAILS)]


def _keypoints(geometry: Geometry, rng: np.random.Generator) -> Keypoints:
    """Spread points over the faces, keeping those that can be seen from outside and lie in no opening."""
    position, face = _candidates(geometry, rng, 12 * POINTS)
    normal = geometry.frames[face, 3]
    solid = _solid(geometry, position, face)
    seen = np.zeros(len(face), np.int64)
    low, high = geometry.bounds
    middle, reach = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    for azimuth in np.radians((-150, -110, -70, -30, 60, 120)):
        place = middle + 2.6 * reach * np.array([np.cos(azimuth), np.sin(azimuth), 0.12])
        camera = Camera.looking(place, middle, focal=1.2, size=192)
        inverse, _ = see(geometry, camera, 192)
        seen += visible(position, normal, camera, inverse)
    order = np.flatnonzero(solid & (seen > 0))[:POINTS]
    part = geometry.surfaces[geometry.surface[face[order]], COLUMNS["part"]].astype(np.uint8)
    return Keypoints(position[order], normal[order], part)


def _candidates(geometry: Geometry, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random points on the triangles of faces of at most four corners, by area; with their face numbers."""
    counts = np.diff(geometry.starts)
    triangles, owner = [], []
    for face in np.flatnonzero(counts <= 4):
        corners = geometry.corners[geometry.starts[face] : geometry.starts[face + 1]]
        for k in range(1, len(corners) - 1):
            triangles.append((corners[0], corners[k], corners[k + 1]))
            owner.append(face)
    stack = np.array(triangles)
    edges = stack[:, 1] - stack[:, 0], stack[:, 2] - stack[:, 0]
    area = np.linalg.norm(np.cross(*edges), axis=1) ** 0.75  # small parts deserve points too
    chosen = rng.choice(len(stack), count, p=area / area.sum())
    a, b = rng.random((2, count, 1))
    fold = a + b > 1
    a, b = np.where(fold, 1 - a, a), np.where(fold, 1 - b, b)
    position = stack[chosen, 0] + a * edges[0][chosen] + b * edges[1][chosen]
    return position, np.array(owner)[chosen]


def _solid(geometry: Geometry, position: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Whether points lie on the stone, clear of windows and doors (round faces must have none)."""
    table = geometry.surfaces[geometry.surface[face]]
    frames = geometry.frames[face]
    away = position - frames[:, 0]
    u, v = ((away * frames[:, k]).sum(1).astype(np.float32) for k in (1, 2))
    x, y, _, _ = shading.cell(table, u, v)
    shape, width, height, frame = (table[:, COLUMNS[name]] for name in ("shape", "width", "height", "frame"))
    clear = shading.inside(shape, x, y, width, height) < -frame - 0.1
    return (shape == 0) | (clear & (geometry.kind[face] == PLANE))


def visible(position: np.ndarray, normal: np.ndarray, camera: Camera, inverse: np.ndarray) -> np.ndarray:
    """Which surface points a picture shows: inside it, turned to the camera, and with nothing in front.

    Args:
        position: float64 ``[n, 3]``.
        normal: float64 ``[n, 3]``.
        camera: of the picture.
        inverse: float32 ``[r, r]``, inverse depth from :func:`perisphere.catalog.scenes.raster.see`.
    """
    size = len(inverse)
    x, y, depth = camera.project(position).T
    within = (depth > 0.5) & (x >= 0) & (y >= 0) & (x < camera.size) & (y < camera.size)
    i, j = (np.clip(a / camera.size * size, 0, size - 1).astype(np.int64) for a in (x, y))
    towards = camera.position - position
    facing = (towards * normal).sum(1) / np.maximum(np.sqrt((towards * towards).sum(1)), 1e-9)
    nearest = 1 / np.maximum(inverse[j, i], 1e-6)
    return within & (facing > 0.12) & (np.abs(nearest - depth) < 0.05 + 0.006 * depth)

"""Taking a photo of one subject of a cathedral, outside among houses and trees or inside."""

from dataclasses import dataclass

import numpy as np

from perisphere.catalog.scenes.camera import Camera
from perisphere.catalog.scenes.cathedrals.cathedral import Cathedral, cathedral
from perisphere.catalog.scenes.cathedrals.concepts import concept_mask
from perisphere.catalog.scenes.cathedrals.spots import Spot, stand_at
from perisphere.catalog.scenes.geometry import Geometry, Mesh
from perisphere.catalog.scenes.light import Light, draw_light
from perisphere.catalog.scenes.photo import DIFFICULTIES, SUPERSAMPLE, Difficulty, Photo, choose
from perisphere.catalog.scenes.render import Rendering, render
from perisphere.catalog.scenes.sensor import Sensor
from perisphere.catalog.scenes.surroundings import add_person, draw_surroundings
from perisphere.catalog.scenes.world import cathedral_stream, visible
from perisphere.tags.architecture import CONCEPTS

GENERAL = 0.08
"""Share of photos with no subject."""
LEAST = 0.05
"""Share of the picture that its subject covers; a visitor tries :data:`TRIES` times."""
TRIES = 4


@dataclass(frozen=True, kw_only=True)
class CathedralPhoto(Photo):
    """A photo of one subject of a cathedral.

    Attributes:
        spot: the subject.
        mask: uint8 ``[s, s]``, see :func:`perisphere.catalog.scenes.cathedrals.concepts.concept_mask`.
    """

    spot: Spot
    mask: np.ndarray

    def concepts(self, least: float = 0.02) -> dict[str, float]:
        """Share of the picture of each concept that covers at least ``least``, largest first."""
        counts = np.bincount(self.mask.ravel(), minlength=256)[1 : 1 + len(CONCEPTS)] / self.mask.size
        order = np.argsort(-counts, kind="stable")
        return {CONCEPTS[k]: float(counts[k]) for k in order if counts[k] >= least}


def take_cathedral_photo(
    seed: int, of: int, number: int, *, size: int = 128, difficulty: str | Difficulty = "normal"
) -> CathedralPhoto:
    """Take photo ``number`` of cathedral ``of``; the same arguments give the same pixels.

    Args:
        seed: of the world.
        of: number of the cathedral.
        number: of the photo.
        size: pixels across.
        difficulty: a key of :data:`perisphere.catalog.scenes.photo.DIFFICULTIES`, or one of another kind.
    """
    level = DIFFICULTIES[difficulty] if isinstance(difficulty, str) else difficulty
    shown = cathedral(seed, of, level.spread)
    rng = cathedral_stream(seed, of, number)
    spot = _subject(rng, shown, number)
    camera, lit = stand_at(spot, rng, size, level.loose), choose(rng, level.lights)
    for tries in range(TRIES):
        if tries:  # somebody stood in the way
            camera = stand_at(spot, rng, size, level.loose)
        world, shadows, light = (_enter if spot.inside else _stand_before)(rng, shown, camera, lit, level)
        picture = render(world, shadows, camera, light, size * SUPERSAMPLE)
        mask = concept_mask(picture.parts, inside=spot.inside, shrink=SUPERSAMPLE)
        if not spot.concept or (mask == CONCEPTS.index(spot.concept) + 1).mean() >= LEAST:
            break
    sensor = Sensor.drawn(rng, colour=level.colour, blur=level.blur, noise=level.noise)
    pixels = sensor.develop(picture, rng, light.name, SUPERSAMPLE)
    seen, places = _show(shown, spot, camera, picture)
    return CathedralPhoto(
        pixels=pixels,
        parts=np.ascontiguousarray(picture.parts[1::SUPERSAMPLE, 1::SUPERSAMPLE]),
        keypoints=seen,
        places=places,
        landmark=shown.landmark,
        number=number,
        view="inside" if spot.inside else "outside",
        light=lit,
        camera=camera,
        caption="",
        tags=(),
        quality=int(rng.integers(level.quality[0], level.quality[1] + 1)),
        spot=spot,
        mask=mask,
    )


def _subject(rng: np.random.Generator, shown: Cathedral, number: int) -> Spot:
    """Concepts take turns, so that each is as common; its spots are drawn."""
    general = rng.random() < GENERAL
    concept = "" if general else CONCEPTS[number % len(CONCEPTS)]
    spots = [spot for spot in shown.spots if spot.concept == concept]
    if not spots:  # such as a church without towers
        spots = [spot for spot in shown.spots if spot.concept == ""]
    return spots[int(rng.integers(len(spots)))]


def _stand_before(
    rng: np.random.Generator, shown: Cathedral, camera: Camera, lit: str, level: Difficulty
) -> tuple[Geometry, Geometry, Light]:
    """The world, what throws shadows, and the light outside."""
    light = draw_light(rng, lit)
    around = draw_surroundings(
        rng, shown.landmark, camera.position, crowd=level.crowd * 0.6, clutter=level.clutter * 0.5
    )
    geometry = shown.landmark.geometry
    world = geometry.joined(around.geometry(-camera.axes[2]))
    return world, geometry.joined(around.geometry(light.towards)), light


def _enter(
    rng: np.random.Generator, shown: Cathedral, camera: Camera, lit: str, level: Difficulty
) -> tuple[Geometry, Geometry, Light]:
    """The same inside: visitors, the sun through the windows, lamps."""
    light = _indoors(rng, shown, draw_light(rng, lit))
    people = Mesh()
    for _ in range(int(rng.poisson(level.crowd * 0.5))):
        spot = np.array([rng.uniform(-0.9, 0.9) * shown.hall.half, rng.uniform(2, shown.hall.nave - 2)])
        if np.linalg.norm(spot - camera.position[:2]) > 4.5:
            add_person(people, rng, spot, camera.position)
    world = shown.inside.joined(people.finished())
    return world, shown.shell.joined(world), light


_DAY = {"noon": 1.0, "afternoon": 1.0, "morning": 0.85, "overcast": 0.8, "dusk": 0.35, "night": 0.02}


def _indoors(rng: np.random.Generator, shown: Cathedral, sky: Light) -> Light:
    """What is left of the day inside: glass that shines, faint light from everywhere, and warm lamps."""
    day = _DAY[sky.name] * rng.uniform(0.8, 1.2)
    lamps = rng.uniform(0.5, 1.3) if day < 0.5 or rng.random() < 0.6 else 0.12
    warm = np.array((1.0, 0.74, 0.44)) * lamps
    cool = np.array((0.40, 0.42, 0.46)) * day + np.array((0.16, 0.12, 0.08)) * lamps
    places, strength = shown.lamps[:, :3], shown.lamps[:, 3:]
    reach = np.full((len(places), 1), 4.5)
    hung = np.hstack([places, strength * warm, reach])
    # The brightness of the windows as a soft light from above on both sides of the nave.
    y = np.linspace(0.15, 0.95, 3) * shown.hall.end
    side = rng.uniform(0.3, 1.0, 2) * day
    panes = [
        (s * shown.hall.half * 0.8, k, shown.hall.height * 0.75, *(np.array((0.9, 0.92, 1.0)) * b), 9.0)
        for k in y
        for s, b in ((-1, side[0]), (1, side[1]))
    ]
    glow = np.array(sky.sun) * 0.55 + np.array(sky.zenith) * 0.9
    r, g, b = (float(v) for v in cool)
    shine = [float(max(v, 0.004)) for v in glow * 1.6 * min(day + 0.02, 1.0)]
    return Light(
        name="dusk" if sky.name == "night" else sky.name,
        towards=sky.towards,
        sun=tuple(float(v) * 0.8 for v in sky.sun),  # type: ignore[arg-type]
        zenith=(r * 0.55, g * 0.55, b * 0.55),
        horizon=(r * 0.4, g * 0.4, b * 0.4),
        bounce=(r * 0.55, g * 0.5, b * 0.44),
        clouds=0.0,
        cloud=(0.1, 0.1, 0.1),
        haze=float(rng.uniform(0.001, 0.006)),
        panes=(shine[0], shine[1], shine[2]),
        lamps=np.concatenate([hung, np.array(panes)]).astype(np.float32),
    )


def _show(shown: Cathedral, spot: Spot, camera: Camera, picture: Rendering) -> tuple[np.ndarray, np.ndarray]:
    """The cathedral's surface points in this picture: numbers and places."""
    points, first = shown.landmark.keypoints, shown.first_inside
    inverse = np.where(np.isfinite(picture.depth), 1 / picture.depth, 0)
    seen = visible(points.position, points.normal, camera, inverse)
    here = np.arange(len(seen)) >= first
    seen = np.flatnonzero(seen & (here if spot.inside else ~here))
    places = camera.project(points.position[seen])[:, :2].astype(np.float32)
    i, j = np.minimum(places * SUPERSAMPLE, len(inverse) - 1).astype(np.int64).T
    right = picture.parts[j, i] == points.part[seen]
    return seen[right], places[right]

"""Taking a photo: choose a view, a light and a crowd; render; then the lens, the sensor and the JPEG."""

import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from perisphere.catalog.scenes.camera import Camera, place_camera
from perisphere.catalog.scenes.captions import caption
from perisphere.catalog.scenes.device import Device
from perisphere.catalog.scenes.light import Light, draw_light
from perisphere.catalog.scenes.parts import PARTS
from perisphere.catalog.scenes.render import Rendering, render
from perisphere.catalog.scenes.sensor import Sensor
from perisphere.catalog.scenes.surroundings import draw_surroundings
from perisphere.catalog.scenes.tags import tags
from perisphere.catalog.scenes.world import Landmark, landmark, photo_stream, visible

SUPERSAMPLE = 2


@dataclass(frozen=True)
class Difficulty:
    """How far apart landmarks lie and how unlike the photos of one are.

    Attributes:
        spread: of the proportions and tints within a style, 0 to 1.
        views: chance of each of VIEWS.
        lights: chance of each light.
        crowd: mean number of people.
        clutter: 0 to 1, trees in the line of sight.
        loose: 0 to 1, careless framing and tilt.
        noise: standard deviation of the sensor's noise, of 1.
        blur: largest standard deviation of the lens blur, in thousandths of the picture's width.
        colour: how much white balance and exposure wander.
        quality: lowest and highest JPEG quality.
        arc: from the first fixed camera's side to the last one's, degrees.
    """

    spread: float
    views: dict[str, float]
    lights: dict[str, float]
    crowd: float
    clutter: float
    loose: float
    noise: float
    blur: float
    colour: float
    quality: tuple[int, int]
    arc: float


DIFFICULTIES = {
    "easy": Difficulty(
        spread=1.0,
        views={"front": 0.8, "left": 0.1, "right": 0.1},
        lights={"noon": 0.6, "afternoon": 0.4},
        crowd=1,
        clutter=0.0,
        loose=0.0,
        noise=0.006,
        blur=1.5,
        colour=0.01,
        quality=(88, 95),
        arc=100,
    ),
    "normal": Difficulty(
        spread=0.85,
        views={
            "front": 0.28,
            "left": 0.18,
            "right": 0.18,
            "back": 0.05,
            "close": 0.13,
            "far": 0.1,
            "above": 0.08,
        },
        lights={
            "noon": 0.23,
            "afternoon": 0.25,
            "morning": 0.15,
            "overcast": 0.17,
            "dusk": 0.12,
            "night": 0.08,
        },
        crowd=5,
        clutter=0.22,
        loose=0.5,
        noise=0.011,
        blur=4,
        colour=0.07,
        quality=(72, 94),
        arc=190,
    ),
    "hard": Difficulty(
        spread=0.45,
        views={
            "front": 0.18,
            "left": 0.17,
            "right": 0.17,
            "back": 0.12,
            "close": 0.16,
            "far": 0.1,
            "above": 0.1,
        },
        lights={
            "noon": 0.15,
            "afternoon": 0.18,
            "morning": 0.15,
            "overcast": 0.18,
            "dusk": 0.18,
            "night": 0.16,
        },
        crowd=9,
        clutter=0.45,
        loose=1.0,
        noise=0.022,
        blur=7,
        colour=0.13,
        quality=(45, 90),
        arc=280,
    ),
}


@dataclass(frozen=True)
class Photo:
    """A photo and everything that is true of it.

    Attributes:
        pixels: uint8 ``[s, s, 3]``, RGB, before JPEG compression.
        parts: uint8 ``[s, s]``, position in PARTS.
        keypoints: int64 ``[n]``, numbers of the landmark's surface points that the photo shows.
        places: float32 ``[n, 2]``, their x and y in pixels; the image spans ``[0, s]``.
        landmark: what it shows.
        number: from 0, within the landmark.
        view: one of VIEWS.
        light: one of LIGHTS.
        camera: where it was taken from.
        caption: a sentence.
        tags: what users might call it, with their errors.
        quality: of the JPEG, 1 to 100.
        device: the fixed camera that took it; None: a visitor.
    """

    pixels: np.ndarray
    parts: np.ndarray
    keypoints: np.ndarray
    places: np.ndarray
    landmark: Landmark
    number: int
    view: str
    light: str
    camera: Camera
    caption: str
    tags: tuple[str, ...]
    quality: int
    device: Device | None = None

    def jpeg(self) -> bytes:
        """The photo as a JPEG file."""
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, "JPEG", quality=self.quality)
        return file.getvalue()

    def visible_parts(self, least: float = 0.01) -> list[str]:
        """Names of the parts that cover at least this share of the picture, largest first."""
        counts = np.bincount(self.parts.ravel(), minlength=len(PARTS)) / self.parts.size
        return [PARTS[k] for k in np.argsort(-counts, kind="stable") if counts[k] >= least]


@dataclass(frozen=True)
class _Shot:
    """What is decided before a photo is rendered."""

    view: str
    light: Light
    camera: Camera


def take_photo(
    seed: int,
    of: int,
    number: int,
    *,
    size: int = 128,
    difficulty: str | Difficulty = "normal",
    device: Device | None = None,
) -> Photo:
    """Take photo ``number`` of landmark ``of`` of a world; the same arguments give the same pixels.

    Args:
        seed: of the world.
        of: number of the landmark.
        number: of the photo.
        size: pixels across.
        difficulty: a key of :data:`DIFFICULTIES`, or one of another kind.
        device: the fixed camera that takes it; None: a visitor, who stands anywhere.
    """
    level = DIFFICULTIES[difficulty] if isinstance(difficulty, str) else difficulty
    shown = landmark(seed, of, level.spread)
    rng = photo_stream(seed, of, number)
    shot = _visit(rng, shown, level, size) if device is None else _pass_by(rng, shown, device, size)
    around = draw_surroundings(rng, shown, shot.camera.position, crowd=level.crowd, clutter=level.clutter)
    world = shown.geometry.joined(around.geometry(-shot.camera.axes[2]))
    shadows = shown.geometry.joined(around.geometry(shot.light.towards))
    picture = render(world, shadows, shot.camera, shot.light, size * SUPERSAMPLE)
    if device is None:
        sensor = Sensor.drawn(rng, colour=level.colour, blur=level.blur, noise=level.noise)
    else:
        sensor = device.set_sensor(rng)
    lit = shot.light.name
    pixels = sensor.develop(picture, rng, lit, SUPERSAMPLE)
    parts = np.ascontiguousarray(picture.parts[1::SUPERSAMPLE, 1::SUPERSAMPLE])
    seen, places = _show(shown, shot.camera, picture)
    quality = int(rng.integers(level.quality[0], level.quality[1] + 1)) if device is None else device.quality
    photo = Photo(
        pixels, parts, seen, places, shown, number, shot.view, lit, shot.camera, "", (), quality, device
    )
    return replace(photo, caption=caption(photo, rng), tags=tags(photo, rng))


def _visit(rng: np.random.Generator, shown: Landmark, level: Difficulty, size: int) -> _Shot:
    """A visitor chooses a view and an hour."""
    view, lit = choose(rng, level.views), choose(rng, level.lights)
    detail = None
    if shown.details:
        _, middle, high = shown.details[int(rng.integers(len(shown.details)))]
        detail = (middle, high)
    camera = place_camera(rng, view, shown.geometry.bounds, detail, size, level.loose)
    return _Shot(view, draw_light(rng, lit), camera)


def _pass_by(rng: np.random.Generator, shown: Landmark, device: Device, size: int) -> _Shot:
    """A fixed camera records whatever comes by."""
    light = device.light(device.sequence(shown.number))
    return _Shot(device.view, light, device.stand(rng, shown.geometry.bounds, size))


def choose(rng: np.random.Generator, chances: dict[str, float]) -> str:
    """Draw a name by its weight."""
    weights = np.array(list(chances.values()))
    return list(chances)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _show(shown: Landmark, camera: Camera, picture: Rendering) -> tuple[np.ndarray, np.ndarray]:
    """The landmark's points in this picture: numbers and places."""
    points = shown.keypoints
    inverse = np.where(np.isfinite(picture.depth), 1 / picture.depth, 0)
    seen = np.flatnonzero(visible(points.position, points.normal, camera, inverse))
    places = camera.project(points.position[seen])[:, :2].astype(np.float32)
    i, j = (np.minimum(places * SUPERSAMPLE, len(inverse) - 1)).astype(np.int64).T
    right = picture.parts[j, i] == points.part[seen]
    return seen[right], places[right]

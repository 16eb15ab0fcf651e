import numpy as np
import pytest

from perisphere.catalog.scenes import DIFFICULTIES, PARTS, landmark, take_photo
from perisphere.catalog.scenes.camera import VIEWS, Camera, place_camera
from perisphere.catalog.scenes.geometry import Mesh
from perisphere.catalog.scenes.light import LIGHTS, draw_light
from perisphere.catalog.scenes.materials import Material, Openings, Surface
from perisphere.catalog.scenes.parts import PART_ID, SURROUNDINGS
from perisphere.catalog.scenes.raster import see
from perisphere.catalog.scenes.render import render
from perisphere.catalog.scenes.styles import STYLES
from perisphere.catalog.scenes.world import photo_stream

STONE = Surface("wall", Material((0.5, 0.5, 0.5)))
SPREAD = DIFFICULTIES["normal"].spread


@pytest.fixture(scope="module")
def photos() -> list:
    return [take_photo(1, of, number, size=64) for of in range(len(STYLES)) for number in range(2)]


def test_the_depth_of_a_wall_is_its_distance() -> None:
    mesh = Mesh()
    mesh.box((-1, 1), (0, 2), (0, 2), STONE)
    camera = Camera.looking(np.array([0.0, -5.0, 1.0]), np.array([0.0, 0.0, 1.0]), focal=1.0, size=64)
    inverse, faces = see(mesh.finished(), camera, 64)
    assert inverse[32, 32] == pytest.approx(1 / 5, rel=1e-5)
    # 2 m at 5 m with a focal length of one width: 0.4 of 64 pixels; borders count as covered.
    assert (faces >= 0).any(0).sum() == pytest.approx(0.4 * 64, abs=2)


def test_the_nearer_of_two_walls_wins_and_backs_are_not_seen() -> None:
    mesh = Mesh()
    mesh.box((-1, 1), (3, 4), (0, 2), STONE)
    mesh.box((-1, 1), (0, 1), (0, 1), STONE)
    camera = Camera.looking(np.array([0.0, -5.0, 1.0]), np.array([0.0, 0.0, 1.0]), focal=1.0, size=64)
    inverse, faces = see(mesh.finished(), camera, 64)
    assert faces[36, 32] == 5  # front of the second box
    assert faces[28, 32] == 0
    assert inverse[36, 32] == pytest.approx(1 / 5, rel=1e-5)
    assert inverse[28, 32] == pytest.approx(1 / 8, rel=1e-5)
    assert set(np.unique(faces)) == {-1, 0, 5}


def test_a_face_that_passes_the_camera_is_cut() -> None:
    mesh = Mesh()
    mesh.face([(-900, -900, 0), (900, -900, 0), (900, 900, 0), (-900, 900, 0)], STONE)
    camera = Camera.looking(np.array([0.0, 0.0, 2.0]), np.array([0.0, 10.0, 2.0]), focal=1.0, size=64)
    inverse, faces = see(mesh.finished(), camera, 64)
    assert (faces[34:] == 0).all()
    assert (faces[:31] == -1).all()
    assert 1 / inverse[63, 32] == pytest.approx(2 / (31.5 / 64), rel=1e-4)


def test_shadow_falls_away_from_the_sun() -> None:
    mesh = Mesh()
    ground = Surface("ground", Material((0.5, 0.5, 0.5), grain=0, weather=0))
    mesh.face([(-60, -60, 0), (60, -60, 0), (60, 60, 0), (-60, 60, 0)], ground)
    mesh.box((-2, 2), (-2, 2), (0, 8), STONE)
    world = mesh.finished()
    light = draw_light(np.random.default_rng(0), "noon")
    sun = np.array([-1.0, 0.0, 1.0]) / np.sqrt(2)
    light = type(light)(**{**light.__dict__, "towards": sun})
    camera = Camera.looking(np.array([0.1, -30.0, 30.0]), np.array([0.0, 0.0, 0.0]), focal=1.0, size=96)
    picture = render(world, world, camera, light, 96)

    def brightness(x: float) -> float:
        column, row, _ = camera.project(np.array([[x, 0.0, 0.0]]))[0]
        assert picture.parts[int(row), int(column)] == PART_ID["ground"]
        return float(picture.radiance[int(row), int(column)].sum())

    assert brightness(6.0) < 0.5 * brightness(-6.0)


def test_a_photo_is_the_same_again_and_has_no_neighbours_in_its_dice() -> None:
    first = take_photo(9, 3, 2, size=48)
    take_photo(9, 3, 0, size=48)
    again = take_photo(9, 3, 2, size=48)
    assert (first.pixels == again.pixels).all()
    assert (first.caption, first.tags, first.quality) == (again.caption, again.tags, again.quality)
    assert (take_photo(9, 3, 1, size=48).pixels != first.pixels).mean() > 0.5


def test_every_style_renders_and_shows_its_landmark(photos: list) -> None:
    assert {(p.landmark.family, p.landmark.style) for p in photos} == set(STYLES)
    for photo in photos:
        assert photo.pixels.shape == (64, 64, 3)
        assert photo.pixels.std() > 8
        own = [k for k, name in enumerate(PARTS) if name not in SURROUNDINGS]
        assert np.isin(photo.parts, own).mean() > 0.01, (photo.landmark.name, photo.view)


def test_keypoints_are_projections_that_lie_on_their_part(photos: list) -> None:
    shown = right = 0
    for photo in photos:
        points = photo.landmark.keypoints
        expected = photo.camera.project(points.position[photo.keypoints])
        np.testing.assert_allclose(photo.places, expected[:, :2], atol=1e-3)
        assert (expected[:, 2] > 0).all()
        assert ((photo.places >= 0) & (photo.places < 64)).all()
        column, row = photo.places.astype(int).T
        around = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        near = [photo.parts[np.clip(row + dy, 0, 63), np.clip(column + dx, 0, 63)] for dx, dy in around]
        right += (np.stack(near) == points.part[photo.keypoints]).any(0).sum()
        assert not {PARTS[k] for k in points.part} & SURROUNDINGS
        shown += len(photo.keypoints)
    # The mask holds a quarter of the rendered samples: a part thinner than a pixel may fall between them.
    assert right >= 0.97 * shown
    assert shown > 12 * len(photos)


def test_a_keypoint_is_the_same_place_in_two_photos() -> None:
    """Under one light the same point has nearly the same colour from two sides."""
    shown = landmark(1, 0, SPREAD)
    light = draw_light(np.random.default_rng(2), "overcast")
    pictures = []
    for azimuth in (-100, -80):
        a = np.radians(azimuth)
        place = shown.middle + 70 * np.array([np.cos(a), np.sin(a), 0.05])
        camera = Camera.looking(place, shown.middle, focal=1.4, size=256)
        picture = render(shown.geometry, shown.geometry, camera, light, 256)
        x, y, depth = camera.project(shown.keypoints.position).T
        nearest = picture.depth[y.astype(int), x.astype(int)]
        seen = np.abs(nearest - depth) < 0.3
        pictures.append((seen, picture.radiance[y.astype(int), x.astype(int)]))
    both = pictures[0][0] & pictures[1][0]
    assert both.sum() > 8
    a, b = (colour[both].sum(1) for _, colour in pictures)
    assert np.median(np.abs(a - b)) < 0.4 * np.median(np.abs(a[:, None] - b[None]))


def test_hidden_points_are_not_listed() -> None:
    shown = landmark(1, 4, SPREAD)  # a palace: its back hides its front
    front = take_photo_of(shown, -90)
    back = take_photo_of(shown, 90)
    normals = shown.keypoints.normal
    assert (normals[front][:, 1] < 0.2).all()
    assert (normals[back][:, 1] > -0.2).all()


def take_photo_of(shown: object, azimuth: float) -> np.ndarray:
    from perisphere.catalog.scenes.world import Landmark, visible

    assert isinstance(shown, Landmark)
    a = np.radians(azimuth)
    place = shown.middle + 80 * np.array([np.cos(a), np.sin(a), 0])
    camera = Camera.looking(place, shown.middle, focal=1.2, size=128)
    inverse, _ = see(shown.geometry, camera, 128)
    seen = np.flatnonzero(visible(shown.keypoints.position, shown.keypoints.normal, camera, inverse))
    assert len(seen) > 5
    return seen


def test_windows_are_in_the_mask_where_the_wall_has_them() -> None:
    window = Openings(part="window", shape="rect", pitch=4, width=2, height=2, sill=1, frame=0.0, depth=0.2)
    mesh = Mesh()
    mesh.face([(-2, 0, 0), (2, 0, 0), (2, 0, 4), (-2, 0, 4)], STONE.with_openings(window))
    camera = Camera.looking(np.array([0.0, -4.0, 2.0]), np.array([0.0, 0.0, 2.0]), focal=1.0, size=80)
    light = draw_light(np.random.default_rng(0), "noon")
    parts = render(mesh.finished(), mesh.finished(), camera, light, 80).parts
    assert (parts == PART_ID["window"]).mean() == pytest.approx(0.25, abs=0.02)
    assert (parts == PART_ID["wall"]).mean() == pytest.approx(0.75, abs=0.03)
    assert parts[40, 40] == PART_ID["window"]
    assert parts[5, 5] == PART_ID["wall"]


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_looks_at_the_landmark_from_its_side(view: str) -> None:
    bounds = np.array([-10.0, 0.0, 0.0]), np.array([10.0, 30.0, 25.0])
    middle = (bounds[0] + bounds[1]) / 2
    for k in range(20):
        camera = place_camera(photo_stream(0, 0, k), view, bounds, ((0.0, 0.0, 10.0), 8.0), 64, 1.0)
        assert camera.position[2] > 1
        x, y, depth = camera.project(middle[None])[0]
        assert depth > 0
        if view != "close":
            assert 0 < x < 64
            assert -10 < y < 74
        side = camera.position - middle
        assert (side[1] > 0) == (view == "back")
        if view in ("left", "right"):
            assert (side[0] < 0) == (view == "left")


def test_captions_name_the_landmark_and_tags_are_noisy(photos: list) -> None:
    for photo in photos:
        assert photo.landmark.name in photo.caption
        assert photo.caption[0].isupper()
        assert len(set(photo.tags)) == len(photo.tags)
    assert {photo.light for photo in photos} <= set(LIGHTS)
    with_family = np.mean([photo.landmark.family in photo.tags for photo in photos])
    assert 0.5 < with_family < 0.95


def test_names_are_unique_in_a_large_world() -> None:
    from perisphere.catalog.scenes.world import _name

    styles = [style for _, style in STYLES]
    names = {_name(0, number, styles[number % len(styles)]) for number in range(1000)}
    assert len(names) == 1000

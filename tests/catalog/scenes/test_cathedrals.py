"""Cathedrals: closed halls, subjects that fill the picture, true masks and points."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.catalog.scenes import take_photo
from perisphere.catalog.scenes.camera import Camera
from perisphere.catalog.scenes.cathedrals.cathedral import STYLES, Cathedral, cathedral
from perisphere.catalog.scenes.cathedrals.concepts import INSIDE, OUTSIDE, concept_mask
from perisphere.catalog.scenes.cathedrals.photo import LEAST, CathedralPhoto, take_cathedral_photo
from perisphere.catalog.scenes.cathedrals.spots import stand_at
from perisphere.catalog.scenes.cathedrals.walls import Arch, add_arched_wall, add_groin_vault, profile
from perisphere.catalog.scenes.cathedrals.wording import LANGUAGES, WORDS, Category, Guide, folders
from perisphere.catalog.scenes.geometry import Mesh
from perisphere.catalog.scenes.materials import FILLS, Material, Surface
from perisphere.catalog.scenes.parts import EXTERIOR, PART_ID, PARTS
from perisphere.catalog.scenes.raster import see
from perisphere.tags.architecture import AMBIGUOUS, CONCEPTS

STONE = Surface("wall", Material((0.5, 0.5, 0.5)))


@pytest.fixture(scope="module")
def churches() -> list[Cathedral]:
    return [cathedral(3, number, 0.85) for number in range(len(STYLES))]


@pytest.fixture(scope="module")
def photos(churches: list[Cathedral]) -> list[CathedralPhoto]:
    return [
        take_cathedral_photo(3, of, number, size=48) for of in range(len(churches)) for number in range(10)
    ]


def test_other_worlds_keep_their_pixels() -> None:
    """Parts and fillings that only cathedrals have come after all others."""
    assert PARTS[-2:] == ("organ", "altar")
    assert PARTS[: len(EXTERIOR)] == EXTERIOR
    assert (PART_ID["sky"], PART_ID["vault"], FILLS.index("niche")) == (0, 33, 6)
    photo = take_photo(5, 0, 0, size=16)
    assert hashlib.sha256(photo.parts.tobytes()).hexdigest()[:16] == "f2da5f0ffe480f74"


def test_every_cathedral_has_every_concept_to_look_at(churches: list[Cathedral]) -> None:
    for church in churches:
        assert {spot.concept for spot in church.spots} == {*CONCEPTS, ""}
        assert len(church.landmark.keypoints.part) > 300
        assert 0 < church.first_inside < len(church.landmark.keypoints.part)
        assert len({spot.name for spot in church.spots}) == len(church.spots)


def test_a_hall_has_no_holes(churches: list[Cathedral]) -> None:
    """From everywhere inside, whichever way one looks, there is a wall, a vault or a floor."""
    for church in churches:
        for spot in church.spots:
            if spot.inside:
                _, faces = see(church.inside, stand_at(spot, None, 64, 0.0), 64)
                assert (faces >= 0).mean() > 0.999, (church.landmark.style, spot.name)
        eye = np.array([0.3, church.hall.nave * 0.5, 1.7])
        for turn in np.radians((10, 80, 170, 260)):
            ahead = eye + np.array([np.cos(turn), np.sin(turn), 0.35])
            _, faces = see(church.inside, Camera.looking(eye, ahead, focal=0.6, size=64), 64)
            assert (faces >= 0).mean() > 0.999, (church.landmark.style, turn)


def test_a_photo_shows_its_subject(photos: list[CathedralPhoto]) -> None:
    for photo in photos:
        assert photo.mask.shape == photo.parts.shape
        assert set(np.unique(photo.mask)) <= {*range(len(CONCEPTS) + 1), AMBIGUOUS}
        if photo.spot.concept:
            shares = photo.concepts(0.0)
            assert shares[photo.spot.concept] >= LEAST, (photo.landmark.name, photo.number, photo.spot.name)
    subjects = [photo.spot.concept for photo in photos]
    assert {subject for subject in subjects if subject} == set(CONCEPTS)


def test_masks_agree_with_parts(photos: list[CathedralPhoto]) -> None:
    for photo in photos:
        table = INSIDE if photo.spot.inside else OUTSIDE
        for name in np.unique([PARTS[k] for k in np.unique(photo.parts)]):
            pixels = photo.mask[photo.parts == PART_ID[name]]
            expected = CONCEPTS.index(table[name]) + 1 if name in table else 0
            assert np.isin(pixels, (expected, AMBIGUOUS)).all(), name


def test_pixels_that_several_concepts_share_are_ambiguous() -> None:
    parts = np.full((4, 4), PART_ID["facade"], np.uint8)
    parts[0, 0], parts[2:, 2:] = PART_ID["sky"], PART_ID["portal"]
    parts[0, 2:] = PART_ID["pediment"]  # facade as well
    facade, portal = CONCEPTS.index("facade") + 1, CONCEPTS.index("portal") + 1
    assert concept_mask(parts, inside=False, shrink=2).tolist() == [[AMBIGUOUS, facade], [facade, portal]]
    assert (concept_mask(parts[2:, :2], inside=True, shrink=2) == 0).all()  # no facade is seen from inside


def test_photos_of_one_spot_share_points(churches: list[Cathedral]) -> None:
    shared = []
    for number, church in enumerate(churches):
        shots = [take_cathedral_photo(3, number, k, size=48) for k in (8, 18, 28, 3, 13, 23)]
        for k, one in enumerate(shots):
            for other in shots[k + 1 :]:
                if one.spot == other.spot:
                    shared.append(len(np.intersect1d(one.keypoints, other.keypoints)))
        assert church.landmark.number == number
    assert len(shared) >= 5
    assert np.mean([count >= 10 for count in shared]) > 0.8


def test_points_lie_where_the_picture_says(photos: list[CathedralPhoto], churches: list[Cathedral]) -> None:
    for photo in photos:
        church, points = churches[photo.landmark.number], photo.landmark.keypoints
        inside = photo.keypoints >= church.first_inside
        assert (inside == photo.spot.inside).all()
        places = photo.camera.project(points.position[photo.keypoints])[:, :2]
        np.testing.assert_allclose(places, photo.places, atol=1e-3)
        assert ((photo.places >= 0) & (photo.places <= 48)).all()


def test_the_same_arguments_give_the_same_photo(photos: list[CathedralPhoto]) -> None:
    again = take_cathedral_photo(3, 1, 4, size=48)
    first = photos[14]
    assert again.jpeg() == first.jpeg()
    assert (again.mask == first.mask).all()
    assert (again.keypoints == first.keypoints).all()
    other = take_cathedral_photo(4, 1, 4, size=48)
    assert other.jpeg() != first.jpeg()


@given(st.floats(-1, 1), st.booleans())
def test_an_arch_rises_from_its_sides_to_its_crown(u: float, pointed: bool) -> None:
    height = float(profile(np.array([u]), pointed)[0])
    assert 0 <= height <= 1 + 1e-12
    assert height == pytest.approx(float(profile(np.array([-u]), pointed)[0]))
    assert height >= float(profile(np.array([min(1.0, abs(u) + 0.01)]), pointed)[0])
    assert profile(np.array([0.0, 1.0]), pointed) == pytest.approx([1, 0])


def test_one_sees_through_an_arch_and_not_through_its_wall() -> None:
    mesh = Mesh()
    add_arched_wall(mesh, (-4, 0), (4, 0), (0, 6), Arch(0.25, 0.75, 2.0, 4.0), STONE, pointed=False, deep=0.5)
    camera = Camera.looking(np.array([0.0, -10.0, 3.0]), np.array([0.0, 0.0, 3.0]), focal=1.0, size=100)
    _, faces = see(mesh.finished(), camera, 100)
    open_ = faces < 0  # 8 m at 10 m are 80 of 100 pixels; z 6 is at row 20, z 0 at row 80
    assert open_[75, 40:60].all()
    assert not open_[75, 12:28].any()
    assert not open_[22:35, 15:85].any()
    assert open_[45, 50]


def test_a_groin_vault_covers_its_bay() -> None:
    mesh = Mesh()
    add_groin_vault(mesh, (-3, 3), (-2, 2), (4, 6), STONE, None, pointed=True)
    up = Camera(np.array([0.0, 0.0, 0.0]), np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]), 1.0, 64)
    inverse, faces = see(mesh.finished(), up, 64)
    seen = faces >= 0
    assert seen[16:48, 8:56].all()
    assert 1 / inverse[32, 32] == pytest.approx(6, rel=0.02)
    assert (1 / inverse[seen] >= 4 - 1e-3).all()


def test_ledges_belong_to_what_carries_them(churches: list[Cathedral]) -> None:
    """No tower has stripes of facade: above the front's gable nothing is facade."""
    church = churches[0]
    geometry = church.landmark.geometry
    part = geometry.surfaces[geometry.surface, 0].astype(int)
    top = np.maximum.reduceat(geometry.corners[:, 2], geometry.starts[:-1])
    back = geometry.frames[:, 3, 1] > 0.5
    assert not (part[back] == PART_ID["facade"]).any()
    tower = top[np.isin(part, (PART_ID["tower"], PART_ID["spire"]))].max()
    assert top[part == PART_ID["cornice"]].max(initial=0) < tower


def test_words_stand_in_every_language() -> None:
    assert set(WORDS) == {*CONCEPTS, "outside", "inside"}
    for of in WORDS.values():
        assert set(of) == set(LANGUAGES)
        assert all(len(words) >= 2 and all(words) for words in of.values())


def test_folders_are_numbered_below_their_parents() -> None:
    a, b, c = Category("a"), Category("b", "portal"), Category("c", "statue")
    assert folders([(a, b), (a, c), (c,), (a, b, c)]) == {
        (): (),
        (a,): ("0",),
        (a, b): ("0", "0"),
        (a, c): ("0", "1"),
        (c,): ("1",),
        (a, b, c): ("0", "0", "0"),
    }


def test_labels_are_the_subject_and_then_what_the_categories_say(churches: list[Cathedral]) -> None:
    rng, found = np.random.default_rng(0), []
    for seed in range(40):
        guide = Guide("Belmere", np.random.default_rng(seed))
        assert "belmere" in guide.long_name
        assert guide.long_name == guide.long_name.lower()
        for number, spot in enumerate(churches[0].spots):
            entry = guide.entry(spot, ["window"], number, rng)
            found.append((spot, entry))
    for spot, entry in found:
        named = [one.concept for one in entry.categories if one.concept]
        expected = [spot.concept, *named] if spot.concept else []
        assert list(entry.labels) == list(dict.fromkeys(expected))
        assert ":" not in entry.file
        assert " " not in entry.file
        # A category's name says its concept in one of the languages.
        for one in entry.categories:
            words = [word for of in WORDS.get(one.concept, {}).values() for word in of]
            assert not one.concept or any(word.lower() in one.name.lower() for word in words), one
    several = [entry.labels for _, entry in found if len(entry.labels) > 1]
    assert ("portal", "facade") in several
    assert ("altar", "chapel") in several
    captions = [entry.caption for _, entry in found]
    assert 0.02 < np.mean([caption == "" for caption in captions]) < 0.12
    assert {entry.language for _, entry in found} == set(LANGUAGES)


def test_without_dice_a_spot_is_in_the_middle(churches: list[Cathedral]) -> None:
    for spot in churches[0].spots:
        camera = stand_at(spot, None, 64, 0.5)
        x, y, depth = camera.project(np.array([spot.target]))[0]
        assert (x, y) == pytest.approx((32, 32), abs=1e-6)
        assert depth > 1
        # It fills the picture, or nearly so.
        assert depth / camera.focal == pytest.approx(spot.span, rel=0.5)

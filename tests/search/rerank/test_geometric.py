"""Geometric verification: known geometry, pictures that are one another's views, and real photos."""

import csv
import io
import tarfile
from collections import defaultdict

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.catalog.images import ImageError
from perisphere.errors import PerisphereError, UsageError
from perisphere.search.matches import GAP, HEIGHT, draw_pair, write_matches
from perisphere.search.rerank import ArrayGallery, Context, GeometricVerification
from perisphere.search.rerank.geometric import fit
from perisphere.search.rerank.local import LocalFeatures, features_of, tentative
from perisphere.search.results import Answer, Result

TURN = np.array([[0.9, -0.15, 30], [0.12, 0.95, 8], [1e-4, 5e-5, 1]])


def moved(points: np.ndarray, model: np.ndarray = TURN) -> np.ndarray:
    ends = np.column_stack([points, np.ones(len(points))]) @ model.T
    return (ends[:, :2] / ends[:, 2:]).astype(np.float32)


def scene(seed: int, side: int = 320) -> np.ndarray:
    """A picture full of corners."""
    random = np.random.default_rng(seed)
    picture = np.full((side, side, 3), 128, np.uint8)
    for _ in range(150):
        x, y, w, h = random.integers(0, side, 4) // [1, 1, 6, 6]
        cv2.rectangle(
            picture, (int(x), int(y)), (int(x + w), int(y + h)), random.integers(0, 255, 3).tolist(), -1
        )
    return cv2.GaussianBlur(picture, (3, 3), 0.8)


def view(picture: np.ndarray) -> np.ndarray:
    return cv2.warpPerspective(picture, TURN, picture.shape[:2], borderValue=(90, 90, 90))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), inliers=st.integers(20, 60), outliers=st.integers(0, 40))
def test_a_homography_is_found_among_false_pairs(seed, inliers, outliers):
    random = np.random.default_rng(seed)
    first = random.uniform(0, 400, (inliers + outliers, 2)).astype(np.float32)
    second = moved(first) + random.normal(scale=0.3, size=first.shape).astype(np.float32)
    second[inliers:] = random.uniform(0, 400, (outliers, 2))
    match = fit(first, second, "homography", 3.0)
    assert match.inliers[:inliers].mean() > 0.9
    assert match.inliers[inliers:].sum() <= 2 + outliers // 10
    assert np.abs(moved(first[:inliers], match.model) - moved(first[:inliers])).max() < 3


def test_a_fundamental_matrix_holds_where_no_homography_does():
    """Points at many depths, seen from two places."""
    random = np.random.default_rng(0)
    world = random.uniform([-2, -2, 3], [2, 2, 12], (80, 3))
    first = (400 * world[:, :2] / world[:, 2:] + 320).astype(np.float32)
    other = world - [0.8, 0.1, 0.2]
    second = (400 * other[:, :2] / other[:, 2:] + 320).astype(np.float32)
    assert fit(first, second, "fundamental", 1.0).count > 70
    assert fit(first, second, "homography", 1.0).count < 40


@pytest.mark.parametrize("model", ["homography", "fundamental"])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 8, 30])
def test_points_that_hold_no_model(model, count):
    line = np.column_stack([np.arange(count), 2 * np.arange(count)]).astype(np.float32)
    for second in (line, np.zeros_like(line)):
        match = fit(line, second, model, 3.0)
        assert match.inliers.shape == (count,)
        assert 0 <= match.count <= count
    assert fit(line[:2], line[:2], model, 3.0).count == 0


def test_a_mirrored_view_does_not_count():
    random = np.random.default_rng(0)
    first = random.uniform(0, 400, (50, 2)).astype(np.float32)
    assert fit(first, first * [-1, 1], "homography", 3.0).count == 0
    assert fit(first, first * np.float32(1e-3) + 200, "homography", 3.0).count == 0
    assert fit(first, first, "homography", 3.0).count == 50


def test_points_lie_in_the_pixels_of_the_photo_whatever_its_reduction():
    picture = scene(0, 512)
    large, small = features_of(picture, 300, 512), features_of(picture, 300, 256)
    pairs = tentative(small, large, 0.8)
    apart = np.linalg.norm(small.points[pairs[:, 0]] - large.points[pairs[:, 1]], axis=1)
    assert len(pairs) > 60
    assert np.median(apart) < 0.7
    assert np.abs(np.median(small.points[pairs[:, 0]] - large.points[pairs[:, 1]], axis=0)).max() < 0.15


@pytest.mark.parametrize("root", [True, False])
def test_descriptors_are_unit_rows_and_as_many_as_asked_for(root):
    found = features_of(scene(0), 100, 640, root)
    assert len(found) == 100
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-5)
    assert not np.allclose(found.descriptors, features_of(scene(0), 100, 640, not root).descriptors)


def test_tentative_pairs_pass_the_ratio_and_are_one_to_one():
    random = np.random.default_rng(0)

    def unit(rows: np.ndarray) -> np.ndarray:
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    second = unit(random.normal(size=(40, 128)))
    first = unit(
        np.concatenate(
            [second[:20] + 0.02 * random.normal(size=(20, 128)), second[:5], second[:1] + second[1:2]]
        )
    )
    points = np.zeros((40, 2), np.float32)
    pairs = tentative(LocalFeatures(points[:26], first), LocalFeatures(points, second), 0.8)
    # The exact copies 20..24 win over the noisy ones; the one between two descriptors is ambiguous.
    assert pairs.tolist() == [*([i, i] for i in range(5, 20)), *([20 + i, i] for i in range(5))]
    none = LocalFeatures(points[:0], second[:0])
    assert len(tentative(none, LocalFeatures(points, second), 0.8)) == 0
    assert len(tentative(LocalFeatures(points, second), none, 0.8)) == 0


def searched(photos, query, files):
    """A gallery whose vectors say the wrong thing: the first photo is the nearest."""
    vectors = np.linspace(1, 2, len(files), dtype=np.float32)[:, None]
    gallery = ArrayGallery(vectors, "l2", files=files)
    context = Context(gallery, np.zeros((1, 1), np.float32), photos=[query])
    return context.search(context.queries, len(files)), context


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four pictures, the third a view of the query."""
    root = tmp_path_factory.mktemp("photos")
    for name, picture in {
        "0": scene(1),
        "1": scene(2),
        "2": view(scene(9)),
        "3": np.full_like(scene(0), 60),
    }.items():
        PIL.Image.fromarray(picture).save(root / f"{name}.png")
    return root


def test_another_view_rises_and_the_rest_keeps_its_order(photos):
    files = [photos / f"{name}.png" for name in range(4)]
    ranking, context = searched(photos, scene(9), files)
    assert ranking.ids.tolist() == [[0, 1, 2, 3]]
    found = GeometricVerification()(ranking, context)
    assert found.ids.tolist() == [[2, 0, 1, 3]]
    assert found.scores[0, 0] > 30
    assert found.scores[0, 1:].tolist() == [0, 0, 0]
    assert GeometricVerification(n=2)(ranking, context).ids.tolist() == [[0, 1, 2, 3]]
    assert GeometricVerification(n=0)(ranking, context) is ranking
    assert GeometricVerification(min_inliers=5000)(ranking, context).ids.tolist() == [[0, 1, 2, 3]]
    assert GeometricVerification(model="fundamental")(ranking, context).ids[0, 0] == 2


def test_a_file_that_changes_is_read_again(tmp_path):
    import os

    file = tmp_path / "photo.png"
    PIL.Image.fromarray(scene(1)).save(file)
    before = features_of(file)
    assert features_of(file) is before
    PIL.Image.fromarray(scene(2)).save(file)
    os.utime(file, ns=(1, 1))
    assert not np.array_equal(features_of(file).descriptors, before.descriptors)


def test_photos_that_are_not_known_or_gone(photos):
    ranking, context = searched(photos, scene(9), [photos / "0.png", None])
    with pytest.raises(PerisphereError, match="image 1 is not known"):
        GeometricVerification()(ranking, context)
    ranking, context = searched(photos, None, [photos / "0.png"])
    with pytest.raises(PerisphereError, match="the query is not known"):
        GeometricVerification()(ranking, context)
    ranking, context = searched(photos, photos / "gone.png", [photos / "0.png"])
    with pytest.raises(ImageError, match=r"gone\.png: cannot be read"):
        GeometricVerification()(ranking, context)


def test_a_photo_of_the_gallery_that_is_gone_has_no_inliers(photos, caplog):
    files = [photos / name for name in ("gone.png", "0.png", "2.png")]
    _, one = searched(photos, scene(9), files)
    twice = Context(one.gallery, np.zeros((2, 1), np.float32), photos=[scene(9), scene(9)])
    for context in (one, twice):
        caplog.clear()
        found = GeometricVerification()(context.search(context.queries, 3), context)
        assert found.ids.tolist() == [[2, 0, 1]] * len(context.queries)
        assert found.scores[:, 1].tolist() == [0.0] * len(context.queries)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "0 inliers" in caplog.text
        assert "gone.png: cannot be read" in caplog.text


def test_lines_run_between_the_features_that_agree():
    first, second = scene(9), view(scene(9))
    match = GeometricVerification().match(first, second)
    picture = np.asarray(draw_pair(first, second, match, "a and b"))
    assert picture.shape[0] > HEIGHT
    between = picture[:HEIGHT, HEIGHT : HEIGHT + GAP]  # the photos are square
    coloured = between.reshape(-1, 3).astype(int)
    coloured = coloured[coloured.max(1) - coloured.min(1) > 60]
    assert len(coloured) > match.count
    blank = draw_pair(first, second, fit(match.first[:2], match.second[:2], "homography", 3.0))
    assert (np.asarray(blank)[:HEIGHT, HEIGHT : HEIGHT + GAP] == 255).all()


def test_the_sheet_of_matches(photos, tmp_path):
    files = [photos / "2.png", photos / "0.png", None]
    results = tuple(
        Result(rank, rank, 0.5, None, None, str(file), file) for rank, file in enumerate(files, start=1)
    )
    answer = Answer(scene(9), None, results)
    path = write_matches(tmp_path / "out" / "lines.png", [answer])
    with PIL.Image.open(path) as picture:
        assert picture.height == 2 * (HEIGHT + 40) + 3 * GAP
    with pytest.raises(UsageError, match="there is no pair of photos"):
        write_matches(tmp_path / "lines.png", [Answer(scene(9), None, results[2:])])
    with pytest.raises(UsageError, match=r"\.jpg or \.png"):
        write_matches(tmp_path / "lines.pdf", [answer])


@pytest.fixture(scope="module")
def places(shared, tmp_path_factory):
    root = tmp_path_factory.mktemp("places")
    with tarfile.open(shared / "data" / "places" / "places-640px.tar") as archive:
        wanted = ("homographies", "fountain-P11", "correspondences.csv", "cameras.json")
        members = [m for m in archive if m.name.removeprefix("./").startswith(wanted)]
        archive.extractall(root, members, filter="data")
    return root


@pytest.mark.parametrize("name", ["v_churchill", "v_wormhole"])
def test_inliers_of_real_walls_obey_their_true_homographies(places, name):
    """HPatches sequences, whose homographies are known; all five other views, up to steep ones."""
    folder = places / "homographies" / name
    for other in range(2, 7):
        match = GeometricVerification().match(folder / "1.jpg", folder / f"{other}.jpg")
        truth = np.loadtxt(io.StringIO((folder / f"H_1_{other}").read_text()))
        off = np.linalg.norm(moved(match.first, truth) - match.second, axis=1)
        assert match.count >= 15, other
        assert (off[match.inliers] < 5).mean() > 0.9, other


def test_inliers_of_a_real_fountain_lie_on_their_true_epipolar_lines(places):
    """Pairs of photos with known cameras (Strecha et al. 2008)."""
    import json

    cameras = json.loads((places / "cameras.json").read_text())
    with (places / "correspondences.csv").open() as file:
        pairs = defaultdict(int)
        for row in csv.DictReader(file):
            if row["image1"].startswith("fountain-P11"):
                pairs[row["image1"], row["image2"]] += 1
    verification = GeometricVerification(model="fundamental", threshold=1.5)
    shares = []
    for first, second in [pair for pair, count in sorted(pairs.items()) if count >= 90][:4]:
        match = verification.match(places / first, places / second)
        off = epipolar(match, cameras[first], cameras[second])
        assert match.count > 60
        shares.append((off[match.inliers] < 3).mean())
    assert min(shares) > 0.9


def epipolar(match, first, second) -> np.ndarray:
    """The distance in pixels of each second point from the line that the first point draws there."""
    k1, r1, t1, k2, r2, t2 = (
        np.array(camera[key], float) for camera in (first, second) for key in ("K", "R", "t")
    )
    rotation = r2 @ r1.T
    x, y, z = t2.ravel() - rotation @ t1.ravel()
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    fundamental = np.linalg.inv(k2).T @ cross @ rotation @ np.linalg.inv(k1)
    lines = np.column_stack([match.first, np.ones(len(match.first))]) @ fundamental.T
    ends = np.column_stack([match.second, np.ones(len(match.second))])
    return np.abs((lines * ends).sum(1)) / np.linalg.norm(lines[:, :2], axis=1)

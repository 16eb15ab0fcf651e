import sys

import numpy as np
import pytest
from PIL import Image

from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation import Points
from perisphere.evaluation.map import draw_map, flatten

GREEN, BLUE = (20, 220, 40), (30, 40, 230)


@pytest.fixture
def photos(points, tmp_path):
    """Two heaps of vectors, the photos of one green and of the other blue; the last has no file."""
    rng = np.random.default_rng(0)
    heaps = np.repeat(np.eye(6, dtype=np.float32)[:2] * 4, 10, axis=0) + rng.standard_normal((20, 6)) / 4
    given = points([*"gggggggggg", *"bbbbbbbbbb"], heaps)
    for row in range(19):
        Image.new("RGB", (40, 30), GREEN if row < 10 else BLUE).save(tmp_path / f"{row}.png")
    rows = given.rows.with_columns(
        path=np.array([f"{row}.png" for row in range(20)]), root=np.array([str(tmp_path)] * 20)
    )
    return Points(given.vectors, rows, "here")


def middle(pixels, colour):
    return np.argwhere((np.asarray(pixels, int) - colour == 0).all(axis=2)).mean(axis=0)


def test_photos_that_are_alike_lie_together(photos, tmp_path):
    with Image.open(draw_map(photos, tmp_path / "map.png", method="pca", side=600, thumbnail=40)) as sheet:
        assert sheet.size == (600, 600)
        pixels = np.array(sheet)
    assert abs(middle(pixels, GREEN)[1] - middle(pixels, BLUE)[1]) > 300
    again = draw_map(photos, tmp_path / "again.png", method="pca", side=600, thumbnail=40)
    assert again.read_bytes() == (tmp_path / "map.png").read_bytes()


def test_at_most_so_many_photos_are_shown(photos, tmp_path):
    with Image.open(
        draw_map(photos, tmp_path / "map.png", method="pca", limit=1, side=600, thumbnail=40)
    ) as sheet:
        colours = {colour for _, colour in sheet.getcolors(1 << 20)}
    assert len(colours & {GREEN, BLUE}) == 1


def test_main_directions_keep_the_scale(photos):
    plane = flatten(photos.vectors, "pca")
    assert plane.min() == pytest.approx(0)
    assert plane.max() == pytest.approx(1)
    extent = np.ptp(plane, axis=0)
    assert extent[0] == pytest.approx(1)
    assert extent[1] < 0.6
    unit = photos.vectors / np.linalg.norm(photos.vectors, axis=1, keepdims=True)
    apart = np.linalg.norm(unit[:10].mean(0) - unit[10:].mean(0))
    shown = np.linalg.norm(plane[:10].mean(0) - plane[10:].mean(0))
    whole = np.linalg.norm(unit - unit.mean(0), axis=1).max()
    assert shown == pytest.approx(apart / (2 * whole), rel=0.3)


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_few_or_equal_vectors_have_places_too(n, method):
    assert np.isfinite(flatten(np.ones((n, 3)), method)).all()
    assert flatten(np.ones((n, 3)), method).tolist() == [[0.5, 0.5]] * n


def test_tsne_keeps_neighbours_together(photos):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    plane = flatten(photos.vectors, "tsne", seed=3)
    assert np.array_equal(plane, flatten(photos.vectors, "tsne", seed=3))
    nearest = np.linalg.norm(plane[:, None] - plane[None], axis=2) + 9 * np.eye(20)
    assert ((nearest.argmin(axis=1) < 10) == (np.arange(20) < 10)).all()


def test_without_scikit_learn_the_error_says_what_to_do(photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(PerisphereError, match=r"pip install 'perisphere\[map\]'.*--method pca"):
        flatten(photos.vectors)


def test_what_makes_no_map_is_named(photos, tmp_path):
    for options, said in (
        ({"limit": 0}, "a map of 0 photos"),
        ({"thumbnail": 700}, "of 700 pixels"),
        ({"method": "umap"}, "method 'umap'"),
    ):
        with pytest.raises(UsageError, match=said):
            draw_map(photos, tmp_path / "map.png", **options)
    with pytest.raises(UsageError, match="a sheet is a"):
        draw_map(photos, tmp_path / "map.svg")
    nothing = Points(photos.vectors[:0], photos.rows[:0], "here")
    with pytest.raises(PerisphereError, match="here: holds no vectors"):
        draw_map(nothing, tmp_path / "map.png")

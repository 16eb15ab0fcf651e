"""Points of two photos whose features are each other's nearest."""

import json
from pathlib import Path

import numpy as np
import painted
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.dense_features import DenseFeatures
from perisphere.errors import UsageError
from perisphere.nets import NetSpec, build
from perisphere.search import matching
from perisphere.search.matches import draw_pair
from perisphere.search.matching import match_photos, mutual_nearest

sizes = st.integers(1, 9)


@given(st.integers(0, 2**32 - 1), sizes, sizes)
def test_mutual_nearest_is_what_a_full_table_says(seed, rows, columns):
    random = np.random.default_rng(seed)
    first, second = (random.integers(-2, 3, (n, 3)).astype(np.float32) for n in (rows, columns))
    rows, columns, scores = mutual_nearest(first, second)
    table = first @ second.T
    expected = [
        (row, int(table[row].argmax()))
        for row in range(len(first))
        if table[:, table[row].argmax()].argmax() == row
        and first[row].any()
        and second[table[row].argmax()].any()
    ]
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == expected
    np.testing.assert_array_equal(scores, [table[pair] for pair in expected])


def test_blocks_change_nothing(monkeypatch):
    random = np.random.default_rng(0)
    first, second = (random.standard_normal((n, 8)).astype(np.float32) for n in (50, 40))
    whole = mutual_nearest(first, second)
    monkeypatch.setattr(matching, "BLOCK_BYTES", 4 * 40 * 7)
    for one, other in zip(whole, mutual_nearest(first, second), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_nothing_matches_nothing():
    empty = np.empty((0, 3), np.float32)
    assert [len(part) for part in mutual_nearest(empty, np.ones((2, 3), np.float32))] == [0, 0, 0]


@pytest.fixture(scope="module")
def wall() -> np.ndarray:
    """A photo of many different stones."""
    random = np.random.default_rng(3)
    stones = random.integers(0, 256, (16, 24, 3), np.uint8)
    return np.asarray(PIL.Image.fromarray(stones).resize((192, 128), PIL.Image.Resampling.NEAREST))


@pytest.fixture(scope="module")
def features() -> DenseFeatures:
    encoder = painted.encoder_of()
    return DenseFeatures(encoder, layer="shallow", size=192, precision="float32")


def test_a_photo_matches_itself_everywhere(features, wall):
    found = match_photos(features, wall, wall, points=10_000)
    assert len(found) == features(wall).shape[1] * features(wall).shape[2]
    np.testing.assert_allclose(found.scores, 1, atol=1e-5)
    assert np.abs(found.first - found.second).max() < 8  # half a cell
    assert found.first.min() >= 0
    assert (found.first.max(0) <= [192, 128]).all()


def test_a_shifted_photo_matches_along_the_shift(features, wall):
    left, right = wall[:, :160], wall[:, 32:]
    found = match_photos(features, left, right, points=40)
    shift = found.first - found.second
    assert np.median(np.abs(shift - [32, 0]), axis=0).max() < 6
    assert (np.diff(found.scores) <= 0).all()
    verified = match_photos(features, left, right, points=40, verify="homography")
    assert verified.count > 20
    assert verified.agreeing[: verified.count].all()  # those that agree come first
    np.testing.assert_allclose(verified.model[0, 2], -32, atol=6)
    assert json.loads(json.dumps(verified.to_dict()))["agreeing"] == verified.count


def test_fewer_and_better_points(features, wall):
    turned = np.ascontiguousarray(wall[::-1])
    all_ = match_photos(features, wall, turned, points=1000)
    best = match_photos(features, wall, turned, points=3)
    np.testing.assert_array_equal(best.scores, all_.scores[:3])
    assert (match_photos(features, wall, turned, min_score=0.99).scores >= 0.99).all()
    for options in ({"points": 0}, {"threshold": 0.0}, {"verify": "affine"}, {"min_score": np.nan}):
        with pytest.raises(UsageError):
            match_photos(features, wall, wall, **options)


def test_any_network_has_features_by_position(wall):
    net = build(NetSpec(backbone="resnet18"), seed=0)
    encoder = Encoder(net.eval(), Preprocessing(size=(96, 96)), name="plain")
    last, third = (DenseFeatures(encoder, layer=layer) for layer in (None, "layer3"))
    assert (last(wall).shape, third(wall).shape) == ((512, 2, 3), (256, 4, 6))
    np.testing.assert_allclose(np.linalg.norm(third(wall), axis=0), 1, atol=1e-5)
    with pytest.raises(UsageError, match=r"no layer 'layer9'.*layer"):
        DenseFeatures(encoder, layer="layer9")
    with pytest.raises(UsageError, match="size 7"):
        DenseFeatures(encoder, size=7)


def test_the_picture_has_a_line_for_each_pair(features, wall, tmp_path: Path):
    found = match_photos(features, wall, wall, points=12)
    drawn = np.asarray(draw_pair(wall, wall, found.drawn(), "two", "12 pairs"))
    bare = np.asarray(
        draw_pair(wall, wall, match_photos(features, wall, wall, min_score=2).drawn(), "two", "12 pairs")
    )
    assert (drawn != bare).any(2).mean() > 0.005

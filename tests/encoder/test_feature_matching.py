"""Points are found again by their features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.encoder.feature_matching import features_at, nearest_positions


def unit(features: np.ndarray) -> np.ndarray:
    return (features / np.linalg.norm(features, axis=0)).astype(np.float32)


def smooth(height: int, width: int, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Features that change smoothly and are unlike at every position; ``shift`` moves them, in positions."""
    rows, columns = np.mgrid[:height, :width].astype(float)
    u, v = (rows - shift[1]) / height, (columns - shift[0]) / width
    waves = [np.cos(2 * u), np.sin(2 * u), np.cos(2 * v), np.sin(2 * v)]
    return unit(np.stack(waves))


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.booleans(), st.integers(0, 1000))
def test_a_position_of_a_map_is_found_in_it(height: int, width: int, align_corners: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = unit(rng.standard_normal((24, height, width)))
    row, column = rng.integers(height), rng.integers(width)
    at = (column, row)
    sides = (width, height)
    if align_corners:
        point = [place / (side - 1) for place, side in zip(at, sides, strict=True)]
    else:
        point = [(place + 0.5) / side for place, side in zip(at, sides, strict=True)]
    vectors = features_at(features, np.array([point]), align_corners=align_corners)
    np.testing.assert_allclose(vectors[0], features[:, row, column], atol=1e-4)
    found = nearest_positions(vectors, features, align_corners=align_corners)
    reach = np.array([0.51 / max(1, side - align_corners) for side in sides])
    assert (np.abs(found.points[0] - point) <= reach).all()
    assert found.cosines[0] == pytest.approx(1, abs=1e-3)


def test_points_between_positions_are_found_more_finely_than_the_map() -> None:
    features = smooth(24, 24)
    moved = smooth(24, 24, shift=(0.4, -0.3))
    points = np.random.default_rng(0).uniform(0.3, 0.7, (50, 2))
    found = nearest_positions(features_at(features, points), moved).points
    errors = np.abs((found - points) * 23 - (0.4, -0.3))
    assert errors.max() < 0.12  # positions; to the whole one it would be up to 0.5


def test_many_points_are_matched_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    features = smooth(11, 7)
    vectors = features_at(features, np.random.default_rng(0).random((40, 2)))
    at_once = nearest_positions(vectors, features)
    monkeypatch.setattr("perisphere.encoder.feature_matching._BLOCK", 3 * 77)
    np.testing.assert_allclose(nearest_positions(vectors, features).points, at_once.points, atol=1e-4)


def test_maps_of_one_position() -> None:
    one = unit(np.ones((4, 1, 1)))
    assert nearest_positions(features_at(one, np.array([[0.2, 0.9]])), one).points.tolist() == [[0, 0]]
    middle = nearest_positions(one[:, :, 0].T, one, align_corners=False)
    assert middle.points.tolist() == [[0.5, 0.5]]

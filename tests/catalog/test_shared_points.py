import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.catalog import shared_points
from perisphere.catalog.shared_points import shared_pairs


def keypoints(shown: list[set[int]]) -> pl.DataFrame:
    rows = [(image, point, 0.0, 0.0) for image, points in enumerate(shown) for point in sorted(points)]
    return pl.DataFrame(rows, ["image", "point", "x", "y"], orient="row")


@given(
    st.lists(st.sets(st.integers(0, 12), max_size=12), max_size=9),
    st.integers(1, 4),
    st.booleans(),
    st.integers(1, 40),
)
def test_counts_are_those_of_sets(shown: list[set[int]], least: int, published: bool, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_points, "_BLOCK", block)
        found = shared_pairs(keypoints(shown), range(len(shown)), least, published=published)
    assert len(found) == len(shown)
    for image, points in enumerate(shown):
        common = {other: len(points & shown[other]) for other in range(len(shown))}
        if not published:
            del common[image]
        expected = {other: count for other, count in common.items() if count >= least}
        assert found.of(image).tolist() == list(expected)
        assert found.counts[found.indptr[image] : found.indptr[image + 1]].tolist() == list(expected.values())


def test_positions_are_those_of_the_images_that_are_asked_for() -> None:
    table = keypoints([{1, 2}, {1, 2}, {1, 2, 3}, {3}])
    found = shared_pairs(table, [2, 0], 2)
    assert found.of(0).tolist() == [1]
    assert found.of(1).tolist() == [0]
    assert found.pairs().tolist() == [[0, 1]]


def test_a_point_that_stands_twice_counts_once() -> None:
    table = pl.concat([keypoints([{1}, {1}])] * 3)
    assert shared_pairs(table, [0, 1], 2).indices.size == 0


@pytest.mark.parametrize("table", [None, keypoints([])])
def test_without_keypoints_nobody_has_a_neighbour(table: pl.DataFrame | None) -> None:
    found = shared_pairs(table, [5, 7])
    assert np.array_equal(found.indptr, [0, 0, 0])
    assert found.pairs().shape == (0, 2)


def test_bad_values() -> None:
    with pytest.raises(ValueError, match="least: 0"):
        shared_pairs(None, [0], 0)
    with pytest.raises(ValueError, match="twice"):
        shared_pairs(None, [0, 0])

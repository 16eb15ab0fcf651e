"""Points of photos, pairs that share them, and the order of an epoch of pairs."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.catalog.shared_points import Neighbours, shared_pairs
from perisphere.encoder import Preprocessing
from perisphere.training.loader import Loader
from perisphere.training.pair_order import PairOrder
from perisphere.training.photo_points import PhotoPoints, seen_share
from perisphere.training.photos import Photos

SCHEMA = {"image": pl.Int64, "point": pl.Int64, "x": pl.Float32, "y": pl.Float32}
SQUARE = Preprocessing(size=(10, 10), resize="squash")


def points_of(table, images, size=(20, 10), preprocessing=SQUARE):
    keypoints = pl.DataFrame(table, schema=SCHEMA, orient="row")
    return PhotoPoints.of_catalog(keypoints, images, np.array([size] * len(images)), preprocessing)


def test_points_that_two_photos_share_as_shares_of_their_sides():
    found = points_of([(7, 5, 1.0, 4.0), (9, 5, 5.0, 20.0), (7, 6, 0.0, 0.0), (9, 8, 1.0, 1.0)], [9, 7])
    points, real = found.shared(np.array([0, 1]), np.array([1, 1]))
    assert real.tolist() == [[True], [True]], "a photo shares its points with itself, alone ones are gone"
    assert points[0, 0].tolist() == pytest.approx([1.0, 0.5, 0.2, 0.1])


def test_photos_without_points_share_none():
    found = points_of([(7, 5, 1.0, 4.0), (9, 5, 5.0, 20.0)], [9, 7, 3])
    points, real = found.shared(np.array([2, 0]), np.array([0, 2]))
    assert points.shape == (2, 0, 4)
    assert real.shape == (2, 0)
    none = PhotoPoints.of_catalog(None, [1, 2], np.array([[5, 5], [5, 5]]), SQUARE)
    assert none.shared(np.array([0]), np.array([1]))[1].shape == (1, 0)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=60), st.data())
def test_shared_points_are_those_of_sets(shown, data):
    table = [(image, point, point + image / 10, float(point)) for image, point in shown]
    found = points_of(table, range(5), size=(10, 11))
    sets = [{point for image, point in shown if image == number} for number in range(5)]
    pairs = data.draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6))
    queries, partners = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    points, real = found.shared(queries, partners)
    for (query, partner), places, there in zip(pairs, points, real, strict=True):
        elsewhere = [sum(point in one for one in sets) > 1 for point in range(10)]
        common = sorted(p for p in sets[query] & sets[partner] if elsewhere[p])
        assert sorted(np.rint(places[there][:, 0] * 10).astype(int)) == common
        for row, column, other_row, other_column in places[there].tolist():
            assert row == other_row
            assert column * 11 - row * 10 == pytest.approx(query / 10, abs=1e-4)
            assert other_column * 11 - row * 10 == pytest.approx(partner / 10, abs=1e-4)


def test_of_many_points_so_many_are_drawn_and_others_the_next_time():
    table = [(image, point, point / 10, 1.0) for image in range(3) for point in range(80)]
    found = points_of(table, range(3))
    draw = np.random.default_rng(0)
    first, real = found.shared(np.array([0, 1]), np.array([1, 2]), 20, draw)
    assert real.shape == (2, 20)
    assert real.all()
    assert all(len(set(places[:, 1].tolist())) == 20 for places in first)
    second, _ = found.shared(np.array([0, 1]), np.array([1, 2]), 20, draw)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("resize", "size", "share"),
    [
        ("squash", (20, 40), (1, 1)),
        ("crop", (20, 40), (1, 0.5)),
        ("pad", (20, 40), (2, 1)),
        ("crop", (30, 10), (1 / 3, 1)),
    ],
)
def test_how_much_of_a_photo_is_seen(resize, size, share):
    preprocessing = Preprocessing(size=(8, 8), resize=resize)
    assert seen_share(np.array([size]), preprocessing)[0] == pytest.approx(share)


def test_points_beyond_the_crop_are_gone():
    crop = Preprocessing(size=(8, 8), resize="crop")
    table = [(image, point, x, 10.0) for image in (1, 2) for point, x in enumerate((5.0, 12.0, 20.0, 35.0))]
    found = points_of(table, [1, 2], size=(20, 40), preprocessing=crop)
    assert found.points.tolist() == [1, 2] * 2
    assert found.places[0].tolist() == pytest.approx([0.5, 0.1])


def graph(edges, count):
    rows = [
        sorted({b for a, b in edges if a == row} | {a for a, b in edges if b == row}) for row in range(count)
    ]
    indices = np.array([one for row in rows for one in row], np.int32)
    return Neighbours(np.cumsum([0, *map(len, rows)]), indices, np.full(len(indices), 10, np.int32))


def test_every_photo_is_a_query_once_and_its_partner_a_neighbour_never_itself():
    order = PairOrder(graph([(0, 1), (1, 2), (3, 4)], 7), seed=3)
    met = {row: set() for row in range(7)}
    for epoch in range(60):
        order.set_epoch(epoch)
        rows = order().rows.reshape(-1, 2)
        assert sorted(rows[:, 0]) == list(range(7))
        for query, partner in rows.tolist():
            met[query].add(partner)
    assert met[1] == {0, 2}
    assert met[3] == {4}
    assert met[5] == {0, 1, 2, 3, 4, 6}, "no photo shares its points: any other is drawn"


def test_the_order_follows_from_seed_and_epoch():
    edges = [(row, row + 1) for row in range(30)]
    orders = [PairOrder(graph(edges, 31), seed=seed) for seed in (1, 1, 2)]
    for order in orders:
        order.set_epoch(4)
    first, same, other = (order().rows.tolist() for order in orders)
    assert first == same != other
    fixed = PairOrder(graph(edges, 31), seed=1, fixed=True)
    epochs = []
    for epoch in range(3):
        fixed.set_epoch(epoch)
        epochs.append(fixed().rows.tolist())
    assert epochs[0] == epochs[1] == epochs[2]
    assert epochs[0][::2] == list(range(31))


@pytest.mark.parametrize("count", [3, 8])
def test_devices_take_whole_pairs(count, tmp_path):
    import cv2

    paths = [tmp_path / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((4, 4, 3), number, np.uint8))
    photos = Photos(paths, np.arange(count))
    seen = []
    for rank in range(2):
        order = PairOrder(graph([(0, 1)], count), seed=0, fixed=True)
        loader = Loader(
            photos,
            Preprocessing(size=(4, 4), resize="squash"),
            cache_mb=1,
            batch_size=12,
            seed=0,
            shuffle=False,
            order=order,
            rank=rank,
            world=2,
            group=2,
        )
        for batch in loader:
            assert len(batch.targets) % 2 == 0
            known = batch.targets[batch.targets >= 0].reshape(-1, 2).tolist()
            seen += [tuple(pair) for pair in known]
    assert sorted(query for query, _ in seen) == list(range(count))
    assert {(0, 1), (1, 0)} <= set(seen)


def test_neighbours_of_a_catalog_join_with_its_points():
    table = [(image, point, 1.0, 1.0) for image in (4, 5) for point in range(12)]
    keypoints = pl.DataFrame(table, schema=SCHEMA, orient="row")
    near = shared_pairs(keypoints, [5, 6, 4])
    found = PhotoPoints.of_catalog(keypoints, [5, 6, 4], np.array([[8, 8]] * 3), SQUARE)
    partner = near.of(0)
    assert partner.tolist() == [2]
    assert found.shared(np.array([0]), partner.astype(np.int64))[1].sum() == 12

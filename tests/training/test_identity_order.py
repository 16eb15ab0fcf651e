import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError
from perisphere.training.identity_order import IdentityOrder

SIZES = [9, 1, 4, 6, 2, 5, 3, 8]  # photos of each identity


def order(sizes=SIZES, **options) -> IdentityOrder:
    targets = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    return IdentityOrder(targets, **{"identities": 3, "instances": 4, "resample": False, "seed": 1} | options)


def groups(made: IdentityOrder):
    """Rows and real flags of each identity drawn, ``[drawn, K]``."""
    places = made()
    return places.rows.reshape(-1, made.instances), places.real.reshape(-1, made.instances)


@pytest.mark.parametrize("epoch", range(6))
def test_a_batch_holds_different_identities_with_their_places_side_by_side(epoch):
    made = order()
    made.set_epoch(epoch)
    rows, _ = groups(made)
    assert made.count == rows.size
    identities = made.targets[rows]
    assert (identities == identities[:, :1]).all()
    for batch in identities[:, 0].reshape(-1, 3):
        assert len(set(batch)) == 3


def test_an_identity_is_drawn_once_for_each_whole_or_begun_k_photos_and_never_for_a_last_one():
    # ceil(n / 4), and one photo less where a single one would be left
    np.testing.assert_array_equal(order().times, [2, 0, 1, 2, 1, 1, 1, 2])


@pytest.mark.parametrize("epoch", range(6))
def test_drawing_stops_when_too_few_identities_are_left(epoch):
    made = order()
    made.set_epoch(epoch)
    drawn = np.bincount(made.drawn.ravel(), minlength=len(SIZES))
    assert (drawn <= made.times).all()
    assert (made.times > drawn).sum() < 3


@pytest.mark.parametrize("epoch", range(6))
def test_empty_places_are_marked_and_photos_used_once(epoch):
    made = order()
    made.set_epoch(epoch)
    rows, real = groups(made)
    assert len(set(rows[real])) == real.sum(), "no photo twice"
    seen = dict.fromkeys(range(len(SIZES)), 0)
    for identity, flags in zip(made.targets[rows[:, 0]], real, strict=True):
        left = min(SIZES[identity] - seen[identity], 4)
        assert flags.tolist() == [True] * left + [False] * (4 - left)
        assert left > 1
        seen[identity] += 4


def test_resampling_repeats_the_photos_that_are_left():
    made = order(resample=True)
    again = order(resample=False)
    repeated = 0
    for epoch in range(6):
        made.set_epoch(epoch)
        again.set_epoch(epoch)
        (rows, real), (same, own) = groups(made), groups(again)
        assert real.all()
        np.testing.assert_array_equal(rows[own], same[own])
        for photos, flags in zip(rows, own, strict=True):
            assert set(photos) == set(photos[flags])
            repeated += (~flags).sum()
    assert repeated > 0


def test_the_order_follows_from_seed_and_epoch():
    one, other = order(), order()
    one.set_epoch(3)
    first = one()
    other.set_epoch(7)
    other()
    other.set_epoch(3)
    np.testing.assert_array_equal(other().rows, first.rows)
    one.set_epoch(4)
    assert not np.array_equal(one().rows[:12], first.rows[:12])
    different = order(seed=2)
    different.set_epoch(3)
    assert not np.array_equal(different().rows[:12], first.rows[:12])


def test_the_number_of_batches_may_change_with_the_epoch():
    made, counts = order([8, 8, 8, 2, 2, 2]), set()
    for epoch in range(20):
        made.set_epoch(epoch)
        counts.add(made.count)
    assert counts == {24, 36}


def test_every_photo_of_whole_groups_is_seen_equally_often():
    made, seen = order([9, 4, 4, 4]), np.zeros(21)
    for epoch in range(600):
        made.set_epoch(epoch)
        rows, real = groups(made)
        np.add.at(seen, rows[real], 1)
    of_nine = seen[made.targets == 0]
    assert np.abs(of_nine / of_nine.mean() - 1).max() < 0.2  # which one is left out changes


def test_too_few_identities_are_an_error():
    with pytest.raises(PerisphereError, match=r"2 identities have two photos or more, and a batch needs 3"):
        order([1, 1, 5, 2])


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 11), min_size=4, max_size=12).filter(lambda s: sum(n > 1 for n in s) >= 3),
    instances=st.integers(2, 5),
    epoch=st.integers(0, 5),
)
def test_any_sizes(sizes, instances, epoch):
    made = order(sizes, instances=instances)
    made.set_epoch(epoch)
    rows, real = groups(made)
    assert real[:, :2].all(), "an identity is never alone with itself"
    assert len(set(rows[real])) == real.sum()
    assert (made.targets[rows] == made.drawn.reshape(-1, 1)).all()

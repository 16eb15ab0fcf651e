"""The vectors in memory follow what is added and removed, mostly without a copy."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.index import Index
from perisphere.index.snapshot import FEW, Segment

DIM = 8


def points(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIM), dtype=np.float32)


@pytest.fixture
def index(tmp_path: Path):
    with Index.create(tmp_path / "index", DIM, metric="l2") as made:
        made.add(points(1000))
        yield made


def shares(piece: Segment, whole: Segment) -> bool:
    return np.shares_memory(piece.vectors, whole.buffers[1])


def test_a_removed_row_is_cut_out_without_a_copy_and_the_end_grows_on(index: Index) -> None:
    (whole,) = index._fresh().segments
    index.remove([500, 1, 700])
    pieces = index._fresh().segments
    assert [len(piece) for piece in pieces] == [498, 199, 300]
    index.add(points(5, seed=1))
    grown = index._fresh().segments
    assert [len(piece) for piece in grown] == [498, 199, 305]
    assert all(shares(piece, whole) for piece in (*pieces, *grown))
    np.testing.assert_array_equal(grown[-1].vectors[-5:], points(5, seed=1))
    assert len(whole) == 1000


def test_pieces_are_joined_where_they_become_many(index: Index) -> None:
    kept = points(1000)
    ids = np.arange(1, 1001)
    for step in range(1, 60):
        gone = int(ids[step * 7])
        index.remove([gone])
        kept, ids = kept[ids != gone], ids[ids != gone]
        assert len(index._fresh().segments) <= FEW
        np.testing.assert_array_equal(index._fresh().ids, ids)
        found = index.search(kept[[step, -step]], 1).ids[:, 0]
        np.testing.assert_array_equal(found, ids[[step, -step]])


def test_a_search_that_has_begun_sees_what_it_began_with(index: Index) -> None:
    before = index._fresh()
    index.remove(range(1, 1000))
    assert len(index._fresh()) == 1
    np.testing.assert_array_equal(before.take(np.arange(1000)), points(1000))


@settings(max_examples=60)
@given(st.integers(1, 60), st.lists(st.sets(st.integers(0, 59), max_size=20), max_size=4))
def test_pieces_hold_what_is_left_in_order(count: int, removals: list[set[int]]) -> None:
    ids, vectors = np.arange(count) * 3, points(count)
    pieces, left = [Segment(ids, vectors, (ids, vectors))], set(range(count))
    for places in removals:
        gone = np.array(sorted(3 * place for place in places), np.int64)
        pieces = [part for piece in pieces for part in piece.without(piece.places(gone))]
        left -= places
    assert all(len(piece) for piece in pieces)
    found = np.concatenate([np.empty(0, np.int64), *(piece.ids for piece in pieces)])
    assert found.tolist() == [3 * place for place in sorted(left)]
    for piece in pieces:
        np.testing.assert_array_equal(piece.vectors, vectors[piece.ids // 3])
        assert piece.room == 0

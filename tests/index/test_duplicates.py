"""Near-duplicates against the definition, for any size of block."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.index.duplicates import find_duplicates, near_duplicates


def collection(n: int, seed: int, dim: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Shuffled ids and vectors of any length, a third of them noisy copies of others."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n, dim)).astype(np.float32)
    for copy in range(0, n - 1, 3):
        vectors[copy] = 3 * vectors[random.integers(n)] + random.normal(scale=0.05, size=dim)
    return random.permutation(10 * n)[:n].astype(np.int64), vectors


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a.astype(float) @ b / np.linalg.norm(a.astype(float)) / np.linalg.norm(b.astype(float)))


@given(st.integers(0, 40), st.integers(0, 1000), st.integers(1, 50), st.sampled_from([0.3, 0.9, 0.98]))
@settings(max_examples=60, deadline=None)
def test_pairs_are_those_of_the_definition(n: int, seed: int, block: int, threshold: float) -> None:
    ids, vectors = collection(n, seed)
    found = find_duplicates(ids, vectors, threshold, block=block)
    expected = {
        (min(ids[i], ids[j]), max(ids[i], ids[j])): cosine(vectors[i], vectors[j])
        for i in range(n)
        for j in range(i + 1, n)
    }
    pairs = {(a, b): score for a, b, score in found.pairs()}
    assert len(pairs) == len(found), "each pair once"
    for pair, score in expected.items():
        if abs(score - threshold) > 1e-5:
            assert (pair in pairs) == (score > threshold)
    for pair, score in pairs.items():
        assert score == pytest.approx(expected[pair], abs=1e-5)
    order = [(-score, a, b) for a, b, score in found.pairs()]
    assert order == sorted(order)


@given(st.integers(2, 30), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_groups_are_the_connected_components(n: int, seed: int) -> None:
    ids, vectors = collection(n, seed)
    found = find_duplicates(ids, vectors, 0.9)
    near = {identity: {identity} for identity in {*found.first.tolist(), *found.second.tolist()}}
    for _ in range(n):  # plain closure: union of the neighbours' neighbours
        for a, b, _score in found.pairs():
            near[a] = near[b] = near[a] | near[b]
    expected = {tuple(sorted(group)) for group in near.values()}
    assert [tuple(group) for group in found.groups()] == sorted(
        expected, key=lambda group: (-len(group), group[0])
    )


def test_order_does_not_depend_on_rows_or_blocks() -> None:
    ids, vectors = collection(60, 1)
    vectors = np.sign(vectors)  # products of signs are exact, so ties are ties in every block size
    expected = list(find_duplicates(ids, vectors, 0.7).pairs())
    assert len(expected) > 10
    shuffled = np.random.default_rng(0).permutation(60)
    for block in (1, 7, 64):
        found = find_duplicates(ids[shuffled], vectors[shuffled], 0.7, block=block)
        assert list(found.pairs()) == expected


def test_an_equal_vector_has_cosine_one_and_a_zero_vector_no_duplicate() -> None:
    vectors = np.full((3, 7), 0.1, np.float32)
    vectors[1] *= 1e-3
    vectors[2] = 0
    found = find_duplicates(np.arange(3), vectors, 1.0)
    assert list(found.pairs()) == [(0, 1, 1.0)]
    assert found.groups() == [[0, 1]]


@given(st.integers(1, 40), st.integers(0, 1000), st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_a_new_image_finds_what_the_pairs_would(n: int, seed: int, block: int) -> None:
    ids, vectors = collection(n, seed)
    new = vectors[0] * 2 + np.float32(0.01)
    found, scores = near_duplicates(new, ids, vectors, 0.9, block=block)
    assert list(zip(-scores, found, strict=True)) == sorted(zip(-scores, found, strict=True))
    for row, identity in enumerate(ids):
        if abs(cosine(new, vectors[row]) - 0.9) > 1e-5:
            assert (identity in found) == (cosine(new, vectors[row]) > 0.9)


def test_nothing_in_an_empty_index() -> None:
    empty = find_duplicates(np.empty(0, np.int64), np.empty((0, 4), np.float32))
    assert len(empty) == 0
    assert empty.groups() == []
    assert len(near_duplicates(np.ones(4, np.float32), empty.first, np.empty((0, 4), np.float32))[0]) == 0


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, float("nan")])
def test_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold"):
        find_duplicates(np.arange(2), np.eye(2, dtype=np.float32), threshold)


def test_the_answer_is_bounded() -> None:
    with pytest.raises(PerisphereError, match="Raise the threshold"):
        find_duplicates(np.arange(50), np.ones((50, 3), np.float32), max_pairs=100, block=8)

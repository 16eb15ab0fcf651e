import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.tags import cooccurrence
from perisphere.tags.cooccurrence import correlation, learn_vectors, mutual_information, together
from perisphere.tags.enhancement import cosine_graph, enhance, strongest


def matrix(rows: list[list[int]]) -> sp.csr_array:
    return sp.csr_array(np.array(rows, np.int32))


def random_photos(seed: int, photos: int = 60, tags: int = 14) -> sp.csr_array:
    found = (np.random.default_rng(seed).random((photos, tags)) < 0.25).astype(np.int32)
    found[0] = 1
    return sp.csr_array(found)


def test_pairs_are_counted_in_photos() -> None:
    assert together(matrix([[1, 1, 0], [1, 0, 0], [1, 1, 1]])).toarray().tolist() == [
        [3, 2, 1],
        [2, 2, 1],
        [1, 1, 1],
    ]


def test_information_and_correlation_by_hand() -> None:
    photos = matrix([[1, 1, 0]] * 4 + [[1, 0, 0]] * 2 + [[0, 0, 1]] * 6)
    information = mutual_information(together(photos), 12).toarray()
    assert information[0, 1] == pytest.approx(np.log(12 * 4 / (6 * 4)) * 4 / 5)
    assert information[1, 1] == pytest.approx(np.log(12 / 4) * 4 / 5)
    assert information[0, 2] == 0
    related = correlation(together(photos), 12).toarray()
    assert related[0, 1] == pytest.approx(np.log(2) / np.log(3) * 4 / 5)
    assert related.trace() == 0
    assert correlation(together(photos), 12, least=5).nnz == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999))
def test_correlation_is_symmetric_and_between_0_and_1(seed: int) -> None:
    related = correlation(together(random_photos(seed)), 60)
    assert abs(related - related.T).max() < 1e-12
    assert related.data.min(initial=1) > 0
    assert related.data.max(initial=0) <= 1


def test_tags_of_one_topic_come_near() -> None:
    draw = np.random.default_rng(1)
    topics = draw.integers(0, 3, 600)
    photos = (draw.random((600, 30)) < np.where(np.arange(30) // 10 == topics[:, None], 0.4, 0.02)).astype(
        np.int32
    )
    vectors = learn_vectors(together(sp.csr_array(photos)), 600, 12)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines, same = unit @ unit.T, np.arange(30)[:, None] // 10 == np.arange(30) // 10
    assert vectors.shape == (30, 12)
    assert cosines[same & ~np.eye(30, dtype=bool)].mean() > 0.3 + cosines[~same].mean()


@pytest.mark.parametrize(("tags", "dim", "found"), [(14, 300, 12), (14, 5, 5), (9, 300, 9), (14, 13, 12)])
def test_dimensions_suit_one_to_four_books(tags: int, dim: int, found: int) -> None:
    assert learn_vectors(together(random_photos(0, tags=tags)), 60, dim).shape == (tags, found)


def test_inner_products_are_the_mutual_information() -> None:
    pairs = together(random_photos(3, tags=12))
    information = mutual_information(pairs, 60).toarray()
    values, directions = np.linalg.eigh(information)
    nearest = (directions * np.maximum(values, 0)) @ directions.T
    vectors = learn_vectors(pairs, 60, 12)
    np.testing.assert_allclose(vectors @ vectors.T, nearest, atol=1e-5)


def test_many_tags_give_the_same_products_as_the_exact_way(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(4)
    chances = np.where(np.arange(120) // 12 == draw.integers(0, 10, 900)[:, None], 0.5, 0.01)
    pairs = together(sp.csr_array((draw.random((900, 120)) < chances).astype(np.int32)))
    exact = learn_vectors(pairs, 900, 10)
    monkeypatch.setattr(cooccurrence, "_EXACT", 10)
    for dense in (10, 1_000):
        monkeypatch.setattr(cooccurrence, "_DENSE", dense)
        near = learn_vectors(pairs, 900, 10)
        np.testing.assert_array_equal(near, learn_vectors(pairs, 900, 10))
        difference = np.abs(near @ near.T - exact @ exact.T)
        assert difference.max() < 0.001 * np.abs(exact @ exact.T).max()


def test_weights_keep_the_strongest_and_sum_to_one() -> None:
    graph = sp.csr_array(np.array([[0, 1, 3, 3], [0, 0, 0, 0], [2, 0, 0, 0], [1, 1, 1, 0]], float))
    weights = strongest(graph, 2).toarray()
    np.testing.assert_allclose(weights, [[0, 0, 0.5, 0.5], [0, 0, 0, 0], [1, 0, 0, 0], [0.5, 0.5, 0, 0]])


def test_vectors_move_toward_the_mean_and_lonely_ones_stay() -> None:
    vectors = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    weights = sp.csr_array(np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0]], float))
    np.testing.assert_allclose(enhance(vectors, weights, 0.25), [[0.75, 0.25], [0, 1], [-0.5, 0]])
    np.testing.assert_array_equal(enhance(vectors, weights, 0), vectors)
    np.testing.assert_array_equal(enhance(vectors, weights, 0.5)[2], vectors[2])  # it would end at zero


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.floats(0.01, 1))
def test_a_rotation_of_all_vectors_rotates_the_enhanced_ones(seed: int, strength: float) -> None:
    draw = np.random.default_rng(seed)
    vectors = draw.standard_normal((14, 6)).astype(np.float32)
    rotation = np.linalg.qr(draw.standard_normal((6, 6)))[0].astype(np.float32)
    weights = strongest(correlation(together(random_photos(seed)), 60), 3)
    rotated = enhance(vectors @ rotation, weights, strength)
    np.testing.assert_allclose(rotated, enhance(vectors, weights, strength) @ rotation, atol=1e-4)


def test_a_graph_of_cosines_joins_near_vectors_only() -> None:
    vectors = np.array([[1, 0], [2, 0.1], [0, 1]], np.float32)
    assert cosine_graph(vectors, 0.9).toarray().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]

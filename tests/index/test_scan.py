import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.index import scan as scan_module
from perisphere.index.scan import rounded, scan, sums


def drawn(seed: int, n: int, books: int, words: int, queries: int = 1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    codes = random.integers(0, words, (n, books), dtype=np.uint8)
    return codes, random.standard_normal((queries, books, words)).astype(np.float32)


def truth(codes: np.ndarray, tables: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All scores in float64, sorted by score and place."""
    scores = np.stack(
        [sum(table[book][codes[:, book]] for book in range(len(table))) for table in np.float64(tables)]
    )
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 700),
    books=st.integers(1, 9),
    words=st.sampled_from([1, 2, 5, 256]),
    queries=st.integers(1, 3),
    k=st.integers(1, 800),
)
def test_the_best_codes_come_first_and_ties_by_place(seed, n, books, words, queries, k):
    codes, tables = drawn(seed, n, books, words, queries)
    places, scores = scan(codes, tables, k)
    expected, expected_scores = truth(codes, rounded(tables), k)
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(scores, expected_scores)
    bound = np.abs(tables).max(2).sum(1).max() * books / 2**22
    assert np.abs(expected_scores - truth(codes, tables, k)[1]).max() <= bound


@pytest.mark.parametrize("words", [2, 256])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("queries", [1, 2, 5])
def test_any_number_of_threads_finds_the_same(monkeypatch, words, threads, queries):
    monkeypatch.setattr(scan_module, "PARALLEL", 1)
    monkeypatch.setattr("perisphere.sphere.engine.faiss.omp_get_max_threads", lambda: threads)
    codes, tables = drawn(7, 5001, 2, words, queries)
    found, (places, scores) = scan(codes, tables, 20), truth(codes, rounded(tables), 20)
    np.testing.assert_array_equal(found[0], places)
    np.testing.assert_array_equal(found[1], scores)


def test_threads_of_a_scan_leave_the_setting_of_others_alone(monkeypatch):
    from perisphere.sphere.engine import faiss

    monkeypatch.setattr(scan_module, "PARALLEL", 1)
    before = faiss.omp_get_max_threads()
    scan(*drawn(7, 500, 2, 256, 4), 3)
    assert faiss.omp_get_max_threads() == before


def test_a_thousand_equal_codes_are_found_in_their_order():
    """More of the k-th score than FAISS returns: the first ones come, wherever it looked."""
    codes, tables = drawn(1, 4000, 3, 256)
    codes[500:3000] = codes[77]
    tables[0, :, :] = -np.abs(tables[0])
    tables[0, np.arange(3), codes[77]] = 1
    places, scores = scan(codes, tables, 100)
    assert places[0].tolist() == [77, *range(500, 599)]
    assert set(scores[0].tolist()) == {3.0}


def test_sums_are_exact_in_any_order():
    codes, tables = drawn(3, 2000, 8, 256)
    table = rounded(1e3 * tables)[0]
    backwards = sums(np.ascontiguousarray(codes[:, ::-1]), table[::-1])
    np.testing.assert_array_equal(sums(codes, table), backwards)


@pytest.mark.parametrize(("n", "queries", "k"), [(0, 2, 3), (5, 0, 3), (0, 0, 1)])
def test_nothing_to_find(n, queries, k):
    codes, tables = drawn(0, n, 2, 4, queries)
    places, scores = scan(codes, tables, k)
    assert places.shape == scores.shape == (queries, min(k, n))


def test_a_table_of_zeros_scores_zero():
    codes, _ = drawn(0, 50, 2, 4)
    places, scores = scan(codes, np.zeros((1, 2, 4), np.float32), 4)
    assert (places.tolist(), scores.tolist()) == ([[0, 1, 2, 3]], [[0, 0, 0, 0]])

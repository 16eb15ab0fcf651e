import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.codes import Codebooks
from perisphere.errors import UsageError
from perisphere.search import code_scan
from perisphere.search.code_scan import nearest_codes


def _drawn(seed: int, count: int = 50, books: int = 2):
    rng = np.random.default_rng(seed)
    words = rng.normal(size=(books, 4, 6)).astype(np.float32)
    codes = rng.integers(0, 4, (count, books)).astype(np.uint8)
    return Codebooks(words, "additive"), codes, rng.normal(size=(7, 6)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 60))
def test_ranks_by_inner_products_and_ties_by_row(seed, books, k) -> None:
    codebooks, codes, queries = _drawn(seed, books=books)
    rows, scores = nearest_codes(codebooks, codes, queries, k)
    assert rows.shape == scores.shape == (7, min(k, 50))
    expected = queries @ codebooks.decode(codes).T
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :k], atol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(expected, rows, 1), scores, atol=1e-4)
    same = np.diff(scores, axis=1) == 0
    assert (np.diff(rows, axis=1)[same] > 0).all()


def test_blocks_of_queries_change_nothing(monkeypatch) -> None:
    codebooks, codes, queries = _drawn(0)
    whole = nearest_codes(codebooks, codes, queries, 9)
    monkeypatch.setattr(code_scan, "BLOCK", 3)
    for one, other in zip(whole, nearest_codes(codebooks, codes, queries, 9), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_nothing_to_search() -> None:
    codebooks, codes, queries = _drawn(0)
    assert nearest_codes(codebooks, codes[:0], queries, 3)[0].shape == (7, 0)
    assert nearest_codes(codebooks, codes, queries[:0], 3)[0].shape == (0, 3)
    with pytest.raises(UsageError, match="k is 0"):
        nearest_codes(codebooks, codes, queries, 0)

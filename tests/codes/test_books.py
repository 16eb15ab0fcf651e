import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.codes.assignment import assign
from perisphere.codes.books import start, update
from perisphere.codes.metric import metric_root
from perisphere.errors import PerisphereError, UsageError


def _sums(words, codes):
    return sum(words[book][codes[:, book]] for book in range(len(words)))


def test_the_update_is_that_of_the_reference(shared) -> None:
    cases = json.loads((shared / "golden" / "quantization.json").read_text())["cases"]
    assert cases.keys() == {"a", "b"}
    for case in cases.values():
        features, points = np.array(case["features"]), np.array(case["tag_vectors"])
        words = np.array(case["codebooks"]).reshape(case["books"], case["words"], -1)
        codes = np.array(case["codes"])
        found = update(features, codes, words)
        expected = np.array(case["codebooks_updated"]).reshape(words.shape)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        errors = np.square((features - _sums(found, codes)) @ points.T).sum(axis=1)
        assert errors.mean() == pytest.approx(case["quantization_loss_updated"], rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_no_nearby_words_are_better(seed) -> None:
    rng = np.random.default_rng(seed)
    features, codes = rng.normal(size=(60, 4)), rng.integers(0, 5, (60, 2))
    words = update(features, codes, np.zeros((2, 5, 4)), ridge=1e-9)
    least = np.square(features - _sums(words, codes)).sum()
    moved = words + 0.01 * rng.normal(size=words.shape)
    assert least <= np.square(features - _sums(moved, codes)).sum() + 1e-6


def test_a_metric_cancels_from_the_update() -> None:
    """Against gradient-free normal equations with the metric written out."""
    rng = np.random.default_rng(0)
    features, codes, points = rng.normal(size=(50, 3)), rng.integers(0, 4, (50, 2)), rng.normal(size=(9, 3))
    indicators = np.zeros((50, 8))
    for book in range(2):
        indicators[np.arange(50), 4 * book + codes[:, book]] = 1
    metric = points.T @ points
    left = np.kron(indicators.T @ indicators, metric)
    right = (indicators.T @ features @ metric).ravel()
    expected = np.linalg.lstsq(left, right, rcond=None)[0].reshape(2, 4, 3)
    found = update(features, codes, np.zeros((2, 4, 3)), ridge=1e-9)
    np.testing.assert_allclose(_sums(found, codes), _sums(expected, codes), atol=1e-4)


def test_a_word_that_no_code_names_stays() -> None:
    rng = np.random.default_rng(1)
    words = rng.normal(size=(2, 6, 4)).astype(np.float32)
    codes = rng.integers(0, 5, (80, 2))  # never word 5
    found = update(rng.normal(size=(80, 4)), codes, words)
    np.testing.assert_array_equal(found[:, 5], words[:, 5])
    assert (found[:, :5] != words[:, :5]).any(axis=2).all()


def test_alternating_lowers_the_error_every_time() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(600, 8)).astype(np.float32)
    root = metric_root(rng.normal(size=(20, 8)))
    words, errors = start(features, 2, 16), []
    for _ in range(6):
        codes = assign(features, words, root=root, beam=4)
        words = update(features, codes, words)
        errors.append(np.square((features - _sums(words, codes)) @ root).sum(axis=1).mean())
    assert errors[-1] < 0.95 * errors[0]
    assert all(later <= 1.01 * sooner for sooner, later in itertools.pairwise(errors))


def test_words_start_as_centres_of_slices() -> None:
    rng = np.random.default_rng(3)
    centres = 10 * rng.normal(size=(4, 7))
    features = centres[rng.integers(0, 4, 200)] + 0.01 * rng.normal(size=(200, 7))
    words = start(features, 3, 4, seed=5)
    assert words.shape == (3, 4, 7)
    for book, columns in enumerate(([0, 1, 2], [3, 4], [5, 6])):
        rest = np.delete(np.arange(7), columns)
        assert not words[book][:, rest].any()
        nearest = np.abs(words[book][:, None, columns] - centres[:, columns]).max(axis=2).min(axis=1)
        assert (nearest < 0.05).all()
    np.testing.assert_array_equal(words, start(features, 3, 4, seed=5))
    assert (words != start(features, 3, 4, seed=6)).any()


def test_a_large_set_is_drawn_from_and_the_disk_is_read_in_blocks(tmp_path) -> None:
    rng = np.random.default_rng(4)
    np.save(tmp_path / "features.npy", rng.normal(size=(2000, 4)).astype(np.float16))
    features = np.load(tmp_path / "features.npy", mmap_mode="r")
    words = start(features, 2, 4)
    codes = assign(features, words)
    found = update(features, codes, words)
    np.testing.assert_allclose(found, update(features.astype(np.float64), codes, words), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda rows: start(rows, 0, 4), UsageError, "0 books"),
        (lambda rows: start(rows, 6, 4), UsageError, "1 to 5"),
        (lambda rows: start(rows, 2, 1), UsageError, "1 words"),
        (lambda rows: start(rows, 2, 257), UsageError, "257 words"),
        (lambda rows: start(rows, 2, 21), PerisphereError, "20 vectors for books of 21 words"),
        (lambda rows: start(rows * np.nan, 2, 4), PerisphereError, "NaN"),
        (lambda rows: update(rows, np.zeros((20, 2), int), np.zeros((1, 4, 5))), PerisphereError, "codes"),
        (lambda rows: update(rows, np.zeros((20, 1), int), np.zeros((1, 4, 6))), PerisphereError, "words"),
        (
            lambda rows: update(rows, np.zeros((20, 1), int), np.zeros((1, 4, 5)), ridge=0),
            UsageError,
            "ridge is 0",
        ),
    ],
)
def test_arguments_out_of_range(call, error, said) -> None:
    with pytest.raises(error, match=said):
        call(np.random.default_rng(0).normal(size=(20, 5)))

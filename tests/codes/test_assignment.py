import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.codes import Codebooks
from perisphere.codes.assignment import assign
from perisphere.codes.metric import metric_root
from perisphere.errors import PerisphereError, UsageError

SEEDS = st.integers(0, 10_000)


def _drawn(seed: int, rows: int = 40, books: int = 3, words: int = 8, dim: int = 5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, dim)), rng.normal(size=(books, words, dim)) / 2, rng.normal(size=(11, dim))


def _errors(vectors, words, codes, points=None):
    rest = vectors - sum(words[book][codes[:, book]] for book in range(len(words)))
    return np.square(rest if points is None else rest @ points.T).sum(axis=1)


def _every_code(words):
    return np.array(list(itertools.product(range(words.shape[1]), repeat=len(words))))


def test_codes_and_loss_are_those_of_the_reference(shared) -> None:
    cases = json.loads((shared / "golden" / "quantization.json").read_text())["cases"]
    assert cases.keys() == {"a", "b"}
    for case in cases.values():
        features, points = np.array(case["features"]), np.array(case["tag_vectors"])
        words = np.array(case["codebooks"]).reshape(case["books"], case["words"], -1)
        root = metric_root(points)
        codes = assign(features, words, root=root, orders=case["orders"])
        assert codes.tolist() == case["codes"]
        error = Codebooks(words, "additive", unit=False, metric=root).error(features, codes)
        assert error.mean() == pytest.approx(case["quantization_loss"], rel=1e-6)


def _published(vectors, words, points, orders):
    """The published formulation, plainly: every candidate's error along every tag."""
    codes = np.full((len(vectors), len(words)), -1)
    for book in np.concatenate(orders):
        for row, vector in enumerate(vectors):
            others = [words[other, codes[row, other]] for other in range(len(words)) if other != book]
            kept = [
                word for other, word in zip(np.delete(codes[row], book), others, strict=True) if other >= 0
            ]
            rest = vector - np.sum(kept, axis=0) - words[book]
            codes[row, book] = np.square(rest @ points.T).sum(axis=1).argmin()
    return codes


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 4), st.integers(1, 3))
def test_tables_answer_as_the_published_products_do(seed, books, sweeps) -> None:
    vectors, words, points = _drawn(seed, rows=12, books=books, words=5)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(books) for _ in range(sweeps)]
    expected = _published(vectors, words, points, orders)
    found = assign(vectors, words, root=metric_root(points), sweeps=sweeps, orders=orders)
    errors = _errors(vectors, words, found, points)
    # A rounding tie may fall either way: then the errors agree where the words do not.
    np.testing.assert_allclose(errors, _errors(vectors, words, expected, points), rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_restarts_and_a_beam_never_raise_an_error(seed, books) -> None:
    vectors, words, points = _drawn(seed, books=books)
    root = metric_root(points)
    plain = _errors(vectors, words, assign(vectors, words, root=root, seed=seed), points)
    tolerance = 1e-4 * plain + 1e-4
    before = plain
    for options in ({"restarts": 1}, {"restarts": 4}, {"restarts": 8}):
        found = _errors(vectors, words, assign(vectors, words, root=root, seed=seed, **options), points)
        assert (found <= before + tolerance).all()
        before = found
    beamed = assign(vectors, words, root=root, seed=seed, beam=8)
    assert (_errors(vectors, words, beamed, points) <= plain + tolerance).all()


def test_restarts_and_a_beam_lower_the_mean_error() -> None:
    vectors, words, points = _drawn(0, rows=400, books=4, words=32, dim=12)
    root = metric_root(points)

    def mean(**options):
        return _errors(vectors, words, assign(vectors, words, root=root, **options), points).mean()

    assert mean(restarts=4) < 0.95 * mean()
    assert mean(beam=8) < 0.95 * mean()
    assert mean(beam=8, restarts=4) < mean(beam=8)


@pytest.mark.parametrize("options", [{"beam": 64}, {"beam": 64, "sweeps": 0}])
def test_a_beam_as_wide_as_the_tree_finds_the_best_code_there_is(options) -> None:
    vectors, words, points = _drawn(3)
    every = _every_code(words)
    sums = sum(words[book][every[:, book]] for book in range(3))
    best = np.square((vectors[:, None] - sums) @ points.T).sum(axis=2).min(axis=1)
    codes = assign(vectors, words, root=metric_root(points), **options)
    np.testing.assert_allclose(_errors(vectors, words, codes, points), best, rtol=1e-4)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 50))
def test_a_code_depends_neither_on_the_block_nor_on_the_rows_beside_it(seed, block) -> None:
    vectors, words, _ = _drawn(seed)
    options = {"restarts": 3, "beam": 4, "seed": seed}
    whole = assign(vectors, words, **options)
    # Products of other shapes round differently: a tie within rounding may fall either way.
    parts = assign(vectors, words, block=block, **options)
    alone = assign(vectors[7:8], words, **options)
    np.testing.assert_allclose(_errors(vectors, words, parts), _errors(vectors, words, whole), rtol=1e-4)
    np.testing.assert_allclose(
        _errors(vectors[7:8], words, alone), _errors(vectors[7:8], words, whole[7:8]), rtol=1e-4
    )


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_a_rotation_of_everything_changes_no_code(seed) -> None:
    vectors, words, points = _drawn(seed)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(5, 5)))[0]
    turned = assign(vectors @ rotation, words @ rotation, root=metric_root(points @ rotation), seed=1)
    plain = assign(vectors, words, root=metric_root(points), seed=1)
    np.testing.assert_allclose(
        _errors(vectors, words, turned, points), _errors(vectors, words, plain, points), rtol=1e-3
    )


def test_the_same_seed_gives_the_same_codes_and_another_other_ones() -> None:
    vectors, words, _ = _drawn(0, rows=200, books=4, words=16)
    one, again, other = (assign(vectors, words, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_a_metric_counts_what_tags_see_alone() -> None:
    vectors, words, points = _drawn(0, books=2)
    points[:, 3:] = 0
    hidden = np.concatenate([vectors[:, :3], 100 * vectors[:, 3:]], axis=1)
    root = metric_root(points)
    np.testing.assert_array_equal(assign(vectors, words, root=root), assign(hidden, words, root=root))
    np.testing.assert_allclose(root @ root, points.T @ points, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sweeps": -1}, "sweeps is -1"),
        ({"restarts": -1}, "restarts is -1"),
        ({"beam": -2}, "beam is -2"),
        ({"sweeps": 0}, "neither sweeps nor a beam"),
        ({"block": 0}, "block is 0"),
        ({"orders": [[0, 1, 2]]}, "3 orders of books 0 to 2"),
        ({"sweeps": 1, "orders": [[0, 1, 1]]}, "1 orders of books 0 to 2"),
    ],
)
def test_options_out_of_range(options, said) -> None:
    vectors, words, _ = _drawn(0)
    with pytest.raises(UsageError, match=said):
        assign(vectors, words, **options)


@pytest.mark.parametrize("points", [np.zeros((3, 4)), np.empty((0, 4)), np.full((2, 4), np.nan), np.ones(4)])
def test_points_that_make_no_metric(points) -> None:
    with pytest.raises(PerisphereError, match="make no metric"):
        metric_root(points)

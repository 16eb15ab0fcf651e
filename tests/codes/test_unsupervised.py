import faiss
import numpy as np
import pytest

from perisphere.codes import Codebooks
from perisphere.codes.metric import metric_root
from perisphere.codes.unsupervised import fit, fit_additive
from perisphere.errors import PerisphereError, UsageError

BOOKS, WORDS, DIM = 3, 16, 12


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Unit rows whose directions are correlated, so that a rotation and additive words pay."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1500, 5)) @ rng.normal(size=(5, DIM)) + 0.1 * rng.normal(size=(1500, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(vectors) -> dict[str, Codebooks]:
    methods = ("pq", "opq", "rq", "additive")
    return {method: fit(vectors, method, BOOKS, WORDS, seed=1) for method in methods}


def _error(books: Codebooks, vectors: np.ndarray) -> float:
    return float(books.error(vectors, books.encode(vectors)).mean())


def test_each_is_what_it_says(fitted, vectors) -> None:
    kinds = {"pq": "product", "opq": "product", "rq": "residual", "additive": "additive"}
    assert {method: books.kind for method, books in fitted.items()} == kinds
    for books in fitted.values():
        assert books.words.shape == (BOOKS, WORDS, DIM)
        assert books.unit
        assert books.metric is None
        assert books.about["vectors"] == len(vectors)


def test_words_of_two_product_books_are_orthogonal(fitted) -> None:
    for method in ("pq", "opq"):
        words = fitted[method].words
        for one in range(BOOKS):
            for other in range(one):
                assert np.abs(words[one] @ words[other].T).max() < 1e-5


def test_more_freedom_leaves_a_smaller_error(fitted, vectors) -> None:
    errors = {method: _error(books, vectors) for method, books in fitted.items()}
    assert errors["opq"] < 0.9 * errors["pq"]
    assert errors["additive"] < errors["rq"] < errors["pq"]


def test_product_errors_are_faiss_s(fitted, vectors) -> None:
    machine = faiss.ProductQuantizer(DIM, BOOKS, 4)
    machine.cp.min_points_per_centroid = 1
    machine.train(vectors)
    theirs = np.square(vectors - machine.decode(machine.compute_codes(vectors))).sum(axis=1).mean()
    assert _error(fitted["pq"], vectors) == pytest.approx(theirs, rel=0.05)


def test_residual_codes_are_as_good_as_faiss_s(fitted, vectors) -> None:
    machine = faiss.ResidualQuantizer(DIM, BOOKS, 4)
    machine.cp.min_points_per_centroid, machine.cp.seed = 1, 1
    machine.train(vectors)
    theirs = np.square(vectors - machine.decode(machine.compute_codes(vectors))).sum(axis=1).mean()
    assert _error(fitted["rq"], vectors) <= 1.02 * theirs


def test_additive_words_are_as_good_as_faiss_s_local_search(fitted, vectors) -> None:
    machine = faiss.LocalSearchQuantizer(DIM, BOOKS, 4)
    machine.train(vectors)
    theirs = np.square(vectors - machine.decode(machine.compute_codes(vectors))).sum(axis=1).mean()
    assert _error(fitted["additive"], vectors) <= 1.02 * theirs


def test_the_same_seed_gives_the_same_words(fitted, vectors) -> None:
    for method, books in fitted.items():
        again = fit(vectors, method, BOOKS, WORDS, seed=1)  # type: ignore[arg-type]
        np.testing.assert_allclose(again.words, books.words, atol=1e-6)


def test_additive_words_go_on_from_given_ones_in_a_metric(fitted, vectors) -> None:
    root = metric_root(np.random.default_rng(1).normal(size=(4, DIM)))
    begin = fitted["pq"].words
    books = fit_additive(vectors, begin=begin, root=root, rounds=2, unit=False)
    assert (books.kind, books.unit) == ("additive", False)
    np.testing.assert_array_equal(books.metric, root)
    started = Codebooks(begin, "additive", False, root)
    assert _error(books, vectors) < 0.9 * _error(started, vectors)


@pytest.mark.parametrize("method", ["pq", "opq", "rq", "additive"])
def test_a_seed_may_be_as_large_as_it_likes(vectors, method) -> None:
    books = fit(vectors, method, 2, 4, seed=1 << 40)
    np.testing.assert_allclose(fit(vectors, method, 2, 4, seed=1 << 40).words, books.words, atol=1e-6)


@pytest.mark.parametrize("method", ["pq", "opq", "rq", "additive"])
@pytest.mark.parametrize("count", [16, 100, 127])
def test_fewer_vectors_than_numbers(method, count) -> None:
    rows = np.random.default_rng(0).normal(size=(count, 128)).astype(np.float32)
    books = fit(rows, method, 2, 16)
    assert _error(books, rows) < 0.9 * np.square(rows).sum(axis=1).mean()


@pytest.mark.parametrize("method", ["pq", "rq", "additive"])
def test_books_that_do_not_divide_the_dimension(vectors, method) -> None:
    books = fit(vectors[:, :11], method, 4, 8)
    assert books.words.shape == (4, 8, 11)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda rows: fit(rows, "lsh", 2), UsageError, "'lsh'"),
        (lambda rows: fit(rows, "opq", 5, 16), UsageError, "5 equal slices"),
        (lambda rows: fit(rows, "opq", 0, 16), UsageError, "0 equal slices"),
        (lambda rows: fit(rows, "rq", 0, 16), UsageError, "0 books"),
        (lambda rows: fit(rows, "pq", 0, 16), UsageError, "0 books"),
        (lambda rows: fit(rows, "rq", 2, 12), UsageError, "power of two"),
        (lambda rows: fit(rows[:200], "pq", 2), PerisphereError, "200 vectors for books of 256 words"),
        (lambda rows: fit(rows, "additive", 2, 300), UsageError, "300 words"),
        (lambda rows: fit_additive(rows), UsageError, "neither books nor words"),
        (lambda rows: fit_additive(rows, 2, 16, rounds=0), UsageError, "rounds is 0"),
        (lambda rows: fit_additive(rows, 2, 16, root=np.eye(3)), PerisphereError, "tags of 3 numbers"),
        (lambda rows: fit_additive(rows, begin=np.ones((1, 4, 9))), PerisphereError, "begin with of 9"),
        (lambda rows: fit(rows * np.nan, "rq", 2, 16), PerisphereError, "NaN"),
    ],
)
def test_arguments_out_of_range(vectors, call, error, said) -> None:
    with pytest.raises(error, match=said):
        call(vectors)

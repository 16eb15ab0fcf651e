import json

import numpy as np
import pytest
from drawn import picture
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.encoder import Encoder, Preprocessing, Scales, Whitening, whitening
from perisphere.encoder.whitening import cholesky, fit_learned, fit_pca, label_pairs
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden" / "landmarks.json").read_text())["cases"]


def _clouds(count: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, dim)) * np.linspace(3, 0.5, dim) + rng.normal(size=dim)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("block", [whitening.BLOCK, 6 * 7])
@pytest.mark.parametrize("kind", ["pca", "learned"])
def test_fits_are_those_of_the_reference(golden, monkeypatch, kind: str, block: int) -> None:
    monkeypatch.setattr(whitening, "BLOCK", block)
    (case,) = golden["whitening"]
    given_, expected = case["inputs"], case["outputs"][kind]
    vectors, others = (np.array(given_[name]).T for name in ("vectors_d_by_n", "apply_to_d_by_m"))
    pairs = np.array(given_["query_indices"]), np.array(given_["positive_indices"])
    fitted = fit_pca(vectors) if kind == "pca" else fit_learned(vectors, *pairs)
    np.testing.assert_allclose(fitted.mean, expected["mean"], atol=1e-8)
    reference = np.array(expected["projection"])
    signs = np.sign((fitted.projection * reference).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(signs * fitted.projection, reference, atol=1e-8)
    for dim, applied in expected["applied"].items():
        reduced = fitted if dim == "all" else fitted.reduced(int(dim))
        rows = reduced(others)
        np.testing.assert_allclose(rows @ rows.T, expected["gram_of_applied"][dim], atol=1e-8)
        np.testing.assert_allclose((rows * signs[: rows.shape[1], 0]).T, applied, atol=1e-8)
    shorter = fit_pca(vectors, 4) if kind == "pca" else fit_learned(vectors, *pairs, 4)
    np.testing.assert_allclose(shorter.projection, fitted.reduced(4).projection, atol=1e-12)


def test_factors_and_what_is_added_to_the_diagonal_are_those_of_the_reference(golden) -> None:
    for case in golden["cholesky"]:
        factor, tried = cholesky(np.array(case["inputs"]["matrix"]))
        np.testing.assert_allclose(factor, case["outputs"]["lower_factor"], atol=1e-8)
        np.testing.assert_allclose(tried, case["outputs"]["diagonal_additions_tried"], rtol=1e-12)


def test_additions_grow_until_one_is_enough() -> None:
    factor, tried = cholesky(np.diag([1.0, -1e-8]))
    np.testing.assert_allclose(tried, [1e-10, 1e-9, 1e-8, 1e-7], rtol=1e-12)
    np.testing.assert_allclose(factor @ factor.T, np.diag([1 + 1e-7, 9e-8]), atol=1e-15)


def test_few_long_vectors_are_whitened_by_their_products_and_alike() -> None:
    vectors = _clouds(30, 40)
    fitted = fit_pca(vectors, 20)
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    values, directions = np.linalg.eigh(centred.T @ centred / 30)
    expected = (directions[:, ::-1][:, :20] / np.sqrt(values[::-1][:20])).T
    gram = fitted.projection.T @ fitted.projection
    np.testing.assert_allclose(gram, expected.T @ expected, rtol=1e-5, atol=1e-5)
    assert fit_pca(vectors).dim == 29


def test_pca_makes_directions_uncorrelated_and_alike() -> None:
    vectors = _clouds(400, 12)
    fitted = fit_pca(vectors, 7)
    rows = (vectors - fitted.mean) @ fitted.projection.T
    np.testing.assert_allclose(rows.T @ rows / 400, np.eye(7), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(2, 20),
    dim=st.integers(1, 12),
    seed=st.integers(0, 999),
    constant=st.booleans(),
    doubled=st.booleans(),
)
def test_every_fit_is_finite_and_gives_rows_of_length_one_but_for_epsilon(
    count: int, dim: int, seed: int, constant: bool, doubled: bool
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    if constant:
        vectors = np.concatenate([vectors, np.full((count, 1), 0.25, np.float32)], axis=1)
    if doubled:
        vectors = np.concatenate([vectors, vectors])
    half = len(vectors) // 2
    learned = fit_learned(vectors, np.arange(half), np.arange(half, 2 * half))
    for fitted in (fit_pca(vectors), learned):
        rows = fitted(vectors)
        assert fitted.dim <= min(dim, count - 1)
        assert np.isfinite(rows).all()
        raw = np.linalg.norm((vectors - fitted.mean) @ fitted.projection.T, axis=1)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), raw / (raw + 1e-6), atol=1e-9)


def test_more_directions_than_there_are_is_an_error_that_says_how_many() -> None:
    with pytest.raises(PerisphereError, match=r"--dim 5: the 5 vectors vary in 4 directions; ask for 1 to 4"):
        fit_pca(_clouds(5, 12), 5)
    with pytest.raises(PerisphereError, match="1 to 4"):
        fit_learned(_clouds(5, 12), np.array([0]), np.array([1]), 5)
    with pytest.raises(PerisphereError, match="all alike"):
        fit_pca(np.ones((3, 4), np.float32))


def test_shrinkage_amplifies_weak_directions_less() -> None:
    vectors = _clouds(300, 8)
    whole, drawn, none = (fit_pca(vectors, shrinkage=share) for share in (0.0, 0.5, 1.0))
    gains = [np.linalg.norm(fit.projection, axis=1) for fit in (whole, drawn, none)]
    ratios = [gain[-1] / gain[0] for gain in gains]
    assert ratios[0] > ratios[1] > ratios[2]
    assert ratios[2] == pytest.approx(1)
    queries, positives = label_pairs(np.arange(300) % 20, 10_000)
    learned = fit_learned(vectors, queries, positives, shrinkage=1.0)
    same = fit_pca(vectors, shrinkage=1.0)  # equal scatter of pairs in all directions leaves a rotation
    np.testing.assert_allclose(
        np.linalg.norm(learned.projection, axis=1) / np.linalg.norm(same.projection, axis=1),
        np.full(8, np.linalg.norm(learned.projection[0]) / np.linalg.norm(same.projection[0])),
        rtol=1e-6,
    )
    with pytest.raises(UsageError, match=r"shrinkage is 1\.5"):
        fit_pca(vectors, shrinkage=1.5)


def test_learning_from_pairs_suppresses_what_differs_within_a_class() -> None:
    """Classes differ along x, photos of one class along y with ten times the variance."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(30), 20)
    places = rng.normal(size=30)[labels]
    vectors = np.stack([places, 10 * rng.normal(size=600), np.ones(600)], axis=1).astype(np.float32)
    direction = fit_learned(vectors, *label_pairs(labels, 10**6), 1).projection[0]
    assert abs(direction[0]) > 100 * abs(direction[1])


def test_nan_is_an_error() -> None:
    vectors = _clouds(9, 3)
    vectors[4, 1] = np.nan
    with pytest.raises(PerisphereError, match="NaN"):
        fit_pca(vectors)
    with pytest.raises(PerisphereError, match="NaN"):
        fit_learned(vectors, np.array([4, 1]), np.array([2, 3]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", None, ""]), min_size=2, max_size=30), st.integers(2, 60))
def test_pairs_are_of_one_label_both_ways_and_no_more_than_the_limit(labels: list, limit: int) -> None:
    array = np.array(labels, dtype=object)
    total = sum(n * (n - 1) for n in (labels.count(name) for name in "abc"))
    if not total:
        with pytest.raises(PerisphereError, match="no two images have one label"):
            label_pairs(array, limit)
        return
    queries, positives = label_pairs(array, limit)
    assert 0 < len(queries) <= limit
    assert (queries != positives).all()
    assert all(labels[q] == labels[p] and labels[q] for q, p in zip(queries, positives, strict=True))
    if total <= limit:
        assert len(set(zip(queries, positives, strict=True))) == total


def test_drawn_pairs_are_seeded_and_even() -> None:
    labels = np.array([0] * 3 + [1] * 30)
    draws = [label_pairs(labels, 800, seed=seed) for seed in (0, 0, 1)]
    assert all(np.array_equal(*same) for same in zip(draws[0], draws[1], strict=True))
    assert not np.array_equal(draws[0][0], draws[2][0])
    assert 1 <= np.isin(draws[0][0], [0, 1, 2]).sum() <= 25  # 6 of 876 pairs


def _encoder(fitted: Whitening | None = None, **more) -> Encoder:
    net = build(NetSpec(backbone="cifar_resnet20"), seed=3)
    return Encoder(net, Preprocessing(size=(32, 32), resize="squash"), name="w", whitening=fitted, **more)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [picture(seed) for seed in range(30)]


def test_an_encoder_whitens_and_keeps_it(pictures, tmp_path) -> None:
    plain = _encoder()
    fitted = fit_pca(plain.encode(pictures), 9)
    encoder = _encoder(fitted)
    assert encoder.dim == 9
    vectors = encoder.encode(pictures)
    expected = fitted(plain.encode(pictures))
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors.dtype == np.float32
    assert encoder.encode([]).shape == (0, 9)
    encoder.save(tmp_path / "e")
    loaded = Encoder.load(tmp_path / "e")
    assert loaded.identity == encoder.identity != plain.identity
    np.testing.assert_array_equal(loaded.encode(pictures), vectors)
    assert json.loads((tmp_path / "e" / "encoder.json").read_text())["dim"] == 9
    assert _encoder(fitted.reduced(8)).identity != encoder.identity


def test_a_zero_embedding_is_not_given_a_direction_by_whitening() -> None:
    net = build(NetSpec(backbone="pixels", input_size=8))
    preprocessing = Preprocessing(size=(8, 8), resize="squash", mean=(0, 0, 0), std=(1, 1, 1))
    plain = Encoder(net, preprocessing, name="pixels")
    fitted = fit_pca(plain.encode([picture(seed) for seed in range(20)]))
    encoder = Encoder(net, preprocessing, name="pixels", whitening=fitted)
    with pytest.raises(PerisphereError, match="image 0: its embedding is zero"):
        encoder.encode([np.zeros((8, 8, 3), np.uint8)])


def test_whitening_and_scales_go_together(pictures) -> None:
    scales = Scales(factors=(1, 0.5))
    fitted = fit_pca(_encoder(scales=scales).encode(pictures), 5)
    expected = fitted(_encoder(scales=scales).encode(pictures))
    np.testing.assert_allclose(_encoder(fitted, scales=scales).encode(pictures), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("mean", "projection", "message"),
    [
        (np.zeros(3), np.zeros((2, 4)), "do not|are needed"),
        (np.zeros((3, 1)), np.zeros((2, 3)), "are needed"),
        (np.zeros(3), np.zeros((0, 3)), "are needed"),
        (np.array([0, np.nan, 0]), np.ones((2, 3)), "NaN"),
        (np.zeros(3), np.full((2, 3), np.inf), "infinite"),
    ],
)
def test_arrays_that_are_no_whitening_are_refused(mean, projection, message) -> None:
    with pytest.raises(PerisphereError, match=message):
        Whitening(mean, projection)


def test_a_whitening_of_other_vectors_is_refused() -> None:
    with pytest.raises(PerisphereError, match="3 numbers does not fit a network that gives 64"):
        _encoder(Whitening(np.zeros(3), np.ones((2, 3))))

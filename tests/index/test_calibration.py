"""Calibration: monotone, equal to the counted precision, and invertible."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.index.calibration import (
    Calibration,
    calibrate_with_copies,
    calibrate_with_labels,
    fit,
    isotonic,
)

pairs = st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=2, max_size=40)


def clusters(classes: int, each: int, noise: float, seed: int = 0) -> tuple[np.ndarray, list[str | None]]:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, 16))
    vectors = np.repeat(centres, each, axis=0) + random.normal(scale=noise, size=(classes * each, 16))
    return vectors.astype(np.float32), [f"class {row // each}" for row in range(classes * each)]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 5)), min_size=1, max_size=25))
@settings(max_examples=100, deadline=None)
def test_isotonic_is_the_minimax_of_means(points: list[tuple[float, float]]) -> None:
    """The closed form of Barlow et al. (1972): max over starts, min over ends, of the mean between."""
    values, weights = (np.array(column) for column in zip(*points, strict=True))
    n = len(values)
    expected = [
        max(
            min(np.average(values[i : j + 1], weights=weights[i : j + 1]) for j in range(k, n))
            for i in range(k + 1)
        )
        for k in range(n)
    ]
    np.testing.assert_allclose(isotonic(values, weights), expected, atol=1e-9)


@given(pairs)
@settings(max_examples=150, deadline=None)
def test_precision_is_monotone_a_share_and_inverted_by_threshold(points: list[tuple[int, bool]]) -> None:
    scores, relevant = (np.array(column) for column in zip(*points, strict=True))
    assume(0 < relevant.sum() < len(relevant))
    calibration = fit(scores / 20, relevant)
    found = calibration.precision(np.linspace(-2, 2, 101))
    assert (np.diff(found) >= 0).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert calibration.precision(-1.5) == pytest.approx(relevant.mean()), "everything returned: the base rate"
    for wished in np.linspace(found[0], found[-1], 7):
        threshold = calibration.threshold(min(wished, found[-1]))
        assert calibration.precision(threshold) >= wished - 1e-9
        assert (calibration.precision(np.array([threshold - 1e-6])) <= wished + 1e-9).all()


def test_precision_is_the_counted_one_where_the_scores_are_in_order() -> None:
    random = np.random.default_rng(3)
    scores = random.uniform(-1, 1, 20_000)
    relevant = random.uniform(size=20_000) < np.clip(scores, 0, 1) ** 2  # chance rises with the score
    calibration = fit(scores, relevant)
    assert len(calibration.scores) <= 300
    for s in (-0.5, 0, 0.3, 0.6, 0.9):
        assert calibration.precision(s) == pytest.approx(relevant[scores >= s].mean(), abs=0.02)


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_labels_tell_the_precision_of_a_cut_result_list(metric: str) -> None:
    vectors, labels = clusters(12, 20, 0.6)
    if metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    calibration = calibrate_with_labels(vectors, labels, metric=metric)
    difference = vectors[:, None] - vectors
    scores = {
        "cosine": lambda: vectors @ vectors.T,
        "l2": lambda: -np.linalg.norm(difference, axis=2),
        "l1": lambda: -np.abs(difference).sum(2),
    }[metric]()
    names = np.array(labels)
    same, other = names[:, None] == names, ~np.eye(len(names), dtype=bool)
    assert (calibration.metric, calibration.source) == (metric, "labels")
    assert calibration.pairs == 240 * 239
    assert calibration.relevant == 240 * 19
    for s in np.quantile(scores[other], [0.1, 0.5, 0.9, 0.95, 0.99]):
        counted = same[other & (scores >= s)].mean()
        assert calibration.precision(s) == pytest.approx(counted, abs=0.02)


def test_images_without_a_label_are_left_out() -> None:
    vectors, labels = clusters(4, 10, 0.2)
    labels[::2] = [None] * 20
    calibration = calibrate_with_labels(vectors, labels)
    assert calibration.pairs == 20 * 19
    assert calibration == calibrate_with_labels(vectors[1::2], labels[1::2])


def test_a_sample_and_a_small_block_tell_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = clusters(10, 30, 0.5)
    whole = calibrate_with_labels(vectors, labels, queries=100, seed=5)
    monkeypatch.setattr("perisphere.index.calibration.BLOCK_BYTES", 4 * 300 * 7)
    assert whole.pairs == 100 * 299
    blocks = calibrate_with_labels(vectors, labels, queries=100, seed=5)
    assert blocks.pairs == whole.pairs
    np.testing.assert_allclose(blocks.precision(whole.scores), whole.precisions, atol=0.01)


def test_copies_stand_in_for_labels(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    paths = []
    for number in range(12):
        coarse = PIL.Image.fromarray(random.integers(0, 256, (3, 3, 3), dtype=np.uint8))
        paths.append(tmp_path / f"{number}.png")
        coarse.resize((48, 40), PIL.Image.Resampling.BICUBIC).save(paths[-1])

    def encode(pictures: list[PIL.Image.Image]) -> np.ndarray:
        small = [np.asarray(picture.resize((4, 4)), np.float32).ravel() for picture in pictures]
        return np.stack(small) - 128

    vectors = encode([PIL.Image.open(path) for path in paths])
    calibration = calibrate_with_copies(paths, vectors, encode, copies=8)
    assert (calibration.source, calibration.pairs, calibration.relevant) == ("copies", 8 * 12, 8)
    assert calibration == calibrate_with_copies(paths, vectors, encode, copies=8)
    assert calibration.precision(0.99) > 0.9
    assert calibration.precision(-1) == pytest.approx(1 / 12)


def test_json_keeps_it() -> None:
    vectors, labels = clusters(5, 8, 0.5)
    calibration = calibrate_with_labels(vectors, labels, metric="l2")
    assert Calibration.from_json(calibration.to_json()) == calibration
    for damaged in ("", "{}", "[1]", calibration.to_json().replace('"scores": [', '"scores": [1e9, ')):
        with pytest.raises(PerisphereError, match="again"):
            Calibration.from_json(damaged)


def test_what_cannot_be_calibrated_says_why() -> None:
    vectors, _ = clusters(3, 4, 0.1)
    with pytest.raises(PerisphereError, match="all pairs belong"):
        calibrate_with_labels(vectors, ["one"] * 12)
    with pytest.raises(PerisphereError, match="no pair belongs"):
        calibrate_with_labels(vectors, [str(row) for row in range(12)])
    with pytest.raises(PerisphereError, match="no pairs"):
        calibrate_with_labels(vectors, [None] * 12)
    with pytest.raises(PerisphereError, match="not finite"):
        fit([0.1, float("nan")], [True, False])
    calibration = fit([0.1, 0.2, 0.9, 0.9], [False, True, True, False])
    with pytest.raises(PerisphereError, match=r"Ask for 0\.667"):
        calibration.threshold(0.99)
    with pytest.raises(UsageError, match="0 to 1"):
        calibration.threshold(99)

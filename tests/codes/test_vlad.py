import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from perisphere.codes import VladNet, VladSpec, aggregate, fit_vocabulary, sift
from perisphere.codes.sift import rooted
from perisphere.codes.vlad import assign
from perisphere.errors import PerisphereError


def _picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Blobs of many sizes, which SIFT finds."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128, np.uint8)
    for _ in range(40):
        y, x, r = rng.integers(0, height), rng.integers(0, width), rng.integers(2, 12)
        image[max(y - r, 0) : y + r, max(x - r, 0) : x + r] = rng.integers(0, 256, 3)
    return image


def test_vectors_are_those_of_the_reference(shared) -> None:
    cases = json.loads((shared / "golden" / "landmarks.json").read_text())["cases"]["vlad"]
    assert len(cases) == 2
    for case in cases:
        vocabulary, descriptors = (np.array(case["inputs"][name]) for name in ("centroids", "descriptors"))
        expected = case["outputs"]
        assert assign(descriptors, vocabulary).tolist() == expected["assignment"]
        vector = aggregate(descriptors, vocabulary)
        np.testing.assert_allclose(vector, expected["vlad"], atol=1e-8)
        parts = vector.reshape(len(vocabulary), -1)
        assert np.flatnonzero(~parts.any(axis=1)).tolist() == expected["empty_clusters"]


def test_intra_normalisation_and_power_by_hand() -> None:
    vocabulary = np.array([[0.0, 0.0], [10.0, 10.0], [90.0, 0.0]])
    descriptors = np.array([[3.0, 0.0], [0.0, 4.0], [10.0, 11.0]])  # sums (3, 4), (0, 1), nothing
    plain = aggregate(descriptors, vocabulary, power=1.0)
    np.testing.assert_allclose(plain, np.array([3, 4, 0, 1, 0, 0]) / np.sqrt(26))
    intra = aggregate(descriptors, vocabulary, intra=True, power=1.0)
    np.testing.assert_allclose(intra, np.array([0.6, 0.8, 0, 1, 0, 0]) / np.sqrt(2))
    signed = aggregate(-descriptors, -vocabulary, power=0.5)
    np.testing.assert_allclose(signed, -np.sqrt([3, 4, 0, 1, 0, 0]) / np.sqrt(8))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 30), st.integers(1, 5), st.integers(0, 99), st.booleans(), st.sampled_from([0.2, 0.5, 1.0])
)
def test_a_vector_has_length_one_or_is_zero_and_knows_no_order(
    count: int, words: int, seed: int, intra: bool, power: float
) -> None:
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(count, 4))
    vocabulary = rng.normal(size=(words, 4))
    vector = aggregate(descriptors, vocabulary, intra=intra, power=power)
    assert vector.shape == (4 * words,)
    assert np.linalg.norm(vector) == pytest.approx(1 if count else 0)
    other = aggregate(descriptors[::-1], vocabulary, intra=intra, power=power)
    np.testing.assert_allclose(vector, other, atol=1e-6)


def test_descriptors_on_their_words_give_zero() -> None:
    vocabulary = np.eye(3)
    assert not aggregate(vocabulary[[0, 2, 2]], vocabulary, intra=True).any()


def test_sift_finds_the_same_features_of_the_same_picture_and_respects_the_limit() -> None:
    few, many = sift(_picture(0), keypoints=10), sift(_picture(0))
    assert many.shape[1] == 128
    assert 10 <= len(few) <= 12 < len(many)
    assert few.dtype == many.dtype == np.float32
    np.testing.assert_array_equal(many, sift(_picture(0)))


def test_a_picture_without_key_points_has_none() -> None:
    assert sift(np.full((50, 60, 3), 7, np.uint8)).shape == (0, 128)
    assert sift(np.zeros((1, 1, 3), np.uint8)).shape == (0, 128)


def test_root_sift_is_the_square_root_of_shares() -> None:
    plain, root = sift(_picture(1), root=False), sift(_picture(1))
    assert plain.max() > 10  # OpenCV's descriptors are whole numbers up to 255
    np.testing.assert_allclose(root**2 * plain.sum(1, keepdims=True), plain, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(root, axis=1), 1, atol=1e-6)
    assert not rooted(np.zeros((1, 128), np.float32)).any()


def test_a_vocabulary_is_seeded_and_bounded_and_finds_the_clusters() -> None:
    rng = np.random.default_rng(0)
    centres = 20 * rng.normal(size=(5, 8))
    parts = [
        (centres[rng.integers(5, size=200)] + rng.normal(size=(200, 8))).astype(np.float32) for _ in range(20)
    ]
    read = []

    def counted(limit: int):
        for number, part in enumerate(parts[:limit]):
            read.append(number)
            yield part

    words, again, other = (
        fit_vocabulary(counted(20), 5, images=20, sample=500, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(words, again)
    assert not np.array_equal(words, other)
    assert words.dtype == np.float32
    distances = np.linalg.norm(words[:, None] - centres[None], axis=2).min(axis=0)
    assert distances.max() < 1
    read.clear()
    fit_vocabulary(counted(20), 5, images=4, sample=500)
    assert read == [0, 1, 2, 3]  # 125 of each fill the sample


def test_too_few_descriptors_are_an_error_that_says_how_many() -> None:
    with pytest.raises(PerisphereError, match="3 key points for 4 words"):
        fit_vocabulary([np.zeros((3, 128), np.float32)], 4, images=1)
    with pytest.raises(PerisphereError, match="0 key points"):
        fit_vocabulary([np.zeros((0, 128), np.float32)], 4, images=1)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_net_describes_pictures_of_any_size_in_order(threads: int) -> None:
    net = VladNet(VladSpec(words=4, keypoints=50))
    net.vocabulary.copy_(torch.from_numpy(sift(_picture(9))[:4]))
    pictures = [_picture(1), np.zeros((40, 30, 3), np.uint8), _picture(2, 64, 200)]
    rows = net(pictures, threads=threads)
    assert rows.shape == (3, net.dim) == (3, 512)
    assert not rows[1].any()
    for row in (0, 2):
        found = sift(pictures[row], keypoints=50)
        expected = aggregate(found, net.vocabulary.numpy(), intra=True, power=0.5)
        np.testing.assert_allclose(rows[row].numpy(), expected, atol=1e-6)
    assert net([]).shape == (0, 512)


@pytest.mark.parametrize(
    "options", [{"words": 0}, {"keypoints": -1}, {"power": 0}, {"power": 1.5}, {"size": 3}, {"kind": "bow"}]
)
def test_an_invalid_option_is_named(options: dict) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        VladSpec(**options)

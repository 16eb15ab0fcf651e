import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.sphere import METRICS, centroids, cosine, kmeans, l1, l2, lengths, normalise, top_k


@st.composite
def clouds(draw, at_least=1):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(at_least, 40)), draw(st.integers(2, 12))
    return rng.standard_normal((n, d)).astype(np.float32)


def rotation(dim, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0].astype(np.float32)


@given(clouds(), st.floats(0.001, 1000))
def test_normalised_rows_have_length_one_whatever_their_scale(cloud, scale):
    unit = normalise(cloud * np.float32(scale))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(lengths(unit), 1, rtol=1e-6)
    np.testing.assert_allclose(unit, normalise(cloud), atol=1e-6)


def test_a_row_of_zeros_stays():
    assert normalise(np.zeros((1, 3))).tolist() == [[0, 0, 0]]


@given(clouds(), clouds())
def test_distances_equal_plain_ones(a, b):
    b = np.resize(b, (len(b), a.shape[1]))
    np.testing.assert_allclose(l2(a, b), np.linalg.norm(a[:, None] - b[None], axis=2), atol=5e-3)
    np.testing.assert_allclose(l1(a, b), np.abs(a[:, None] - b[None]).sum(2), rtol=1e-4)
    plain = (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    np.testing.assert_allclose(cosine(a, b), plain, atol=1e-5)


@given(clouds(), st.integers(0, 99))
def test_rotation_changes_neither_angle_nor_distance(cloud, seed):
    turned = cloud @ rotation(cloud.shape[1], seed)
    np.testing.assert_allclose(cosine(turned, turned), cosine(cloud, cloud), atol=1e-5)
    np.testing.assert_allclose(l2(turned, turned), l2(cloud, cloud), atol=5e-3)


@settings(deadline=None)
@given(clouds(at_least=5), st.sampled_from(METRICS), st.integers(1, 60), st.integers(1, 7))
def test_top_k_equals_sorting(cloud, metric, k, block):
    queries = cloud[:4] + np.float32(0.01)
    ids, scores = top_k(queries, cloud, k, metric=metric, block=block)
    plain = {"cosine": cosine, "l2": lambda a, b: -l2(a, b), "l1": lambda a, b: -l1(a, b)}[metric](
        queries, cloud
    )
    width = min(k, len(cloud))
    np.testing.assert_allclose(scores[:, :width], -np.sort(-plain, axis=1)[:, :width], atol=5e-3)
    np.testing.assert_allclose(np.take_along_axis(plain, ids[:, :width], 1), scores[:, :width], atol=5e-3)
    assert (ids[:, width:] == -1).all()
    assert np.isneginf(scores[:, width:]).all()


@given(clouds(at_least=6), st.integers(0, 99))
def test_the_order_of_the_gallery_changes_no_neighbour(cloud, seed):
    order = np.random.default_rng(seed).permutation(len(cloud))
    before, _ = top_k(cloud[:3], cloud, 3)
    after, _ = top_k(cloud[:3], cloud[order], 3)
    assert np.array_equal(before, order[after])


def test_an_empty_gallery_has_no_neighbours():
    ids, _ = top_k(np.ones((2, 3)), np.ones((0, 3)), 4)
    assert ids.tolist() == [[-1] * 4] * 2


@given(clouds(at_least=4), st.integers(0, 99))
def test_centroids(cloud, seed):
    groups = np.random.default_rng(seed).integers(0, 3, len(cloud))
    names, centres = centroids(cloud, groups)
    assert names.tolist() == sorted(set(groups.tolist()))
    for name, centre in zip(names, centres, strict=True):
        plain = normalise(cloud[groups == name]).astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(centre, plain / np.linalg.norm(plain), atol=1e-4)
    turn = rotation(cloud.shape[1], seed)
    np.testing.assert_allclose(centroids(cloud @ turn, groups)[1], centres @ turn, atol=1e-4)


def test_centroids_of_strings_and_of_opposites():
    names, centres = centroids(np.array([[1, 0], [-1, 0], [0, 2]]), np.array(["b", "b", "a"]))
    assert names.tolist() == ["a", "b"]
    assert centres.tolist() == [[0, 1], [0, 0]]


def test_kmeans_finds_separate_groups_and_repeats():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 50)
    cloud = np.eye(8, dtype=np.float32)[truth] + rng.normal(0, 0.05, (200, 8)).astype(np.float32)
    found = kmeans(cloud, 4, seed=3, restarts=5)
    np.testing.assert_allclose(lengths(found.centres), 1, rtol=1e-6)
    assert len({(a, b) for a, b in zip(truth, found.assignment, strict=True)}) == 4
    assert found.objective > 0.97
    again = kmeans(cloud, 4, seed=3, restarts=5)
    assert np.array_equal(found.centres, again.centres)
    assert kmeans(cloud, 1).objective < found.objective


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: normalise(np.array([[1.0, np.nan]])), "row 0"),
        (lambda: normalise(np.ones(3)), r"\[n, d\], got \[3\]"),
        (lambda: cosine(np.ones((1, 2)), np.ones((1, 3))), "2 dimensions"),
        (lambda: top_k(np.ones((1, 2)), np.ones((1, 3)), 1), "2 dimensions"),
        (lambda: top_k(np.ones((1, 2)), np.array([[np.inf, 0]]), 1), "gallery: row 0"),
    ],
)
def test_wrong_vectors_are_named(call, said):
    with pytest.raises(PerisphereError, match=said):
        call()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: top_k(np.ones((1, 2)), np.ones((1, 2)), 0), "k is 0"),
        (lambda: top_k(np.ones((1, 2)), np.ones((1, 2)), 1, metric="cosin"), "Did you mean 'cosine'"),
        (lambda: kmeans(np.ones((3, 2)), 4), "k is 4, but 3 vectors"),
        (lambda: kmeans(np.ones((3, 2)), 0), "k is 0"),
        (lambda: centroids(np.ones((3, 2)), np.array([1])), "3 vectors and 1 groups"),
    ],
)
def test_wrong_words_are_named(call, said):
    with pytest.raises(UsageError, match=said):
        call()

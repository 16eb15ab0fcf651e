import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from perisphere.errors import PerisphereError, UsageError
from perisphere.metrics.centroid_gallery import (
    Photos,
    asked_identities,
    centroid_reid,
    every_identity,
    published,
    without_distractors,
)
from perisphere.metrics.centroids import centroids
from perisphere.metrics.ranks import MISSING, Ranks
from perisphere.metrics.reid import inverse_negative_penalty, reid

KS = (1, 5, 10, 20, 50)


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden" / "centroids.json").read_text())["evaluation"]["a"]


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def arguments(case, *, cameras=True):
    sides = {"query_ids": case["query"]["ids"], "gallery_ids": case["gallery"]["ids"]}
    if cameras:
        sides |= {"query_cameras": case["query"]["cameras"], "gallery_cameras": case["gallery"]["cameras"]}
    return sides


def embeddings(case):
    return (np.array(case[side]["embeddings"], np.float32) for side in ("query", "gallery"))


def assert_golden(found, expected):
    means = found.means(KS)
    assert means["mAP"] == pytest.approx(expected["mAP"], abs=1e-6)
    assert_allclose([means[f"rank-{k}"] for k in KS], expected["rank_1_5_10_20_50"], atol=1e-6)
    assert_allclose(found.cmc(3), expected["cmc_first_3"], atol=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_published_figures_of_photos(golden, metric):
    queries, gallery = map(unit, embeddings(golden))
    found = reid(queries, gallery, metric=metric, block=5, **arguments(golden))
    assert_golden(found, golden["instances"])


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("cameras", [True, False])
def test_published_figures_of_centroids(golden, cameras, raw):
    queries, gallery = embeddings(golden)
    expected = golden["centroids_with_cameras" if cameras else "centroids_without_cameras"]
    sides = arguments(golden, cameras=cameras)
    lengths = None if raw else np.linalg.norm(gallery, axis=1)
    shown = gallery if raw else unit(gallery)
    metric = "cosine" if raw else "l2"
    found = centroid_reid(
        unit(queries), shown, lengths=lengths, identities="published", metric=metric, **sides
    )
    assert_golden(found, expected)
    entries = published(Photos(**sides))
    points = entries.points(gallery)
    order = sorted(range(len(entries)), key=lambda row: (entries.ids[row], tuple(entries.cameras[row])))
    assert [entries.ids[row] for row in order] == expected["gallery_ids"]
    if cameras:
        shown = sorted([list(of) for of in map(sorted, expected["gallery_cameras"])])
        assert sorted(sorted(of) for of in entries.cameras) == shown
        assert_allclose(points[order[-1]], expected["last_centroid"], atol=1e-6)
    else:
        assert_allclose(points[order[0]], expected["first_centroid"], atol=1e-6)


def slow(queries, gallery, query_ids, gallery_ids, query_cameras, gallery_cameras):
    """Average precision, rank of the first right photo and INP, by sorting, one query after another."""
    found = []
    for query, identity, camera in zip(queries, query_ids, query_cameras, strict=True):
        order = np.argsort(((gallery - query) ** 2).sum(axis=1), kind="stable")
        kept = [row for row in order if not (gallery_ids[row] == identity and gallery_cameras[row] == camera)]
        places = [place for place, row in enumerate(kept, 1) if gallery_ids[row] == identity]
        if places:
            precision = [number / place for number, place in enumerate(places, 1)]
            found.append((np.mean(precision), places[0], len(places) / places[-1]))
        else:
            found.append((np.nan, np.inf, np.nan))
    return np.array(found).reshape(-1, 3)


@st.composite
def walks(draw):
    """Queries and gallery of a few people and cameras, far enough apart that float32 orders them rightly."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    q, n = draw(st.integers(1, 8)), draw(st.integers(2, 60))
    people, cameras = draw(st.sampled_from([2, 10])), draw(st.sampled_from([1, 3]))
    queries, gallery = (rng.standard_normal((rows, 4)).astype(np.float32) for rows in (q, n))
    ids = [rng.integers(0, people, rows) for rows in (q, n)]
    seen = [rng.integers(0, cameras, rows) for rows in (q, n)]
    return queries, gallery, ids, seen


@settings(max_examples=80, deadline=None)
@given(walks(), st.integers(1, 5))
def test_figures_equal_those_of_sorting(walk, block):
    queries, gallery, ids, cameras = walk
    found = reid(
        queries,
        gallery,
        query_ids=ids[0],
        gallery_ids=ids[1],
        query_cameras=cameras[0],
        gallery_cameras=cameras[1],
        metric="l2",
        block=block,
        threads=2,
    )
    expected = slow(queries, gallery, *ids, *cameras)
    assert_allclose(found.average_precision, expected[:, 0], atol=1e-6)
    assert_allclose(found.first_right, expected[:, 1])
    assert_allclose(found.inp, expected[:, 2], atol=1e-6)
    assert found.skipped == np.isnan(expected[:, 0]).sum()


@settings(max_examples=40, deadline=None)
@given(walks(), st.sampled_from(["photos", "every", "asked"]))
def test_turning_the_sphere_changes_no_figure(walk, identities):
    queries, gallery, ids, cameras = walk
    queries, gallery = unit(queries), unit(gallery)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0].astype(np.float32)
    sides = dict(zip(("query_ids", "gallery_ids"), ids, strict=True))
    sides |= dict(zip(("query_cameras", "gallery_cameras"), cameras, strict=True))

    def judged(some, others):
        if identities == "photos":
            return reid(some, others, **sides)
        try:
            return centroid_reid(some, others, identities=identities, **sides)
        except PerisphereError:
            return None

    before, after = judged(queries, gallery), judged(queries @ turn, gallery @ turn)
    if before is not None:
        assert_allclose(before.average_precision, after.average_precision, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(walks())
def test_every_query_meets_one_centroid_of_each_identity_and_none_with_its_camera(walk):
    _, _, ids, cameras = walk
    people = [None if identity == 0 else int(identity) for identity in ids[1]]
    photos = Photos(ids[0].tolist(), people, cameras[0].tolist(), cameras[1].tolist())
    entries = every_identity(photos)
    known = set(people) - {None}
    for query, (identity, camera) in enumerate(
        zip(*(side[0].tolist() for side in (ids, cameras)), strict=True)
    ):
        left = np.setdiff1d(np.arange(len(entries)), entries.ignored(query))
        met = [entries.ids[row] for row in left if entries.ids[row] is not None]
        others = [row for row, who in enumerate(people) if who == identity and cameras[1][row] != camera]
        assert sorted(met) == sorted(known - (set() if others else {identity}))
        right = entries.relevant(query)
        assert len(right) == bool(others)
        if others:
            assert entries.members[right[0]].tolist() == others
        assert sum(entries.ids[row] is None for row in left) == people.count(None)


def test_identities_that_nobody_asks_for_have_no_centroid_in_the_protocol_as_described():
    photos = Photos(["a"], ["a", "a", "b", "a"], [0], [0, 1, 1, 2])
    entries = asked_identities(photos)
    assert entries.ids == ["a"]
    assert entries.members[0].tolist() == [1, 3]
    assert entries.cameras == [frozenset({1, 2})]
    # The published program reads cameras at the gallery's row numbers in the queries' and the gallery's list.
    assert published(photos).members[0].tolist() == [3]


def test_centroids_are_means_of_the_features_as_the_network_gave_them():
    raw = np.array([[3.0, 4], [1, 0], [0, 2]], np.float32)
    found = centroids(unit(raw), ["a", None, "a"], lengths=np.linalg.norm(raw, axis=1))
    assert_allclose(found.points, [[1.5, 3]], atol=1e-6)
    assert found.ids == ["a"]
    assert found.counts.tolist() == [2]


def test_distractors_of_market_are_of_unknown_identity():
    assert without_distractors(["0002"], ["0000", "0002", "0010", "0"]) == [None, "0002", "0010", "0"]
    assert without_distractors(["0000"], ["0000", "0001"]) == ["0000", "0001"]


def test_inverse_negative_penalty_of_a_list_that_lacks_the_last():
    ranks = Ranks(np.array([1, 4, 2, MISSING]), np.array([2, 2, 0]), np.array([9, 9, 9]))
    assert_allclose(inverse_negative_penalty(ranks), [0.5, 0, np.nan])


def test_queries_without_a_right_photo_are_skipped_and_without_any_there_is_no_mean():
    vectors = np.eye(3, dtype=np.float32)
    found = reid(vectors[:2], vectors, query_ids=["a", "z"], gallery_ids=["a", "b", None])
    assert found.skipped == 1
    assert found.means((1,)) == {"mAP": 1, "mINP": 1, "rank-1": 1}
    with pytest.raises(PerisphereError, match="nothing to average"):
        reid(vectors[:1], vectors, query_ids=["z"], gallery_ids=["a", "b", "c"]).means()


def test_bad_input_is_one_line():
    vectors = np.eye(2, dtype=np.float32)
    with pytest.raises(PerisphereError, match="gallery_ids has 1 values for 2 rows"):
        reid(vectors, vectors, query_ids=[0, 1], gallery_ids=[0])
    for judge in (reid, centroid_reid):
        with pytest.raises(PerisphereError, match="cameras of one side"):
            judge(vectors, vectors, query_ids=[0, 1], gallery_ids=[0, 1], query_cameras=[0, 0])
    with pytest.raises(UsageError, match="identities 'all' is unknown"):
        centroid_reid(vectors, vectors, query_ids=[0, 1], gallery_ids=[0, 1], identities="all")
    with pytest.raises(PerisphereError, match="there is no centroid"):
        centroid_reid(vectors, vectors, query_ids=[0, 1], gallery_ids=[None, None], identities="asked")
    with pytest.raises(PerisphereError, match="1 lengths for 2 rows"):
        centroids(vectors, [0, 1], lengths=np.ones(1))


def test_many_photos_of_one_label_are_not_copied_to_be_summed(monkeypatch):
    rng = np.random.default_rng(0)
    vectors, lengths = rng.standard_normal((100, 3)).astype(np.float32), rng.random(100).astype(np.float32)
    expected = [centroids(vectors, ["0000"] * 100, lengths=some).points for some in (None, lengths)]
    taken = []

    class Watched(np.ndarray):
        def __getitem__(self, rows):
            found = super().__getitem__(rows)
            if isinstance(rows, np.ndarray) and self.ndim == 2:
                taken.append(len(rows))
            return np.asarray(found)

    monkeypatch.setattr("perisphere.metrics.centroids.ROWS", 7)
    for some, whole in zip((None, lengths), expected, strict=True):
        found = centroids(vectors.view(Watched), ["0000"] * 100, lengths=some)
        assert_allclose(found.points, whole, atol=1e-6)
    assert max(taken) == 7


def test_centroids_of_half_precision_are_as_long_as_all_others():
    raw = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    lengths = np.linalg.norm(raw, axis=1)
    entries = every_identity(Photos(["a"], ["a", "a", "b", "b", "c", "c"]))
    points = entries.points((raw / lengths[:, None]).astype(np.float16), lengths)
    assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-6)

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation import Gallery, Ranks, places_in, ranks_of, stream_places, stream_top
from perisphere.evaluation.revisited import SETTINGS
from perisphere.metrics.ranks import MISSING
from perisphere.metrics.retrieval import average_precision, precision_to_last, reciprocal_rank


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden" / "landmarks.json").read_text())["cases"]


def rows_of(lists):
    return lambda query: np.array(lists[query], np.int64)


def numbers(values):
    return np.array([np.nan if value is None else value for value in values])


def judged(ranks, kappas):
    precision = [precision_to_last(ranks, k) for k in kappas]
    return average_precision(ranks, rule="trapezoid"), np.stack(precision, axis=1)


def check(found, expected):
    aps, precision = found
    np.testing.assert_allclose(aps, numbers(expected["aps"]), atol=1e-8)
    np.testing.assert_allclose(
        precision, np.array([numbers(row) for row in expected["precision_at_k"]]), atol=1e-8
    )
    assert np.nanmean(aps) == pytest.approx(expected["map"], abs=1e-8)
    np.testing.assert_allclose(np.nanmean(precision, axis=0), expected["mean_precision_at_k"], atol=1e-8)


def test_the_trapezoid_of_ranks(golden):
    for case in golden["trapezoid_average_precision"]:
        found = np.array(case["inputs"]["ranks_zero_based_after_junk_removal"], np.int64) + 1
        total = case["inputs"]["number_of_positives"]
        values = np.concatenate([found, np.full(total - len(found), MISSING)])
        ranks = Ranks(values, np.array([total]), np.array([100]))
        assert average_precision(ranks, rule="trapezoid")[0] == pytest.approx(case["outputs"]["ap"], abs=1e-8)


def test_classic_ground_truth_from_ranked_lists(golden):
    for case in golden["map_direct"]:
        lists, truth = np.array(case["inputs"]["ranks"]).T, case["inputs"]["gnd"]
        right, junk = ([each.get(name, []) for each in truth] for name in ("ok", "junk"))
        ranks = ranks_of(places_in(lists, 100), rows_of(right), rows_of(junk))
        check(judged(ranks, case["inputs"]["kappas"]), case["outputs"])


def with_inner_products(similarity):
    """Return queries and gallery rows of one length whose inner products have the order of ``similarity``."""
    similarity = np.array(similarity, np.float32)
    squares = (similarity.astype(np.float64) ** 2).sum(1)
    rest = np.sqrt(squares.max() - squares)[:, None]
    queries = np.eye(similarity.shape[1], similarity.shape[1] + 1, dtype=np.float32)
    return queries, np.hstack([similarity, rest]).astype(np.float32)


@pytest.mark.parametrize("road", ["lists", "streamed"])
def test_revisited_ground_truth(golden, road):
    for case in golden["revisited_protocol"]:
        truth = case["inputs"]["gnd"]
        queries, vectors = with_inner_products(case["inputs"]["similarity_db_by_query"])
        gallery = Gallery([(vectors, np.arange(len(vectors)))])
        every = rows_of([sorted({*each["easy"], *each["hard"], *each["junk"]}) for each in truth])
        ids, _ = stream_top(queries, gallery, len(vectors))
        np.testing.assert_array_equal(ids.T, case["outputs"]["ranks_db_by_query"])
        if road == "lists":
            places = places_in(ids, len(vectors))
        else:
            places = stream_places(queries, gallery, every, block=64)
        for name, setting in SETTINGS["revisited"].items():
            right, ignored = (
                rows_of([[row for part in parts for row in each[part]] for each in truth])
                for parts in (setting.right, setting.ignored)
            )
            found = judged(ranks_of(places, right, ignored), case["inputs"]["kappas"])
            check(found, case["outputs"][name])


def test_images_that_a_list_lacks_stay_in_every_denominator():
    ranks = ranks_of(places_in(np.array([[3, 0, -1]]), 9), rows_of([[0, 7]]), rows_of([[3]]))
    assert ranks.values.tolist() == [1, MISSING]
    assert average_precision(ranks).tolist() == average_precision(ranks, rule="trapezoid").tolist() == [0.5]
    nothing = ranks_of(places_in(np.array([[3]]), 9), rows_of([[0]]))
    assert average_precision(nothing).tolist() == reciprocal_rank(nothing).tolist() == [0.0]
    assert precision_to_last(nothing, 10).tolist() == [0.0]


cells = st.integers(-2, 2)


@st.composite
def galleries(draw):
    """Small whole numbers, whose products are exact and often equal, in parts of two types."""
    d, n, q = draw(st.integers(1, 3)), draw(st.integers(1, 200)), draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    gallery = rng.integers(-2, 3, (n, d)).astype(np.float32)
    queries = rng.integers(-2, 3, (q, d)).astype(np.float32)
    cut = draw(st.integers(0, n))
    marked = [np.flatnonzero(rng.random(n) < draw(st.sampled_from([0.0, 0.1, 1.0]))) for _ in range(q)]
    parts = [(gallery[:cut].astype(np.float16), np.arange(cut)), (gallery, np.arange(cut, n))]
    return queries, gallery, Gallery(parts), marked


@pytest.mark.parametrize("metric", ["l2", "l1"])
@given(galleries(), st.integers(1, 130), st.integers(1, 40))
def test_blocks_give_what_sorting_the_whole_matrix_gives(metric, given, block, depth):
    queries, vectors, gallery, marked = given
    power = 2 if metric == "l2" else 1
    distances = (np.abs(queries[:, None] - vectors[None]) ** power).sum(-1)
    places = stream_places(queries, gallery, lambda query: marked[query], metric=metric, block=block)
    ids, scores = stream_top(queries, gallery, depth, metric=metric, block=block)
    for query, row in enumerate(distances):
        order = np.argsort(row, kind="stable")
        at = np.flatnonzero(np.isin(order, marked[query]))
        assert places.at[query].tolist() == at.tolist()
        assert places.rows[query].tolist() == order[at].tolist()
        shown = order[:depth]
        assert ids[query].tolist() == shown.tolist() + [-1] * (depth - len(shown))
        np.testing.assert_allclose(scores[query, : len(shown)], -(row[shown] ** (1 / power)), atol=1e-5)


def test_equal_vectors_far_apart_stand_in_the_order_of_the_gallery():
    """Their products are made in different blocks, and must be equal to the last bit."""
    rng = np.random.default_rng(0)
    some = rng.standard_normal((200, 96)).astype(np.float32)
    vectors = np.concatenate([some] * 5)
    gallery = Gallery([(vectors, np.arange(1000))])
    marked = np.arange(3, 1000, 7)
    queries = rng.standard_normal((13, 96)).astype(np.float32)
    places = stream_places(queries, gallery, lambda query: marked, block=192)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for query, row in enumerate((queries @ unit[:200].T).round(6)):
        order = np.argsort(-np.tile(row, 5), kind="stable")
        at = np.flatnonzero(np.isin(order, marked))
        assert places.at[query].tolist() == at.tolist()
        assert places.rows[query].tolist() == order[at].tolist()


def test_a_gallery_gives_rows_of_all_parts(tmp_path):
    np.save(tmp_path / "half.npy", np.arange(8, dtype=np.float16).reshape(4, 2))
    half = np.load(tmp_path / "half.npy", mmap_mode="r")
    gallery = Gallery([(half, np.array([0, 3])), (np.full((2, 2), 9, np.float32), np.arange(2))])
    assert (len(gallery), gallery.dim) == (4, 2)
    assert gallery[np.array([3, 1, 0])].tolist() == [[9, 9], [6, 7], [0, 1]]
    blocks = [(start, block.tolist()) for start, block in gallery.blocks(3)]
    assert blocks == [(0, [[0, 1], [6, 7], [9, 9]]), (3, [[9, 9]])]
    with pytest.raises(PerisphereError, match="there are 4"):
        gallery[np.array([4])]


def test_wrong_words_and_values_are_named():
    gallery = Gallery([(np.ones((3, 2), np.float32), np.arange(3))])
    nobody = rows_of([[]])
    for call, kind, said in (
        (lambda: stream_top(np.ones((1, 2)), gallery, 0), UsageError, "depth is 0"),
        (lambda: stream_top(np.ones((1, 2)), gallery, 1, block=0), UsageError, "block is 0"),
        (lambda: stream_places(np.ones((1, 2)), gallery, nobody, metric="dot"), UsageError, "metric 'dot'"),
        (lambda: stream_places(np.ones((1, 3)), gallery, nobody), PerisphereError, "3 dimensions"),
        (lambda: stream_top(np.full((1, 2), np.nan), gallery, 1), PerisphereError, "queries: row 0"),
        (
            lambda: stream_top(np.ones((1, 2)), Gallery([(np.full((3, 2), np.inf), np.arange(3))]), 1),
            PerisphereError,
            "gallery",
        ),
    ):
        with pytest.raises(kind, match=said):
            call()

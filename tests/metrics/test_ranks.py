import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.metrics.matching import either, matching
from perisphere.metrics.ranks import SORT_FROM, Ranks, exact_ranks, rank_blocks


def slow_ranks(scores, relevant, ignored, ties):
    """Rank by sorting, one query at a time."""
    found = []
    for query, row in enumerate(scores):
        aside = set(ignored(query).tolist()) if ignored else set()
        right = set(relevant(query).tolist()) - aside
        wrong_first = ties == "pessimistic"
        kept = [i for i in range(len(row)) if i not in aside]
        kept.sort(key=lambda i, row=row, right=right: (-row[i], (i in right) == wrong_first))
        found.append([place for place, i in enumerate(kept, 1) if i in right])
    return found


def as_lists(found: Ranks) -> list[list[int]]:
    return [found.of(query).tolist() for query in range(len(found))]


@st.composite
def problems(draw):
    """Whole-numbered vectors (their products are exact, and ties are common) with labels and cameras."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    q, n, d = draw(st.integers(1, 9)), draw(st.integers(1, 200)), draw(st.integers(1, 6))
    classes = draw(st.sampled_from([1, 2, 20]))
    queries, gallery = (rng.integers(-3, 4, (rows, d)).astype(np.float32) for rows in (q, n))
    labels = [
        [None if x == classes else int(x) for x in rng.integers(0, classes + 1, rows)] for rows in (q, n)
    ]
    cameras = [rng.integers(0, 3, rows).tolist() for rows in (q, n)]
    return queries, gallery, labels, cameras


@settings(max_examples=150, deadline=None)
@given(problems(), st.sampled_from(["pessimistic", "optimistic"]), st.booleans(), st.integers(1, 4))
def test_ranks_equal_those_of_sorting(problem, ties, ignore, block):
    queries, gallery, labels, cameras = problem
    relevant = matching(*labels)
    ignored = matching(*(list(zip(*pair, strict=True)) for pair in zip(labels, cameras, strict=True)))
    ignored = ignored if ignore else None
    # Vectors with whole numbers have exact squared distances; the order by distance is the same.
    scores = -((queries[:, None] - gallery[None]) ** 2).sum(-1)
    found = exact_ranks(
        queries, gallery, relevant, ignored=ignored, metric="l2", ties=ties, block=block, threads=2
    )
    assert as_lists(found) == slow_ranks(scores, relevant, ignored, ties)
    assert found.candidates.tolist() == [
        len(gallery) - (len(ignored(query)) if ignored else 0) for query in range(len(queries))
    ]


@settings(max_examples=60, deadline=None)
@given(problems(), st.sampled_from(["cosine", "l2", "l1"]), st.integers(0, 100))
def test_the_order_of_the_gallery_changes_nothing(problem, metric, seed):
    queries, gallery, labels, _ = problem
    order = np.random.default_rng(seed).permutation(len(gallery))
    if metric == "cosine":
        queries, gallery = _one_hot(queries), _one_hot(gallery)
    before = exact_ranks(queries, gallery, matching(*labels), metric=metric)
    after = exact_ranks(
        queries, gallery[order], matching(labels[0], [labels[1][i] for i in order]), metric=metric
    )
    assert as_lists(before) == as_lists(after)


def _one_hot(vectors):
    """Rows of unit length whose products are exact, so that no rounding depends on their place."""
    return np.eye(vectors.shape[1], dtype=np.float32)[np.abs(vectors[:, 0]).astype(int) % vectors.shape[1]]


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_rotation_changes_nothing(metric):
    rng = np.random.default_rng(3)
    queries, gallery = (rng.standard_normal((rows, 12)).astype(np.float32) for rows in (20, 300))
    relevant = matching(rng.integers(0, 9, 20).tolist(), rng.integers(0, 9, 300).tolist())
    rotation = np.linalg.qr(rng.standard_normal((12, 12)))[0].astype(np.float32)
    before = exact_ranks(queries, gallery, relevant, metric=metric)
    after = exact_ranks(queries @ rotation, gallery @ rotation, relevant, metric=metric)
    assert as_lists(before) == as_lists(after)


def test_a_constant_added_to_all_scores_changes_nothing_and_negative_scores_count():
    """A last column of ones in the queries adds the gallery's last column to every score."""
    rng = np.random.default_rng(5)
    scores = rng.integers(-50, 50, (6, 40)).astype(np.float32)
    labels = rng.integers(0, 4, 6).tolist(), rng.integers(0, 4, 40).tolist()
    relevant = matching(*labels)
    found = []
    for constant in (-1000, 0, 1000):
        queries = np.hstack([np.eye(6, dtype=np.float32), np.ones((6, 1), np.float32)])
        gallery = np.hstack([scores.T, np.full((40, 1), constant, np.float32)])
        half = (gallery**2).sum(1)
        # Equal lengths make the order by distance the order by product.
        gallery = np.hstack([gallery, np.sqrt(half.max() - half)[:, None].astype(np.float32)])
        queries = np.hstack([queries, np.zeros((6, 1), np.float32)])
        found.append(as_lists(exact_ranks(queries, gallery, relevant, metric="cosine")))
    assert found[0] == found[1] == found[2] == slow_ranks(scores, relevant, None, "pessimistic")


@pytest.mark.parametrize("positives", [1, 5, SORT_FROM - 1, SORT_FROM, 400])
@pytest.mark.parametrize("separation", [0.0, 6.0])
def test_every_way_of_counting_gives_the_same(positives, separation):
    """Few and many relevant images, mixed with the others or far above them."""
    rng = np.random.default_rng(positives)
    gallery = rng.standard_normal((3000, 1)).astype(np.float32)
    gallery[:positives] += separation
    relevant = matching(["a"], ["a"] * positives + ["b"] * (3000 - positives))
    found = exact_ranks(np.ones((1, 1), np.float32), gallery, relevant, metric="l1")
    scores = -np.abs(np.float32(1) - gallery.T)
    assert as_lists(found) == slow_ranks(scores, relevant, None, "pessimistic")


def test_a_gallery_wider_than_a_slice(monkeypatch):
    rng = np.random.default_rng(1)
    queries, gallery = (rng.integers(-9, 9, (rows, 3)).astype(np.float32) for rows in (4, 5000))
    relevant = matching([0, 1, 2, 3], rng.integers(0, 200, 5000).tolist())
    whole = as_lists(exact_ranks(queries, gallery, relevant, metric="l2"))
    monkeypatch.setattr("perisphere.metrics.ranks._SLICE", 1024)
    assert as_lists(exact_ranks(queries, gallery, relevant, metric="l2")) == whole


def test_ties_with_wrong_images():
    queries = np.ones((1, 2), np.float32)
    gallery = np.ones((4, 2), np.float32)
    relevant = matching(["a"], ["a", "b", "a", "b"])
    assert as_lists(exact_ranks(queries, gallery, relevant, ties="pessimistic")) == [[3, 4]]
    assert as_lists(exact_ranks(queries, gallery, relevant, ties="optimistic")) == [[1, 2]]


def test_cosine_needs_no_unit_rows():
    rng = np.random.default_rng(2)
    queries, gallery = (rng.standard_normal((rows, 8)).astype(np.float32) for rows in (10, 100))
    relevant = matching(rng.integers(0, 5, 10).tolist(), rng.integers(0, 5, 100).tolist())
    scaled = gallery * rng.uniform(0.1, 9, (100, 1)).astype(np.float32)
    unit = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    assert as_lists(exact_ranks(queries, scaled, relevant)) == as_lists(exact_ranks(queries, unit, relevant))


def test_the_inputs_stay_as_they_are():
    rng = np.random.default_rng(2)
    queries, gallery = (rng.standard_normal((rows, 8)).astype(np.float32) for rows in (10, 100))
    before = queries.copy(), gallery.copy()
    for array in (queries, gallery):
        array.setflags(write=False)
    for metric in ("cosine", "l2", "l1"):
        exact_ranks(queries, gallery, matching([0] * 10, [0] * 100), metric=metric)
    assert np.array_equal(queries, before[0])
    assert np.array_equal(gallery, before[1])


def test_nothing_relevant_and_nothing_at_all():
    rows = np.ones((3, 2), np.float32)
    assert as_lists(exact_ranks(rows, rows, matching(["a", None, "b"], ["c", None, "c"]))) == [[], [], []]
    assert as_lists(exact_ranks(rows, rows[:0], matching(["a"] * 3, []))) == [[], [], []]
    assert len(exact_ranks(rows[:0], rows, matching([], ["a"] * 3))) == 0


def test_either_rule():
    rule = either(matching(["a"], ["a", "b", "a"]), matching([1], [0, 1, 1]))
    assert rule(0).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((np.ones((2, 3)), np.ones((2, 4))), {}, "3 dimensions"),
        ((np.ones(3), np.ones((2, 3))), {}, r"queries: expected an array of shape \[n, d\]"),
        ((np.array([[np.nan, 1]]), np.ones((2, 2))), {}, "queries: row 0"),
        ((np.ones((2, 2)), np.array([[1, 1], [np.inf, 1]])), {}, "gallery: row 1"),
        ((np.ones((2, 2)), np.ones((2, 2))), {"metric": "l3"}, "metric 'l3'"),
        ((np.ones((2, 2)), np.ones((2, 2))), {"ties": "fair"}, "ties 'fair'"),
        ((np.ones((2, 2)), np.ones((2, 2))), {"block": 0}, "block is 0"),
    ],
)
def test_wrong_words_are_named(arguments, options, said):
    with pytest.raises(PerisphereError, match=said) as caught:
        list(rank_blocks(*arguments, matching([0, 0], [0, 0]), **options))
    assert isinstance(caught.value, UsageError) == bool(options)

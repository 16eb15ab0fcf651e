import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation.class_rankings import Classes, judge_lists, rank_classes
from perisphere.evaluation.hierarchical import (
    average_hierarchical_precision,
    best_sums,
    hierarchical_precision,
)
from perisphere.metrics import retrieval as metrics

CASES = ("small_tree", "uneven_tree", "dag")
KS = (1, 2, 5, 10)


@pytest.fixture(scope="session")
def golden(shared):
    return json.loads((shared / "golden" / "hierarchy.json").read_text())["cases"]


def judged(classes, similar, depth, run):
    """All figures of each query, by name as the published program names them."""
    found = [None] * len(classes.asked)

    def judge(rankings):
        figures = {"AP": metrics.average_precision(rankings.ranks)}
        for kind, table in similar.items():
            row, own = table[rankings.of], table[rankings.of, rankings.of]
            best = best_sums(row, classes.counts)
            curves = hierarchical_precision(
                row[classes.shown[rankings.top]], best, rankings.place, own, depth
            )
            figures |= {f"P@{k} ({kind})": curves[:, k - 1] for k in KS if k <= depth}
            figures[f"AHP ({kind})"] = average_hierarchical_precision(curves)
        return rankings.queries, figures

    for queries, figures in run(classes, depth, judge):
        for place, query in enumerate(queries):
            found[query] = {name: values[place] for name, values in figures.items()}
    return found


def mean_of(found):
    return {name: np.mean([one[name] for one in found]) for name in found[0]}


def published(case, key):
    """The golden figures with AHP@k named AHP, and their depth."""
    mean = case[key].get("mean", case[key])
    (ahp,) = {name.split(" ")[0] for name in mean if name.startswith("AHP")}
    depth = int(ahp.partition("@")[2] or 0)

    def renamed(figures):
        return {name.replace(ahp, "AHP"): value for name, value in figures.items()}

    return depth, renamed(mean), renamed(case[key]["query_0"]) if "query_0" in case[key] else None


def similarities(case):
    lcs = 1 - np.array(case["lcs_height_dissimilarity"])
    return {"LCS_HEIGHT": lcs, "WUP": np.array(case["wup"])}


def vectors_of(case):
    return np.array(case["ranking"]["features"]), np.array(case["ranking"]["labels"])


def by_vectors(vectors, **options):
    def run(classes, depth, judge):
        return rank_classes(vectors, vectors, classes, depth, judge, metric="l2", **options)

    return run


@pytest.mark.parametrize("key", ["metrics_all", "metrics_at_k", "metrics_keep_query"])
@pytest.mark.parametrize("name", CASES)
def test_golden_metrics(golden, name, key):
    case = golden[name]
    vectors, labels = vectors_of(case)
    own = np.full(len(labels), -1) if key == "metrics_keep_query" else np.arange(len(labels))
    depth, mean, first = published(case, key)
    depth = depth or len(labels) - 1
    shown = max(depth, *KS)
    found = judged(Classes(labels, labels, own, 5), similarities(case), shown, by_vectors(vectors))
    if depth != shown:  # HP@10 beside the area to a smaller depth
        cut = judged(Classes(labels, labels, own, 5), similarities(case), depth, by_vectors(vectors))
        for one, short in zip(found, cut, strict=True):
            one |= {name: value for name, value in short.items() if name.startswith("AHP")}
    assert mean_of(found) == pytest.approx(mean, abs=1e-12)
    assert found[0] == pytest.approx(first, abs=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_golden_rankings_cut_short(golden, name):
    case = golden[name]
    vectors, labels = vectors_of(case)
    order = np.argsort(((vectors[:, None] - vectors) ** 2).sum(-1), axis=1, kind="stable")[:, :8]
    depth, mean, _ = published(case, "metrics_ranking_cut_at_8")
    found = mean_of(
        judged(
            Classes(labels, labels, np.arange(len(labels)), 5),
            similarities(case),
            depth,
            lambda *rest: judge_lists(order, *rest),
        )
    )
    assert {name: found[name] for name in mean} == pytest.approx(mean, abs=1e-12)


def slow(scores, classes, similar, depth):
    """The definition, query by query: sort, remove the query from the ranking and from the best sums."""
    figures = []
    for query, row in enumerate(scores):
        of, own = classes.asked[query], classes.own[query]
        order = np.argsort(-row, kind="stable").tolist()
        gained = [similar[of, classes.shown[image]] for image in order]
        best = np.cumsum(sorted(gained, reverse=True))
        if own >= 0:
            place = order.index(own)
            del gained[place]
            best = np.concatenate([best[:place], best[place + 1 :] - similar[of, of]])
            order.remove(own)
        right = np.array([classes.shown[image] == of for image in order])
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        nothing = (best[:depth] <= 0).any()
        curve = np.full(depth, np.nan) if nothing else np.cumsum(gained)[:depth] / best[:depth]
        figures.append((curve, precision[right].mean() if right.any() else np.nan))
    return figures


@st.composite
def collections(draw):
    """Integer vectors with many duplicates and equal distances, classes, and queries in and out of it."""
    count, inside = draw(st.integers(4, 14)), draw(st.integers(0, 4))
    numbers = st.integers(-2, 2)
    gallery = np.array(draw(st.lists(st.tuples(numbers, numbers), min_size=count, max_size=count)), float)
    shown = np.array(draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    others = draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=3))
    own = np.array([*range(inside), *([-1] * len(others))])
    asked = np.array(
        [*shown[:inside], *draw(st.lists(st.integers(0, 3), min_size=len(others), max_size=len(others)))]
    )
    return np.vstack([gallery[:inside], others]), gallery, Classes(asked, shown, own, 4)


SIMILAR = np.array([[1, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0.25], [0, 0, 0.25, 1.0]])


@given(collections(), st.integers(1, 3), st.sampled_from(["l2", "l1"]), st.integers(1, 20))
def test_equal_to_the_definition_with_duplicates_and_ties(collection, depth, metric, block):
    queries, gallery, classes = collection
    apart = queries[:, None] - gallery
    scores = -(apart**2).sum(-1) if metric == "l2" else -np.abs(apart).sum(-1)
    expected = slow(scores, classes, SIMILAR, depth)

    def judge(rankings):
        row = SIMILAR[rankings.of]
        best = best_sums(row, classes.counts)
        gained = row[classes.shown[rankings.top]]
        curves = hierarchical_precision(gained, best, rankings.place, 1.0, depth)
        return rankings.queries, curves, metrics.average_precision(rankings.ranks)

    seen = []
    for rows, curves, average in rank_classes(
        queries, gallery, classes, depth, judge, metric=metric, block=block, threads=2
    ):
        for place, query in enumerate(rows):
            seen.append(query)
            np.testing.assert_allclose(curves[place], expected[query][0], atol=1e-12)
            np.testing.assert_allclose(average[place], expected[query][1], atol=1e-12)
    assert sorted(seen) == list(range(len(queries)))


def test_a_perfect_ranking():
    labels = np.repeat(np.arange(4), 5)
    vectors = np.eye(4)[labels] @ np.linalg.cholesky(SIMILAR)

    def run(classes, depth, judge):
        return rank_classes(vectors, vectors, classes, depth, judge, metric="cosine")

    found = judged(Classes(labels, labels, np.arange(20), 4), {"x": SIMILAR}, 19, run)
    assert mean_of(found)["AHP (x)"] == pytest.approx(18 / 19)
    assert mean_of(found)["AP"] == pytest.approx(1)


def test_the_query_behind_its_copies():
    """Three equal images of three classes: the last one, as query, stands third in its own ranking."""
    vectors, labels = np.ones((3, 2)), np.arange(3)
    (found,) = [
        one
        for one in rank_classes(vectors, vectors, Classes(labels, labels, labels, 3), 2, lambda one: one)
        if one.of == 2
    ]
    assert found.place.tolist() == [2]
    assert found.top.tolist() == [[0, 1, 2]]
    row = SIMILAR[2, :3]
    curve = hierarchical_precision(row[found.top], best_sums(row, np.ones(3, int)), found.place, 1.0, 2)
    assert curve.tolist() == [[0, 0]]  # the best sums 1, 1 keep the query, as nothing before it was right


def test_nothing_similar_is_undefined():
    curves = hierarchical_precision(np.array([[1, 0, 0.0]]), np.array([1, 1, 1.0]), np.array([0]), 1.0, 2)
    assert np.isnan(curves).all()


def test_the_class_that_is_an_inner_node_has_one_for_its_best_ranking():
    """An inner node is less than 1 similar to itself by LCS height; a perfect ranking still has HP 1."""
    similarity = np.array([0.5, 0.25])
    best = best_sums(similarity, np.array([3, 2]))
    curves = hierarchical_precision(similarity[[[0, 0, 0, 1, 1]]], best, np.array([0]), 0.5, 4)
    np.testing.assert_allclose(curves, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"depth": 0}, "depth is 0"), ({"block": 0}, "block is 0"), ({"metric": "dot"}, "dot")],
)
def test_wrong_options(options, said):
    labels = np.zeros(3, int)
    depth = options.pop("depth", 1)
    with pytest.raises(UsageError, match=said):
        list(rank_classes(np.eye(3), np.eye(3), Classes(labels, labels, labels, 3), depth, id, **options))


def test_vectors_that_do_not_fit():
    labels = np.zeros(3, int)
    with pytest.raises(PerisphereError, match="dimensions"):
        list(rank_classes(np.eye(3), np.eye(3, 4), Classes(labels, labels, labels, 3), 1, id))
    with pytest.raises(UsageError, match="AHP@1"):
        average_hierarchical_precision(np.ones((2, 1)))

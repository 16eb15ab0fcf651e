import json
from contextlib import contextmanager

import numpy as np
import pytest

from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation import Report, classification, compare, protocols, retrieval


def slow_leave_one_out(given):
    """Mean average precision and recall@1 by sorting each row of the whole matrix."""
    unit = given.vectors / np.linalg.norm(given.vectors, axis=1, keepdims=True)
    scores = unit @ unit.T
    precisions, firsts = [], []
    for query, label in enumerate(given.labels):
        others = [i for i in np.argsort(-scores[query]) if i != query]
        right = [given.labels[i] == label for i in others]
        if label is not None and any(right):
            places = np.flatnonzero(right) + 1
            precisions.append(np.mean(np.arange(1, len(places) + 1) / places))
            firsts.append(right[0])
    return np.mean(precisions), np.mean(firsts)


def test_leave_one_out(points):
    given = points([*"aaabbbbccd", None, *"abcabcabc"])
    report = retrieval(given, ks=[1, 3], block=3)
    average, first = slow_leave_one_out(given)
    assert report.values["mAP"] == pytest.approx(average)
    assert report.values["recall@1"] == report.values["precision@1"] == pytest.approx(first)
    assert report.counts == {
        "queries": 19,
        "queries_without_relevant": 1,
        "gallery": 20,
        "gallery_without_label": 1,
        "relevant_pairs": 6 * 5 + 7 * 6 + 5 * 4,
        "classes": 4,
        "dimensions": 6,
    }
    assert report.curves["cmc"][0] == pytest.approx(first)
    assert list(report.values)[:3] == ["mAP", "mAP@1", "mAP@3"]


def test_splits_and_self_matches_between_them(points):
    """The query's own row is in both splits; it must not be found."""
    vectors = np.eye(4)[[0, 0, 1, 1]] + 0.01 * np.arange(4)[:, None]
    given = points(["a", "b", "a", "b"], vectors, ["query", "index", "index", "index"])
    report = retrieval(given, query=["query"], gallery=["query", "index"], ks=[1])
    assert report.values["mAP"] == pytest.approx(1 / 3)
    assert report.counts["queries"] == 1
    assert report.data["gallery"] == ["query", "index"]


@pytest.mark.parametrize("vote", ["weighted", "majority"])
def test_classification_leaves_the_query_out(vote, points):
    """Each row's copy is of the other class: only leaving itself out can make the vote wrong."""
    given = points(["a", "b", "a", "b"], np.eye(2)[[0, 0, 1, 1]])
    report = classification(given, neighbours=1, vote=vote)
    assert report.values == {"top-1": 0.0, "top-5": 0.0, "balanced": 0.0}
    assert report.options == {"metric": "cosine", "neighbours": 1, "vote": vote}


def test_classification_of_separate_classes_and_unknown_ones(points):
    vectors = np.vstack([np.eye(3)[[0, 0, 0, 1, 1]], [[0, 0, 1]]])
    given = points([*"aaabb", "c"], vectors, ["train"] * 5 + ["val"])
    inside = classification(given, query=["train"], gallery=["train"], neighbours=2)
    assert inside.values["top-1"] == 1.0
    outside = classification(given, query=["val"], gallery=["train"], neighbours=3)
    assert outside.values["top-1"] == 0.0
    assert outside.counts["queries_of_other_classes"] == 1


def test_more_neighbours_than_rows(points):
    given = points([*"aabb"], np.eye(2)[[0, 0, 1, 1]])
    assert classification(given, neighbours=50).values["top-1"] == 1.0


def test_equal_reports_of_equal_input_and_round_trip(tmp_path, points):
    given = points([*"aabbccdd"])
    report = retrieval(given)
    assert retrieval(given) == report
    assert Report.load(report.save(tmp_path / "report.json")) == report
    assert json.loads((tmp_path / "report.json").read_text())["conventions"]["recall@k"]
    assert "a query is never compared with itself" in report.to_json()


def test_compare_refuses_different_protocols(points):
    given = points([*"aabbccdd"])
    with pytest.raises(PerisphereError, match="classification, retrieval"):
        compare({"x": retrieval(given), "y": classification(given)})
    assert compare({"x": retrieval(given), "y": retrieval(given)}).row_count > 10


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        ([None] * 3, {}, "no image has a label"),
        (["a"] * 3, {}, "all images of the gallery are of one class, 'a'"),
        ([*"abc"], {}, "no query has an image of its label"),
        ([*"aab"], {"query": ["qurey"]}, "no row has a split"),
    ],
)
def test_input_that_has_no_meaning_is_an_error(labels, options, said, points):
    with pytest.raises(PerisphereError, match=said):
        retrieval(points(labels), **options)


def test_splits_that_do_not_fit(points):
    given = points(["a", "a", None, "b"], splits=["query", "query", "index", "val"])
    with pytest.raises(PerisphereError, match=r"splits here are index, query, val\. Did you mean 'query'"):
        retrieval(given, query=["qurey"])
    with pytest.raises(PerisphereError, match="no query has a label"):
        retrieval(given, query=["index"])
    with pytest.raises(PerisphereError, match="the gallery has no labels"):
        retrieval(given, gallery=["index"])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: retrieval(p, ks=[0]), "k is 0"),
        (lambda p: retrieval(p, ks=[]), "k is empty"),
        (lambda p: retrieval(p, metric="dot"), "metric 'dot'"),
        (lambda p: retrieval(p, without="drop"), "without 'drop'"),
        (lambda p: classification(p, neighbours=0), "neighbours is 0"),
        (lambda p: classification(p, vote="loud"), "vote 'loud'"),
        (lambda p: classification(p, metric="dot"), "metric 'dot'"),
    ],
)
def test_wrong_words_are_named(call, said, points):
    with pytest.raises(UsageError, match=said):
        call(points([*"aabb"]))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"values": {}}', '{"protocol": 1, "values": {}, "counts": {}, "x": 1}']
)
def test_a_file_that_is_no_report(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(PerisphereError, match=r"r\.json: is"):
        Report.load(tmp_path / "r.json")
    with pytest.raises(PerisphereError, match="cannot be read"):
        Report.load(tmp_path / "none.json")


def test_classification_counts_its_queries_on_a_bar(points, monkeypatch):
    counted = []

    @contextmanager
    def counting(description, total, unit="images"):
        yield lambda n=1: counted.append((total, n))

    monkeypatch.setattr(protocols, "bar", counting)
    expected = classification(points([*"aabbab"]))
    monkeypatch.setattr(protocols, "QUERIES", 4)
    counted.clear()
    assert classification(points([*"aabbab"])) == expected
    assert counted == [(6, 4), (6, 2)]

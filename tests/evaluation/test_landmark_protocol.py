import json

import numpy as np
import pytest

from perisphere.errors import UsageError
from perisphere.evaluation import Gallery, Ranks, Reranking, judge_landmark, stream_top
from perisphere.evaluation.voting import ranked_classes
from perisphere.metrics.ranks import MISSING
from perisphere.metrics.retrieval import landmark_average_precision
from perisphere.search.rerank import parse_chain
from perisphere.sphere.geometry import cosine, l1, l2


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden" / "landmarks.json").read_text())["cases"]


METRICS = {"L1": "l1", "L2": "l2", "L3": "cosine"}


def pipeline(case, points):
    """The golden case's index and queries as points."""
    inputs = case["inputs"]
    labels = inputs["index_labels"] + inputs["query_labels"]
    splits = ["index"] * len(inputs["index_labels"]) + ["test"] * len(inputs["query_labels"])
    return points(labels, inputs["index_vectors"] + inputs["query_vectors"], splits)


def average_precision_of(hits):
    """Of one list; the class has an image more, which the list does not show."""
    places = np.append(np.flatnonzero(hits) + 1, MISSING)
    return landmark_average_precision(Ranks(places, np.array([len(places)]), np.array([len(hits)])))[0]


def test_the_systems_average_precision(golden):
    for case in golden["landmark_average_precision"]:
        assert average_precision_of(case["inputs"]["hits"]) == pytest.approx(case["outputs"]["ap"], abs=1e-8)
    nothing = Ranks(np.empty(0, np.int64), np.array([0]), np.array([9]))
    assert landmark_average_precision(nothing).tolist() == [0]


def test_average_precision_of_the_label_reranking_lists(golden):
    for case in golden["landmark_label_reranking"]:
        labels, true = case["inputs"]["labels"], case["inputs"]["true_label"]
        for method in ("one", "two"):
            hits = [labels[row] == true for row in case["outputs"][f"order_method_{method}"]]
            assert average_precision_of(hits) == pytest.approx(
                case["outputs"][f"ap_method_{method}"], abs=1e-8
            )


def test_the_systems_distances(golden):
    for case in golden["landmark_distances"]:
        a, b = (np.array([case["inputs"][name]], np.float32) for name in "ab")
        found = {"L1": l1(a, b), "L2": l2(a, b) ** 2, "L3": 1 - cosine(a, b)}
        assert {name: float(value.item()) for name, value in found.items()} == pytest.approx(
            case["outputs"], abs=1e-6
        )


@pytest.mark.parametrize("name", METRICS)
def test_the_whole_system(golden, points, name):
    (case,) = golden["landmark_pipeline"]
    expected = case["outputs"][name]
    options = {"query": ["test"], "gallery": ["index"], "metric": METRICS[name]}
    judged = judge_landmark(pipeline(case, points), **options)
    values, classes = judged.report.values, judged.report.classes
    assert values["landmark_ap@5"] == pytest.approx(expected["map_method_one"], abs=1e-8)
    assert values["landmark_accuracy"] == pytest.approx(expected["accuracy_over_images"], abs=1e-8)
    rounded = {label: round(figures["landmark_accuracy"], 2) for label, figures in classes.items()}
    assert rounded == expected["accuracy_per_class_rounded"]
    assert judged.report.counts["classes_with_queries"] == 3

    reranked = judge_landmark(pipeline(case, points), reranking=Reranking(parse_chain("label")), **options)
    assert reranked.report.values["landmark_ap@5"] == pytest.approx(expected["map_method_two"], abs=1e-8)
    assert reranked.report.values["landmark_accuracy"] == values["landmark_accuracy"]
    assert reranked.ranking.ids.tolist() == expected["full_order_method_two"]
    short = Reranking(parse_chain("label"), depth=5)
    ids = judge_landmark(pipeline(case, points), reranking=short, **options).ranking.ids
    assert ids.tolist() == expected["top5_method_two"]


@pytest.mark.parametrize("name", METRICS)
def test_the_lists_distances_and_votes_of_the_whole_system(golden, name):
    (case,) = golden["landmark_pipeline"]
    inputs, expected = case["inputs"], case["outputs"][name]
    index, queries = (np.array(inputs[f"{part}_vectors"], np.float32) for part in ("index", "query"))
    ids, scores = stream_top(queries, Gallery([(index, np.arange(len(index)))]), 15, metric=METRICS[name])
    assert ids[:, :5].tolist() == expected["top5_method_one"]
    distances = {"L1": -scores, "L2": scores**2, "L3": 1 - scores}[name]
    np.testing.assert_allclose(
        distances, np.take_along_axis(np.array(expected["distance_query_by_index"]), ids, 1), atol=1e-6
    )
    names = sorted(set(inputs["index_labels"]))
    of = np.array([names.index(label) for label in inputs["index_labels"]])
    predicted = ranked_classes(of[ids[:, :3]], scores[:, :3], top=1, vote="legacy")[:, 0]
    assert [names[number] for number in predicted] == expected["predicted_class"]
    # The system says "class" where the nearest image is nearer than 0.5, whatever the distance.
    said = ["class" if nearest < 0.5 else "no class" for nearest in distances[:, 0]]
    assert said == expected["printed_verdict"]
    hits = np.array(inputs["index_labels"])[ids[:, :5]] == np.array(inputs["query_labels"])[:, None]
    assert [average_precision_of(row) for row in hits] == pytest.approx(expected["ap_method_one"], abs=1e-8)
    again = np.array(inputs["index_labels"])[np.array(expected["top5_method_two"])]
    right = again == np.array(inputs["query_labels"])[:, None]
    assert [average_precision_of(row) for row in right] == pytest.approx(expected["ap_method_two"], abs=1e-8)


def test_the_legacy_vote_gives_ties_to_the_smaller_class():
    classes, scores = np.array([[2, 1, 0], [2, 2, 0], [2, -1, 1]]), np.array([[0.9, 0.8, 0.1]] * 3)
    assert ranked_classes(classes, scores, top=1, vote="legacy")[:, 0].tolist() == [0, 2, 1]
    assert ranked_classes(classes, scores, top=1, vote="majority")[:, 0].tolist() == [2, 2, 2]
    assert ranked_classes(classes, scores, top=3, vote="legacy").tolist() == [
        [0, 1, 2],
        [2, 0, -1],
        [1, 2, -1],
    ]


def test_classes_without_queries_or_images_are_counted(points):
    vectors = np.eye(4)[[0, 0, 1, 1, 2, 3, 0]] + 0.01
    given = points([*"aabbca", "z"], vectors, ["index"] * 5 + ["test"] * 2)
    judged = judge_landmark(given, query=["test"], gallery=["index"])
    counts, values = judged.report.counts, judged.report.values
    assert (counts["classes_with_queries"], counts["classes_without_queries"]) == (2, 2)
    assert counts["classes_without_images"] == 1
    # The first image of a query whose class the gallery lacks is wrong.
    assert judged.report.classes["z"]["landmark_ap@5"] == 0
    assert "mAP" not in judged.report.classes["z"]
    assert values["landmark_ap@5"] == judged.report.classes["a"]["landmark_ap@5"] / 2 > 0
    assert values["mAP (classes)"] == judged.report.classes["a"]["mAP"]
    assert judged.report.conventions["queries_without_relevant"].endswith("but 0 in landmark_ap@5")


def test_lists_too_short_to_judge_are_refused(points):
    short = Reranking(parse_chain("label"), depth=4)
    with pytest.raises(UsageError, match=r"--depth 4: .* give at least 5"):
        judge_landmark(points([*"aabbccdd"]), reranking=short)


@pytest.mark.parametrize(("asked", "by_name", "weighted"), [("b", 0, 1), ("a", 1, 0)])
def test_a_tied_vote_goes_to_the_name_that_sorts_first(points, asked, by_name, weighted):
    angles = np.array([0.0, 0.1, 0.3, 0.6])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    given = points([asked, "b", "a", "c"], vectors, ["test"] + ["index"] * 3)
    values = judge_landmark(given, query=["test"], gallery=["index"]).report.values
    assert (values["landmark_accuracy"], values["accuracy"]) == (by_name, weighted)


def test_no_voter_is_an_error(points):
    with pytest.raises(UsageError, match="neighbours is 0"):
        judge_landmark(points([*"aabb"]), neighbours=0)

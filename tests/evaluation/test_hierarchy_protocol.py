import csv

import numpy as np
import pytest

from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation import Report, compare
from perisphere.evaluation.class_prediction import Prediction, accuracies, by_class_points
from perisphere.evaluation.curve_table import write_curves
from perisphere.evaluation.hierarchy import judge_hierarchy
from perisphere.evaluation.plots import draw
from perisphere.evaluation.svm import by_svm
from perisphere.taxonomy import ClassPoints, Taxonomy

# Two families of two species each, and a species of its own; height 2.
PAIRS = [("root", "cats"), ("root", "dogs"), ("root", "owl")]
PAIRS += [("cats", "lion"), ("cats", "lynx"), ("dogs", "fox"), ("dogs", "wolf")]
SPECIES = ["fox", "lion", "lynx", "owl", "wolf"]


@pytest.fixture
def taxonomy():
    return Taxonomy.from_pairs(PAIRS, {"owl": "Tawny_owl"})


@pytest.fixture
def photos(points):
    """Ten photos of each species around a point of its own, and those of one family nearer each other."""
    rng = np.random.default_rng(3)
    centres = {name: rng.normal(size=8) for name in ("cats", "dogs", "owl")}
    family = {child: parent for parent, child in PAIRS if parent != "root"} | {"owl": "owl"}
    species = {name: centres[family[name]] + 0.6 * rng.normal(size=8) for name in SPECIES}
    labels = SPECIES * 10
    vectors = np.stack([species[label] + 0.5 * rng.normal(size=8) for label in labels])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return points(labels, vectors, ["train", "test"] * 25)


def slow(given, taxonomy, depth):
    """Mean HP@k and AHP@depth by LCS height, by the definition."""
    scores = given.vectors @ given.vectors.T
    curves = []
    for query, label in enumerate(given.labels):
        order = [i for i in np.argsort(-scores[query], kind="stable") if i != query]
        alike = [1 - taxonomy.height_of(taxonomy.lcs(label, given.labels[i])) / 2 for i in order]
        curves.append(np.cumsum(alike)[:depth] / np.cumsum(sorted(alike, reverse=True))[:depth])
    curves = np.array(curves)
    return curves.mean(0), np.trapezoid(curves, dx=1 / depth, axis=1).mean()


def test_every_image_asks_for_all_others(photos, taxonomy):
    report = judge_hierarchy(photos, taxonomy, ks=[1, 5], area=20, block=7).report
    curve, area = slow(photos, taxonomy, 49)
    assert report.curves["HP (LCS height)"] == pytest.approx(curve)
    assert report.values["HP@5 (LCS height)"] == pytest.approx(curve[4])
    assert report.values["mAHP@20 (LCS height)"] == pytest.approx(slow(photos, taxonomy, 20)[1])
    normalised = report.values["mAHP@20 normalised (LCS height)"]
    assert normalised == pytest.approx(report.values["mAHP@20 (LCS height)"] * 20 / 19)
    assert report.values["HP@1 (WUP)"] > report.values["HP@1 (LCS height)"]
    assert report.counts == {
        "queries": 50,
        "queries_without_relevant": 0,
        "queries_without_similar": 0,
        "gallery": 50,
        "gallery_without_label": 0,
        "classes": 5,
        "dimensions": 8,
    }
    whole = judge_hierarchy(photos, taxonomy, area=20, whole=True).report.values
    assert whole["mAHP (LCS height)"] == pytest.approx(area)
    assert whole["mAHP@20 (LCS height)"] == pytest.approx(report.values["mAHP@20 (LCS height)"])
    assert whole["mAP"] == pytest.approx(report.values["mAP"])


def test_a_depth_beyond_the_gallery_is_named_as_it_is(photos, taxonomy):
    values = judge_hierarchy(photos, taxonomy).report.values
    assert values["mAHP@49 (LCS height)"] == pytest.approx(slow(photos, taxonomy, 49)[1])
    assert [name for name in values if name.endswith("(WUP)")] == [
        "mAHP@49 (WUP)",
        "mAHP@49 normalised (WUP)",
        "HP@1 (WUP)",
        "HP@10 (WUP)",
    ]
    with pytest.raises(UsageError, match="k is 50; a ranking here has 49 images"):
        judge_hierarchy(photos, taxonomy, ks=[50])
    with pytest.raises(UsageError, match="k is empty"):
        judge_hierarchy(photos, taxonomy, ks=[])
    with pytest.raises(UsageError, match="AHP@1"):
        judge_hierarchy(photos, taxonomy, area=1)


def test_splits(photos, taxonomy):
    test = photos.of_split(["test"])
    alone = judge_hierarchy(test, taxonomy, ks=[1]).report
    named = judge_hierarchy(photos, taxonomy, query=["test"], ks=[1]).report
    assert named.values == alone.values  # the queries are the gallery, where none is named
    across = judge_hierarchy(photos, taxonomy, query=["test"], gallery=["train"], ks=[1]).report
    assert across.counts["gallery"] == 25
    assert across.values["mAHP@25 (LCS height)"] != alone.values["mAHP@24 (LCS height)"]
    assert across.data["gallery"] == ["train"]


def test_the_query_may_be_kept(photos, taxonomy):
    kept = judge_hierarchy(photos, taxonomy, ks=[1], keep_query=True).report
    assert kept.values["HP@1 (LCS height)"] == 1
    assert kept.values["mAP"] > judge_hierarchy(photos, taxonomy).report.values["mAP"]
    assert kept.conventions["the query itself"] == "counts as found"


def test_ids_and_names_are_the_same_class(photos, points, taxonomy):
    other = ["tawny owl" if label == "owl" else label for label in photos.labels]
    found = judge_hierarchy(points(other, photos.vectors), taxonomy).report
    assert found.values == judge_hierarchy(points(photos.labels, photos.vectors), taxonomy).report.values
    with pytest.raises(PerisphereError, match="unicorn"):
        judge_hierarchy(points(["fox", "unicorn"]), taxonomy)


def test_photos_without_a_label_are_left_out_and_counted(photos, points, taxonomy):
    vectors = np.vstack([photos.vectors, photos.vectors[:1]])
    found = judge_hierarchy(points([*photos.labels, None], vectors), taxonomy).report
    assert found.counts["gallery_without_label"] == 1
    assert found.values == judge_hierarchy(photos, taxonomy).report.values


def test_a_class_of_one_photo_that_is_like_nothing(points, taxonomy):
    report = judge_hierarchy(points(["fox", "fox", "wolf", "owl"]), taxonomy).report
    assert report.counts["queries_without_similar"] == 1
    assert report.counts["queries_without_relevant"] == 2
    assert 0 < report.values["mAHP@3 (LCS height)"] <= 2 / 3


def test_where_nothing_is_like_anything_else(points, taxonomy, tmp_path):
    report = judge_hierarchy(points(["owl", "lion", "fox"]), taxonomy).report
    undefined = [name for name, value in report.values.items() if np.isnan(value)]
    assert undefined == [name for name in report.values if name == "mAP" or "LCS height" in name]
    assert list(Report.load(report.save(tmp_path / "report.json")).curves) == ["HP (WUP)"]


def test_reranked_lists(photos, taxonomy):
    from perisphere.evaluation import Reranking
    from perisphere.search.rerank import parse_chain

    plain = judge_hierarchy(photos, taxonomy).report
    # Expansion by no neighbour leaves every list as it was.
    same = judge_hierarchy(photos, taxonomy, reranking=Reranking(parse_chain("aqe(n=0)"), 49))
    assert same.report.values == pytest.approx(plain.values)
    expanded = judge_hierarchy(photos, taxonomy, reranking=Reranking(parse_chain("aqe(n=3)"), 10))
    assert expanded.report.options["rerank"]
    assert expanded.report.values["mAP"] != pytest.approx(plain.values["mAP"])


def test_accuracies_by_hand(taxonomy):
    """Of four photos the first is right, the second within its family, the others in another."""
    nodes = ["fox", "wolf", "owl"]
    ranked = np.array([[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1]])
    values = accuracies(Prediction("x", nodes, ranked), ["fox", "fox", "fox", "lion"], taxonomy)
    assert values == {
        "x accuracy": 0.25,
        "x top-5": 0.75,
        "x balanced": pytest.approx((1 / 3 + 0) / 2),
        "x hierarchical": (1 + 0.5 + 0 + 0) / 4,
    }


def test_the_nearest_class_point_predicts(photos, points, taxonomy):
    rows = np.eye(7)[[SPECIES.index(label) for label in photos.labels]]
    rows[0] = np.eye(7)[1]
    # The sixth point is of an inner node, which no photo is to be called.
    classes = ClassPoints(np.eye(7)[:6], (*SPECIES, "cats"), None, "by hand")
    report = judge_hierarchy(
        points(photos.labels, rows), taxonomy, predictors=[by_class_points(classes, taxonomy)]
    ).report
    assert report.values["class point accuracy"] == pytest.approx(49 / 50)
    assert report.values["class point balanced"] == pytest.approx(1 - 0.1 / 5)
    assert report.values["class point hierarchical"] == pytest.approx(49 / 50)  # a fox taken for a lion
    assert report.options["class point"] == {"points": 5, "method": "by hand"}
    with pytest.raises(PerisphereError, match="vectors of 8 numbers, but class points of 7"):
        judge_hierarchy(photos, taxonomy, predictors=[by_class_points(classes, taxonomy)])


@pytest.mark.parametrize("scaling", ["unit", "largest"])
def test_a_linear_svm_predicts(photos, taxonomy, scaling):
    train = photos.of_split(["train"])
    svm = by_svm([train, train], taxonomy, scaling=scaling)
    report = judge_hierarchy(photos, taxonomy, query=["test"], predictors=[svm]).report
    assert 0.7 < report.values["SVM accuracy"] <= report.values["SVM hierarchical"] <= 1
    assert report.values["SVM top-5"] == 1
    assert report.options["SVM"]["learnt"] == 50
    assert report.options["SVM"]["scaling"] == scaling


def test_what_an_svm_scales_is_what_it_learnt_from(taxonomy, points):
    """A dimension that is tiny in training is blown up by its largest value there, and so decides."""
    vectors = np.array([[1, 1e-4], [1, -1e-4]] * 10)
    train, test = points(["fox", "wolf"] * 10, vectors), points(["fox", "wolf"], vectors[:2])
    for scaling, right in (("largest", True), ("unit", False)):
        prediction = by_svm([train], taxonomy, scaling=scaling, c=1e-3)(test)
        assert (prediction.ranked[:, 0].tolist() == [0, 1]) is right or scaling == "unit"
    assert by_svm([train], taxonomy, scaling="largest")(test).ranked.tolist() == [[0, 1], [1, 0]]


def test_an_svm_that_cannot_learn(photos, taxonomy, points):
    with pytest.raises(PerisphereError, match="at least 2 classes"):
        by_svm([points(["fox", "fox", None])], taxonomy)
    with pytest.raises(UsageError, match="scaling 'loud'"):
        by_svm([photos], taxonomy, scaling="loud")
    with pytest.raises(UsageError, match="c is 0"):
        by_svm([photos], taxonomy, c=0)
    with pytest.raises(PerisphereError, match="dimensions"):
        by_svm([photos], taxonomy)(points(["fox"], np.ones((1, 3))))


@pytest.fixture
def reports(photos, points, taxonomy):
    return {
        "trained": judge_hierarchy(photos, taxonomy).report,
        "random": judge_hierarchy(points(photos.labels), taxonomy).report,
    }


def test_curves_and_bars_are_drawn(reports, tmp_path):
    files = {file.name for file in draw(reports, tmp_path)}
    names = ("hierarchical-precision", "hierarchical-precision-wup", "mahp")
    assert files == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    del reports["random"].values["mAHP@49 (LCS height)"]
    with pytest.raises(PerisphereError, match=r"^random: the report lacks the mAHP \(LCS height\)"):
        draw(reports, tmp_path / "more")


def test_curves_as_csv(reports, tmp_path):
    reports["semi;colon"] = reports.pop("random")
    with write_curves(reports, tmp_path / "curves.csv").open() as file:
        head, *lines = csv.reader(file, delimiter=";")
    assert head == ["k", "trained", "semi;colon"]
    assert len(lines) == 49
    for column, report in enumerate(reports.values(), 1):
        assert [float(line[column]) for line in lines] == report.curves["HP (LCS height)"]
    other = Report("retrieval", {}, {})
    with pytest.raises(PerisphereError, match=r"^x: the report has no curve 'HP \(WUP\)'"):
        write_curves({"x": other}, tmp_path / "none.csv", "WUP")
    assert not (tmp_path / "none.csv").exists()


def test_reports_of_a_hierarchy_are_compared(reports, tmp_path):
    saved = Report.load(reports["trained"].save(tmp_path / "report.json"))
    assert saved == reports["trained"]
    assert compare({"a": saved, "b": reports["random"]}).row_count > 10

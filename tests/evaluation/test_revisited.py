import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from perisphere.catalog.ground_truth import GroundTruth
from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation import Points, Report, Reranking, annotate, check_kind, judge
from perisphere.evaluation.revisited import CONVENTIONS
from perisphere.search.rerank import parse_chain


def table(names, splits, boxes=None):
    return pl.DataFrame(
        {
            "id": range(len(names)),
            "path": [f"jpg/{name}.jpg" for name in names],
            "split": splits,
            "label": [None] * len(names),
            "box": boxes or [None] * len(names),
        },
        schema={
            "id": pl.Int64,
            "path": pl.String,
            "split": pl.String,
            "label": pl.String,
            "box": pl.List(pl.Int64),
        },
    )


def line(angles):
    """Unit vectors whose order by cosine to angle 0 is the order of the angles."""
    angles = np.array(angles, np.float32)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture
def oxford():
    """One query at angle 0, the gallery a to f in this order from it."""
    names = ["q", "f", "e", "d", "c", "b", "a"]
    return Points(line([0, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]), table(names, ["query"] + ["index"] * 6), "here")


def scene(seed):
    """A photo full of corners."""
    tiles = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), np.uint8)
    return np.asarray(Image.fromarray(tiles).resize((160, 160), Image.Resampling.BICUBIC))


def truth(kind="revisited", gallery=tuple("abcdef"), queries=("q",), boxes=(None,), **lists):
    found = {name: tuple(names) for name, names in lists.items()}
    return GroundTruth(kind, queries, gallery, (found,) * len(queries), boxes)


def test_each_setting_ignores_its_own_images(oxford):
    given = truth(easy="b", hard="d", junk="a")
    judged = judge("revisited", annotate(oxford, given), ks=[1, 10])
    values = judged.report.values
    # Without a: b c d e f. Easy ignores d too, Hard ignores b.
    assert values["easy mAP"] == 1.0
    assert values["medium mAP"] == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert values["hard mAP"] == pytest.approx((0 + 1 / 2) / 2)
    assert values["medium mP@10"] == pytest.approx(2 / 3)
    assert values["hard mP@1"] == 0.0
    assert judged.report.counts["queries"] == 1
    assert judged.report.counts["medium relevant_pairs"] == 2
    assert judged.average_precision.tolist() == [values["medium mAP"]]


@pytest.mark.parametrize("benchmark", CONVENTIONS)
def test_reports_say_that_figures_are_shares(benchmark):
    assert "times 100" in CONVENTIONS[benchmark]["figures"]


def test_a_setting_that_no_query_counts_for_is_undefined(oxford, tmp_path):
    report = judge("revisited", annotate(oxford, truth(easy="a", hard="", junk=""))).report
    assert np.isnan(report.values["hard mAP"])
    assert report.counts["hard queries_without_relevant"] == 1
    assert json.loads(report.to_json())["values"]["hard mAP"] is None
    again = Report.load(report.save(tmp_path / "r.json"))
    assert np.isnan(again.values["hard mAP"])
    assert "undefined" in str(list(again.table().columns[1].cells))


def test_an_image_without_a_vector_counts_as_existing(oxford):
    given = truth(gallery=(*"abcdef", "lost"), easy=("a", "lost"), hard="", junk="")
    report = judge("revisited", annotate(oxford, given)).report
    assert report.values["easy mAP"] == 0.5
    assert report.counts["images_without_vector"] == 1
    assert report.counts["easy relevant_not_found"] == 1


@pytest.mark.parametrize("half", [False, True])
def test_distractors_are_wrong_for_every_query(oxford, half):
    angles = line([0.05, 0.35]).astype(np.float16 if half else np.float32)
    more = Points(angles, table(["x", "b"], [None, None]), "there")
    given = annotate(
        oxford, truth(kind="classic", gallery=tuple("abcdef"), ok="a", junk=""), distractors=[more]
    )
    report = judge("oxford", given, block=1).report
    assert report.values["mAP"] == pytest.approx(0.25)
    assert (report.counts["gallery"], report.counts["distractors"]) == (8, 2)
    assert report.data["gallery"] == ["here", "there"]


def test_what_is_for_learning_is_not_searched(oxford):
    splits = ["query", "train", "val", "index", None, "index", "distractor"]
    given = Points(oxford.vectors, oxford.rows.with_columns(pl.Series("split", splits)), "here")
    right = truth(easy="a", hard="", junk="")
    assert len(annotate(given, right).gallery) == 4
    assert len(annotate(given, right, gallery=["train", "index"]).gallery) == 3


def test_google_landmarks_is_judged_within_the_first_hundred():
    names = [f"{row:03d}" for row in range(120)]
    given = Points(line(np.linspace(0, 1, 121)), table(["q", *names], ["query"] + ["index"] * 120), "here")
    right = truth(kind="gldv2", gallery=None, ok=("000", "003", "110"))
    report = judge("gldv2", annotate(given, right)).report
    assert report.values == {"mAP@100": pytest.approx((1 + 2 / 4) / 3)}
    assert report.counts["distractors"] == 117


def test_one_photo_may_ask_with_several_boxes():
    rows = table(
        ["q", "q", "a", "b"], ["query", "query", "index", "index"], [[0, 0, 9, 9], [5, 5, 8, 8], None, None]
    )
    given = Points(line([0.0, 1.0, 0.1, 0.9]), rows, "here")
    both = truth(
        kind="classic",
        gallery=None,
        queries=("q", "q"),
        boxes=((5.2, 5, 8, 8), (0, 0, 9, 9)),
        ok="b",
        junk="",
    )
    judged = judge("oxford", annotate(given, both))
    assert judged.average_precision.tolist() == [1.0, 0.25]


def test_what_does_not_fit_is_named(oxford):
    right = truth(easy="a", hard="", junk="")
    with pytest.raises(PerisphereError, match=r"no row of split 'asks'; the splits here are index, query"):
        annotate(oxford, right, query=["asks"])
    with pytest.raises(PerisphereError, match="1 of 1 queries have no vector, 'nobody' first"):
        annotate(oxford, truth(queries=("nobody",), easy="a", hard="", junk=""))
    with pytest.raises(PerisphereError, match="no image of the gallery is named in the ground truth"):
        annotate(oxford, truth(gallery=("x",), easy="x", hard="", junk=""))
    twice = Points(line([1]), table(["a"], [None]), "there")
    with pytest.raises(PerisphereError, match="two images of the gallery are named 'a'"):
        annotate(oxford, right, distractors=[twice])
    mine, other = (Points(line([0]), table(["z"], ["query"]), name, {"identity": name}) for name in "xy")
    with pytest.raises(PerisphereError, match="y: was embedded with the encoder y, but x with x"):
        annotate(mine, right, gallery=["query"], distractors=[other])
    with pytest.raises(PerisphereError, match="no image is left to search"):
        annotate(mine, right)
    with pytest.raises(UsageError, match="use `perisphere evaluate revisited`"):
        check_kind("oxford", right)


def test_reranked_lists_are_judged_as_far_as_they_go(oxford):
    given = annotate(oxford, truth(easy="a", hard="f", junk="b"))
    short = Reranking(parse_chain("alphaqe(n=1)"), depth=3)
    judged = judge("revisited", given, reranking=short)
    assert judged.report.values["easy mAP"] == 1.0
    assert judged.report.values["hard mAP"] == 0.0
    assert judged.report.counts["hard relevant_not_found"] == 1
    assert judged.report.options["depth"] == 3
    whole = judge("revisited", given, reranking=Reranking(parse_chain("alphaqe(n=0)")))
    plain = judge("revisited", given)
    assert whole.report.values == plain.report.values


def test_a_reranker_that_looks_never_sees_what_a_setting_ignores(tmp_path):
    # From the query: junk, hard, wrong, easy. Only the easy image shows what the query's box shows; the wrong
    # one shows more of what lies beside the box.
    names = ["q", "j", "h", "w", "e"]
    inside, junk, hard, beside = (scene(seed) for seed in range(4))
    shown = [np.hstack([inside, beside]), junk, hard, beside, inside[:, :110]]
    for name, photo in zip(names, shown, strict=True):
        Image.fromarray(photo).save(tmp_path / f"{name}.png")
    box = [0, 0, 160, 160]
    rows = table(names, ["query"] + ["index"] * 4, [box] + [None] * 4).with_columns(
        path=pl.Series([f"{name}.png" for name in names]), root=pl.lit(str(tmp_path))
    )
    given = annotate(
        Points(line([0, 0.1, 0.2, 0.3, 0.4]), rows, "here"),
        truth(gallery=tuple("jhwe"), boxes=(tuple(box),), easy="e", hard="h", junk="j"),
    )
    # Two are verified: the easy image is among them only where junk and hard are gone.
    values = judge("revisited", given, reranking=Reranking(parse_chain("geometric(n=2)"))).report.values
    assert values["easy mAP"] == 1.0
    assert values["medium mAP"] == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert values["hard mAP"] == 1.0

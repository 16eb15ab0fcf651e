import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation import Points, Report, Reranking, judge_centroid, judge_reid
from perisphere.evaluation.centroid import both
from perisphere.evaluation.per_query import per_query, write_per_query
from perisphere.evaluation.plots import draw
from perisphere.search.rerank import parse_chain


def people(vectors, labels, cameras, splits, domains=None, lengths=None):
    n = len(labels)
    rows = pl.DataFrame(
        {
            "id": range(n),
            "path": [f"{label}/{row}.jpg" for row, label in enumerate(labels)],
            "split": splits,
            "label": labels,
            "camera": cameras,
            "domain": domains or [None] * n,
        },
        schema_overrides={"label": pl.String, "camera": pl.String, "domain": pl.String},
    )
    return Points(np.asarray(vectors, np.float32), rows, "somewhere", {"name": "e"}, lengths=lengths)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden" / "centroids.json").read_text())["evaluation"]["a"]


def golden_points(case, kept):
    """Queries and gallery as `perisphere embed` leaves them: unit rows, their lengths kept or not."""
    raw = np.array(case["query"]["embeddings"] + case["gallery"]["embeddings"], np.float32)
    sides = [case["query"], case["gallery"]]
    labels, cameras = ([str(value) for side in sides for value in side[key]] for key in ("ids", "cameras"))
    splits = ["query"] * len(sides[0]["ids"]) + ["gallery"] * len(sides[1]["ids"])
    # "0" is an identity here: queries have it.
    return people(unit(raw), labels, cameras, splits, lengths=np.linalg.norm(raw, axis=1) if kept else None)


def test_both_protocols_give_the_published_figures(golden):
    points = golden_points(golden, kept=True)
    photos, centroids = judge_reid(points), judge_centroid(points)
    assert photos.report.values["mAP"] == pytest.approx(golden["instances"]["mAP"], abs=1e-6)
    found, expected = centroids.report.values, golden["centroids_with_cameras"]
    assert found["published mAP"] == pytest.approx(expected["mAP"], abs=1e-6)
    ranks = [found[f"published rank-{k}"] for k in (1, 5, 10, 20, 50)]
    assert_allclose(ranks, expected["rank_1_5_10_20_50"])
    plain = judge_centroid(points, cameras=False, metric="l2").report.values
    assert plain["published mAP"] == pytest.approx(golden["centroids_without_cameras"]["mAP"], abs=1e-6)
    assert plain["mAP"] == plain["published mAP"]
    assert "asked mAP" not in plain


def test_centroids_of_unit_rows_differ_and_the_report_says_so(golden):
    kept, lost = (judge_centroid(golden_points(golden, kept=kept), cameras=False) for kept in (True, False))
    assert "as the network gave them" in kept.report.conventions["centroid"]
    assert "length 1" in lost.report.conventions["centroid"]
    kept_points, lost_points = (judged.parts[0][0].vectors for judged in (kept, lost))
    assert np.abs(kept_points - lost_points).max() > 0.01


def crowd(seed=0, identities=6, cameras=3, noise=0.7, distractors=9):
    """Three photos of each identity by each camera, the first a query, and distractors in the gallery."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(1, identities + 1), 3 * cameras)
    by = np.tile(np.repeat(np.arange(cameras), 3), identities)
    splits = np.where(np.tile(np.arange(3), identities * cameras) == 0, "query", "gallery")
    centres = rng.standard_normal((identities + 1, 8)) + np.eye(identities + 1, 8)
    vectors = centres[of] + rng.standard_normal((len(of), 8)) * noise
    strangers = rng.standard_normal((distractors, 8))
    return people(
        unit(np.concatenate([vectors, strangers])),
        [f"{identity:04}" for identity in of] + ["0000"] * distractors,
        [str(camera) for camera in by] + ["0"] * distractors,
        splits.tolist() + ["gallery"] * distractors,
    )


def test_distractors_stand_by_themselves_and_vanish_in_the_protocol_as_described():
    judged = judge_centroid(crowd())
    assert judged.report.counts["centroids"] == 6
    assert judged.report.counts["photos_by_themselves"] == 9
    values = judged.report.values
    assert values["mAP"] <= values["asked mAP"]
    without = judge_centroid(crowd(distractors=1)).report.values
    assert without["mAP"] > values["mAP"]
    assert without["asked mAP"] == values["asked mAP"]


def test_cameras_make_it_harder_and_each_query_meets_its_own_identity_once():
    points = crowd()
    with_cameras, without = judge_reid(points), judge_reid(points, cameras=False)
    assert with_cameras.report.values["mAP"] < without.report.values["mAP"]
    assert with_cameras.figures.ranks.counts.tolist() == [4] * 18
    assert without.figures.ranks.counts.tolist() == [6] * 18
    assert with_cameras.figures.ranks.candidates.tolist() == [43] * 18  # 36 and 9 distractors, but 2 left out
    assert judge_centroid(points).figures.ranks.counts.tolist() == [1] * 18
    # All others' centroids, its own and the distractors.
    assert judge_centroid(points).figures.ranks.candidates.tolist() == [15] * 18


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.sampled_from(["cosine", "l2"]), st.integers(1, 30))
def test_neither_a_turned_sphere_nor_the_size_of_blocks_changes_a_figure(seed, metric, block):
    points = crowd(seed)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((8, 8)))[0]
    turned = Points((points.vectors @ turn).astype(np.float32), points.rows)
    for judge in (judge_reid, judge_centroid):
        before = judge(points, metric=metric).report.values
        after = judge(turned, metric=metric, block=block).report.values
        assert after == pytest.approx(before, abs=1e-6)


def test_user_to_shop_asks_only_with_users_photos_and_finds_only_the_shops():
    vectors = np.eye(5)[[0, 1, 0, 1, 0, 2]] + 0.01
    points = people(
        vectors,
        ["7", "8", "7", "8", "7", "9"],
        ["0", "0", "1", "1", "0", "1"],
        ["query", "query", "gallery", "gallery", "gallery", "query"],
        ["user", "user", "shop", "shop", "user", "shop"],
    )
    report = judge_reid(points, user_to_shop=True).report
    assert report.counts["queries"] == 2
    assert report.counts["gallery"] == 2
    assert report.values == {"mAP": 1, "mINP": 1, "top-1": 1, "top-10": 1, "top-20": 1, "top-50": 1}
    assert set(judge_centroid(points, user_to_shop=True).report.values) >= {"top-1", "published top-50"}
    with pytest.raises(PerisphereError, match="no photo is of the domain 'user'"):
        judge_reid(crowd(), user_to_shop=True)


def test_a_query_in_the_gallery_is_never_its_own_answer():
    vectors = np.eye(4)[[0, 0, 1, 1]]
    points = people(vectors, ["a", "b", "a", "b"], [None] * 4, ["all"] * 4)
    judged = judge_reid(points, query=None, gallery=None, cameras=False)
    assert judged.figures.first_right.tolist() == [3, 3, 3, 3]
    assert "itself" in judged.report.conventions["left_out"]
    with pytest.raises(PerisphereError, match="in their own centroids"):
        judge_centroid(points, query=None, gallery=None, cameras=False)


def test_reranked_lists_are_judged_with_cameras_left_out():
    points = crowd()
    chain = parse_chain("kreciprocal")
    judged = judge_reid(points, reranking=Reranking(chain, 45))
    assert judged.figures.ranks.counts.tolist() == [4] * 18
    assert judged.report.values["mAP"] != judge_reid(points).report.values["mAP"]
    short = judge_reid(points, reranking=Reranking(chain, 2))
    assert short.report.values["mINP"] < judged.report.values["mINP"]
    assert short.report.conventions["ties"] == "as re-ranked"


@pytest.mark.parametrize("chain", ["label", "softlabel"])
def test_photos_that_are_left_out_do_not_vote(chain):
    """Each camera's photos of an identity are the same; those by two cameras have nothing in common."""
    points = crowd(distractors=0)
    alike = np.repeat(unit(np.random.default_rng(0).standard_normal((18, 8))), 3, axis=0)
    points = Points(alike.astype(np.float32), points.rows)
    assert judge_reid(points).report.values["rank-1"] < 0.5
    reranked = judge_reid(points, reranking=Reranking(parse_chain(chain), 36))
    assert reranked.report.values["rank-1"] < 0.5
    assert not reranked.shows_ignored


def test_table_of_queries_has_the_worst_first_and_the_skipped_last(tmp_path):
    points = crowd()
    lost = points.rows.with_columns(
        pl.when(pl.col("id") == 0).then(pl.lit("nobody")).otherwise("label").alias("label")
    )
    judged = judge_reid(Points(points.vectors, lost))
    table = per_query(judged)
    assert table["average_precision"][:-1].is_sorted()
    assert table.row(-1, named=True) == {
        "id": 0,
        "path": "0001/0.jpg",
        "label": "nobody",
        "camera": "0",
        "domain": None,
        "average_precision": None,
        "inp": None,
        "first_right": None,
        "right": 0,
    }
    assert table["average_precision"].mean() == pytest.approx(judged.report.values["mAP"])
    assert judged.report.counts["queries_skipped"] == 1
    assert pl.read_parquet(write_per_query(judged, tmp_path / "q.parquet")).equals(table)
    assert pl.read_csv(write_per_query(judged, tmp_path / "q.csv"))["id"].to_list() == table["id"].to_list()
    with pytest.raises(UsageError, match="a table of queries ends in"):
        write_per_query(judged, tmp_path / "q.txt")


def test_both_protocols_make_one_report_that_is_saved_and_drawn(tmp_path):
    points = crowd()
    photos, centroids = judge_reid(points).report, judge_centroid(points).report
    report = both(photos, centroids)
    assert report.values["mAP"] == photos.values["mAP"]
    assert report.values["centroid mAP"] == centroids.values["mAP"]
    assert report.values["centroid published rank-1"] == centroids.values["published rank-1"]
    assert Report.load(report.save(tmp_path / "report.json")) == report
    assert {file.name for file in draw({"one": report}, tmp_path)} >= {"cmc.png", "found.svg"}


@pytest.mark.parametrize("judge", [judge_reid, judge_centroid])
def test_a_wrong_depth_is_found_before_anything_is_ranked(judge, monkeypatch):
    monkeypatch.setattr("perisphere.evaluation.reid.rank_blocks", None)
    monkeypatch.setattr("perisphere.evaluation.centroid.entries_of", None)
    for ks, message in {(0, 1): "k is 0", (): "k is empty"}.items():
        with pytest.raises(UsageError, match=message):
            judge(crowd(), ks=ks)


def test_bad_input_is_one_line():
    points = crowd()
    blind = Points(points.vectors, points.rows.with_columns(pl.lit(None, pl.String).alias("camera")))
    with pytest.raises(PerisphereError, match="no photo has a camera; ignore cameras with --ignore-cameras"):
        judge_reid(blind)
    assert judge_reid(blind, cameras=False).report.counts["gallery"] == 45
    with pytest.raises(PerisphereError, match="no row of split 'querry'"):
        judge_centroid(points, query=["querry"])
    alone = Points(points.vectors, points.rows.with_columns(pl.lit("0").alias("camera")))
    for judge in (judge_reid, judge_centroid):
        with pytest.raises(PerisphereError, match="no query has a photo of its identity left"):
            judge(alone)

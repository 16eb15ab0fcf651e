import json
from pathlib import Path

import polars as pl
import pytest
import torch
from reid_photos import write_market
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from perisphere.catalog import Catalog
from perisphere.catalog.readers import read
from perisphere.encoder import Encoder
from perisphere.errors import PerisphereError
from perisphere.metrics.reid import reid
from perisphere.nets import build
from perisphere.training import Recipe, train
from perisphere.training.devices import Place
from perisphere.training.judge import embedded, retrieval_judge
from perisphere.training.photos import labelled_data


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    return write_market(tmp_path_factory.mktemp("market"))


@pytest.fixture
def judged(tree, market, tmp_path):
    """A recipe whose epochs retrieval judges."""

    def make(judge=None, **changes) -> Recipe:
        data = [{"format": "market1501", "root": str(market), "val": None}]
        judge = {"every": 2} | (judge or {})
        return Recipe.model_validate(tree | {"data": data, "judge": judge, "epochs": 3} | changes)

    return make


def history(recipe: Recipe) -> list[dict]:
    return json.loads((recipe.folder / "history.json").read_text())


def test_epochs_are_judged_by_retrieval_and_the_best_one_is_kept(judged):
    recipe = judged(epochs=5, optimizer={"name": "sgd", "lr": 0.05})
    encoder = Encoder.load(train(recipe))
    rows = history(recipe)
    maps = {row["epoch"]: row["val/mAP"] for row in rows if "val/mAP" in row}
    assert sorted(maps) == [2, 4, 5], "every second epoch and the last; others show no old figure"
    assert encoder.provenance["epoch"] == max(maps, key=lambda epoch: (maps[epoch], -epoch))
    assert encoder.metrics["val/mAP"] == pytest.approx(max(maps.values()))
    assert {"val/rank-1", "val/rank-5", "val/rank-10", "val/mINP", "train/loss"} <= set(rows[-1])
    points = EventAccumulator(str(recipe.folder / "tensorboard" / "data-1")).Reload().Scalars("val/mAP")
    assert [point.step for point in points] == [2, 4, 5]


def test_the_figures_are_those_of_the_encoder_on_the_same_photos(judged, market):
    recipe = judged(judge={"every": 1}, epochs=1)
    encoder = Encoder.load(train(recipe))
    table = read("market1501", market).table
    sides = [table.filter(pl.col("split") == split) for split in ("query", "gallery")]
    vectors = [
        encoder.encode([market / path for path in side["path"]], precision="float32") for side in sides
    ]
    found = reid(
        *vectors,
        query_ids=sides[0]["label"].to_list(),
        gallery_ids=sides[1]["label"].to_list(),
        query_cameras=sides[0]["camera"].to_list(),
        gallery_cameras=sides[1]["camera"].to_list(),
    ).means((1,))
    assert history(recipe)[0]["val/mAP"] == pytest.approx(found["mAP"], abs=1e-6)
    assert history(recipe)[0]["val/rank-1"] == pytest.approx(found["rank-1"], abs=1e-6)


def judge_of(recipe: Recipe, place: Place | None = None):
    data = labelled_data(recipe.data[0], 0, judge=recipe.judge)
    net = build(recipe.net, seed=1)
    return retrieval_judge(recipe, net, data.judged, place or Place("cpu"))


def test_centroids_and_cameras_each_change_the_figures(judged):
    vectors = embedded(judge_of(judged()).net, judge_of(judged()).loader).numpy()
    found = {
        name: judge_of(judged(judge=rule)).figures(vectors)["val/mAP"]
        for name, rule in {
            "plain": {},
            "centroids": {"protocol": "centroids"},
            "same camera": {"cameras": False},
        }.items()
    }
    assert len(set(found.values())) == 3, found
    assert found["same camera"] > found["plain"], "photos by the query's own camera are easy"


def test_devices_share_the_photos(judged):
    whole = judge_of(judged())
    everything = embedded(whole.net, whole.loader)
    parts = [judge_of(judged(), Place("cpu", rank, 2, 2)) for rank in range(2)]
    for rank, part in enumerate(parts):
        assert torch.allclose(embedded(whole.net, part.loader), everything[rank::2], atol=1e-6)


def test_the_network_comes_back_as_it_was(judged):
    judge = judge_of(judged(net={"backbone": "small32", "projection": 8, "bnneck": True}))
    judge.net.train()
    judge.net.bnneck.eval()
    before = {name: value.clone() for name, value in judge.net.state_dict().items()}
    embedded(judge.net, judge.loader)
    assert judge.net.training
    assert not judge.net.bnneck.training
    assert all(torch.equal(before[name], value) for name, value in judge.net.state_dict().items())


def test_a_network_behind_its_frozen_parts_is_judged_from_the_images_on(judged):
    judge = judge_of(judged())
    whole = embedded(judge.net, judge.loader)
    judge.net.start = 2
    assert torch.equal(embedded(judge.net, judge.loader), whole)
    assert judge.net.start == 2


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        (
            {"query": "probe"},
            r"split 'probe' has no photos; its splits are gallery, query, train\. Set judge.query",
        ),
        (
            {"gallery": "train"},
            r"no photo of split 'query' has one of its label by another camera in split 'train'",
        ),
    ],
)
def test_nothing_to_judge_by_is_an_error_before_anything_is_learned(judged, judge, words):
    recipe = judged(judge=judge)
    with pytest.raises(PerisphereError, match=words):
        train(recipe)
    assert not (recipe.folder / "history.json").exists()


def test_a_network_that_has_diverged_is_named_and_not_its_photos(judged):
    recipe = judged(judge={"every": 1}, optimizer={"name": "sgd", "lr": 1e30})
    with pytest.raises(
        PerisphereError, match=r"epoch 1: the network gives .* not finite.*lower optimizer\.lr"
    ):
        train(recipe)


def test_photos_without_cameras_are_judged_without(judged, market, tmp_path):
    catalog = read("market1501", market)
    Catalog(catalog.table.with_columns(camera=pl.lit(None, pl.String)), catalog.root, catalog.source).save(
        tmp_path / "blind"
    )
    data = [{"catalog": str(tmp_path / "blind"), "val": None}]
    with pytest.raises(PerisphereError, match=r"photos have no camera\. Set judge\.cameras=false"):
        train(judged(data=data))
    train(judged(data=data, judge={"cameras": False}, epochs=1, out=str(tmp_path / "other")))


def test_other_photos_to_judge_by_are_another_run(judged, market):
    one = labelled_data(judged().data[0], 0)
    other = labelled_data(judged().data[0], 0, judge=judged().judge)
    assert one.judged is None
    assert other.fingerprint != one.fingerprint

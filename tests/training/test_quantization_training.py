import json

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from typer.testing import CliRunner

import perisphere.cli.train  # noqa: F401
from perisphere.catalog import Catalog
from perisphere.catalog.readers import read
from perisphere.cli.main import app
from perisphere.encoder import Encoder
from perisphere.errors import PerisphereError, UsageError
from perisphere.tags.tags import Tags
from perisphere.training import Recipe, keeping, train
from perisphere.training.recipe_files import save

NAMES = tuple(f"{word}{number}" for number in range(3) for word in ("sky", "sea", "boat"))
EASY = {
    "net": {"backbone": "pixels", "input_size": 4},
    "preprocessing": {"size": [4, 4], "resize": "squash"},
    "augmentation": {"flip": 0.5},
    "optimizer": {"name": "adam", "lr": 0.01},
    "epochs": 4,
    "batch_size": 12,
}
SMALL = {"net": {"backbone": "small32"}, "preprocessing": {"size": [16, 16], "resize": "squash"}}


def history(recipe):
    return json.loads((recipe.folder / "history.json").read_text())


@pytest.fixture
def tagged(photos, tmp_path) -> Catalog:
    """The photos of three classes with tags of their class, some that nobody knows, and one without any."""
    catalog, draw = read("folders", photos), np.random.default_rng(0)

    def words(label):
        own = NAMES[3 * int(label[-1]) :][:3]
        return [own[draw.integers(2)], own[2], *(["canon"] if draw.random() < 0.5 else [])]

    lists = [words(label) for label in catalog.table["label"]]
    lists[0] = ["canon"]
    table = catalog.table.with_columns(pl.Series("tags", lists))
    catalog = catalog.with_table(table)
    catalog.save(tmp_path / "catalog")
    return catalog


@pytest.fixture
def tags(tmp_path) -> Tags:
    """Tags of a class lie beside each other."""
    draw = np.random.default_rng(1)
    vectors = np.repeat(np.eye(3, 6), 3, 0) + 0.3 * draw.standard_normal((9, 6))
    made = Tags(NAMES, (2 * vectors).astype(np.float32), np.ones(9, np.int64), {name: name for name in NAMES})
    made.save(tmp_path / "tags")
    return made


@pytest.fixture
def wished(recipe, tagged, tags, tmp_path):
    """Make a recipe that learns from the tags; ``rule`` changes its section."""

    def make(rule=None, **changes) -> Recipe:
        section = {"tags": str(tmp_path / "tags"), "books": 2, "words": 8, "start": 1} | (rule or {})
        data = [{"catalog": str(tmp_path / "catalog")}]
        usual = {"method": "quantization", "quantization": section, "data": data}
        return recipe(**EASY | usual | changes)

    return make


def judged(encoder: Encoder, tagged: Catalog, split="val") -> float:
    """Return how often the nearest tag of a photo is one of its class."""
    rows = tagged.table.filter(pl.col("split") == split)
    nearest = (encoder.encode([tagged.root / path for path in rows["path"]]) @ encoder.tags.unit.T).argmax(1)
    return float(
        np.mean([NAMES[tag][-1] == label[-1] for tag, label in zip(nearest, rows["label"], strict=True)])
    )


@pytest.mark.parametrize("loss", ["adaptive", "fixed", "wdht"])
def test_photos_reach_their_tags(wished, tagged, loss):
    notes = []
    recipe = wished({"loss": loss})
    encoder = Encoder.load(train(recipe, tell=notes.append))
    rows = history(recipe)
    assert rows[-1]["train/embedding_loss"] < rows[0]["train/embedding_loss"]
    assert judged(encoder, tagged) > 0.6
    assert encoder.dim == encoder.net.spec.projection == 6
    assert encoder.tags.names == NAMES
    assert encoder.provenance["tags"] == 9
    assert any("1 of 72 photos have no known tag and are left out" in note for note in notes)


def test_codes_of_the_encoder_are_of_its_own_vectors(wished, tagged):
    recipe = wished({"weight": 0.01})
    encoder = Encoder.load(train(recipe))
    codebooks = encoder.codebooks
    assert (codebooks.kind, codebooks.unit, codebooks.books, codebooks.words.shape) == (
        "additive",
        True,
        2,
        (2, 8, 6),
    )
    rows = tagged.table.filter(pl.col("split") == "train")[1:]
    vectors = encoder.encode([tagged.root / path for path in rows["path"]])
    left = codebooks.error(vectors, codebooks.encode(vectors)).sum()
    whole = np.square(vectors @ codebooks.metric).sum()
    assert left / whole <= codebooks.about["error"] * 1.01 < 0.05
    assert codebooks.about["features"] == "recomputed"
    np.testing.assert_allclose(
        codebooks.metric @ codebooks.metric.T, encoder.tags.unit.T @ encoder.tags.unit, atol=1e-4
    )


def test_what_is_logged(wished):
    recipe = wished({"start": 2, "every": 2, "weight": 0.5}, epochs=5)
    train(recipe)
    rows = history(recipe)
    assert ["train/quantization_error" in row for row in rows] == [False, True, False, True, False]
    assert [row["train/quantization_loss"] > 0 for row in rows] == [False, False, True, True, True]
    for row in rows:
        whole = row["train/embedding_loss"] + 0.5 * row["train/quantization_loss"]
        assert row["train/loss"] == pytest.approx(whole, rel=1e-5)
        assert row["val/loss"] > 0


@pytest.mark.parametrize(
    "rule", [{"unit": False}, {"features": "fresh"}, {"negatives": "hard", "beam": 2, "restarts": 1}]
)
def test_every_option_trains(wished, rule):
    encoder = Encoder.load(train(wished(rule, epochs=2)))
    assert encoder.codebooks.unit == rule.get("unit", True)
    metric, vectors = (
        encoder.codebooks.metric,
        encoder.tags.unit if encoder.codebooks.unit else encoder.tags.vectors,
    )
    np.testing.assert_allclose(metric @ metric, vectors.T @ vectors, rtol=1e-3, atol=1e-4)


def test_codebooks_that_training_never_came_to_are_fitted_at_its_end(wished):
    recipe = wished({"start": 9}, epochs=1)
    encoder = Encoder.load(train(recipe))
    assert "train/quantization_error" not in history(recipe)[0]
    assert encoder.codebooks.about["error"] < 0.5


def end_state(recipe):
    return torch.load(recipe.folder / "checkpoints" / "data-1" / "last.ckpt", weights_only=True)


def test_a_killed_and_resumed_run_ends_the_same(wished, tmp_path, monkeypatch):
    changes = {"data": [{"catalog": str(tmp_path / "catalog"), "val": None}], "batch_size": 20}
    rule = {"every": 2, "weight": 0.1}
    whole = wished(rule, **changes, out=tmp_path / "whole")
    killed = wished(rule, **changes, out=tmp_path / "killed")
    train(whole)

    class PowerCutError(Exception):
        pass

    def cut(self, trainer, module, *args):
        if trainer.current_epoch == 2:
            raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(keeping.History, "on_train_batch_end", cut, raising=False)
        with pytest.raises(PowerCutError):
            train(killed)
    train(killed, resume=True)
    one, other = end_state(whole), end_state(killed)
    assert one["learned_codes"]["words"] is not None
    for part in ("state_dict", "learned_codes"):
        assert one[part].keys() == other[part].keys()
        for name, tensor in one[part].items():
            assert torch.equal(tensor, other[part][name]), name
    assert history(whole) == history(killed)
    first, second = (Encoder.load(run.folder / "encoder") for run in (whole, killed))
    assert first.identity == second.identity
    assert first.codebooks.fingerprint == second.codebooks.fingerprint


def test_codebooks_are_not_fitted_twice(wished):
    recipe = wished(epochs=1)
    folder = train(recipe)
    before = Encoder.load(folder).codebooks
    (recipe.folder / "checkpoints" / "data-1" / "done.json").unlink()  # killed right before it was written
    train(recipe, resume=True)
    assert Encoder.load(folder).codebooks.fingerprint == before.fingerprint


@pytest.mark.slow
def test_two_processes_end_where_one_ends(wished, tmp_path):
    rule = {"weight": 0.1, "features": "fresh"}
    one = wished(rule, epochs=2, out=tmp_path / "one")
    two = wished(rule, epochs=2, out=tmp_path / "two", devices=2)
    first, second = (load_file(train(recipe) / "weights.safetensors") for recipe in (one, two))
    for name in first:
        assert torch.allclose(first[name], second[name], atol=1e-4), name
    for row, other in zip(history(one), history(two), strict=True):
        assert row == pytest.approx(other, abs=1e-3)


def test_frozen_stages_may_be_cached(wished):
    changes = SMALL | {"freeze": {"stages": ["stem"], "cached": True}, "epochs": 1}
    encoder = Encoder.load(train(wished({"features": "fresh"}, **changes)))
    assert encoder.codebooks.about["error"] < 0.5


def test_photos_are_held_out_without_labels(wished, tagged, tmp_path):
    bare = tagged.with_table(
        tagged.table.with_columns(label=pl.lit(None, pl.String), split=pl.lit(None, pl.String))
    )
    bare.save(tmp_path / "bare")
    data = [{"catalog": str(tmp_path / "bare"), "train": None, "val": None, "val_fraction": 0.25}]
    recipe = wished(data=data, epochs=1)
    train(recipe)
    assert history(recipe)[0]["val/loss"] > 0


def test_photos_are_learned_from_what_the_tags_were_made_from(wished, tagged, tags, tmp_path):
    table = tagged.table.with_columns(
        caption=pl.Series([f"The {' and '.join(words)}." for words in tagged.table["tags"]]),
        tags=pl.lit([], pl.List(pl.String)),
    )
    tagged.with_table(table).save(tmp_path / "captioned")
    data = [{"catalog": str(tmp_path / "captioned")}]
    with pytest.raises(PerisphereError, match="no photo has a tag"):
        train(wished(data=data, out=tmp_path / "typed"))
    made = Tags(tags.names, tags.vectors, tags.counts, tags.merges, {"from": ["tags", "captions"]})
    made.save(tmp_path / "tags", overwrite=True)
    notes = []
    train(wished(data=data, epochs=1), tell=notes.append)
    assert any("1 of 72 photos have no known tag" in note for note in notes)


def test_what_does_not_fit_is_named(wished, tags, tmp_path):
    with pytest.raises(UsageError, match=r"'net.projection' is 8, but the tag vectors have 6 numbers"):
        train(wished(net=EASY["net"] | {"projection": 8}))
    with pytest.raises(UsageError, match=r"'quantization.books' is 7"):
        train(wished({"books": 7}, out=tmp_path / "books"))
    with pytest.raises(PerisphereError, match=r"47 photos have a known tag .* Set quantization.words=11"):
        train(wished({"words": 256}, out=tmp_path / "words"))
    with pytest.raises(PerisphereError, match="split 'gallery' has no photos with a known tag"):
        data = [{"catalog": str(tmp_path / "catalog"), "train": "gallery"}]
        train(wished(data=data, out=tmp_path / "split"))
    strange = Tags(("other",), np.ones((1, 6), np.float32), np.ones(1, np.int64), {"other": "other"})
    strange.save(tmp_path / "strange")
    with pytest.raises(PerisphereError, match=r"no photo has a tag of quantization\.tags"):
        train(wished({"tags": str(tmp_path / "strange")}, out=tmp_path / "unknown"))


def test_missing_tags_leave_no_folder_behind(wished, tmp_path):
    recipe = wished({"tags": str(tmp_path / "none")})
    with pytest.raises(PerisphereError, match="not a folder of tags"):
        train(recipe)
    assert not recipe.folder.exists()


def test_a_resumed_run_refuses_other_tags(wished, tags, tmp_path):
    recipe = wished(epochs=1)
    train(recipe)
    (recipe.folder / "checkpoints" / "data-1" / "done.json").unlink()
    Tags(tags.names, tags.vectors + 1, tags.counts, tags.merges).save(tmp_path / "tags", overwrite=True)
    with pytest.raises(PerisphereError, match="tags have changed"):
        train(recipe, resume=True)


@pytest.mark.parametrize(
    ("changes", "mend"),
    [
        ({"method": "quantization"}, "method: quantization needs tags: set quantization.tags"),
        ({"quantization": {"tags": "t"}}, "quantization is for method: quantization"),
        (
            {"method": "quantization", "quantization": {"tags": "t", "margin": 0.5}},
            "margin is of loss: fixed or wdht",
        ),
        (
            {"method": "quantization", "quantization": {"tags": "t", "loss": "wdht", "negatives": "hard"}},
            "negatives is of loss: adaptive or fixed",
        ),
        (
            {"method": "quantization", "quantization": {"tags": "t", "loss": "fixed", "gamma": 2}},
            "gamma is of loss: adaptive",
        ),
        ({"method": "quantization", "quantization": {"tags": "t", "sweeps": 0}}, "sweeps or a beam"),
        (
            {"method": "quantization", "quantization": {"tags": "t", "words": 257}},
            "less than or equal to 256",
        ),
    ],
)
def test_rules_that_do_not_fit_together_are_refused(tree, changes, mend):
    with pytest.raises(ValidationError, match=mend):
        Recipe.model_validate(tree | changes)


def test_the_command_says_what_was_learned(wished, tmp_path):
    recipe = wished(epochs=1)
    save(recipe, tmp_path / "recipe.yaml")
    result = CliRunner().invoke(app, ["train", str(tmp_path / "recipe.yaml"), "-o", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert "47 photos with 9 tags" in result.stdout
    assert "(6 dimensions, 16-bit codes, identity " in result.stdout


def test_epochs_are_judged_by_shared_concepts(wished, tagged, tmp_path):
    split = pl.Series(["query" if number % 3 else "gallery" for number in range(24)] + ["train"] * 48)
    table = tagged.table.sort("split", descending=True).with_columns(
        split=split, concepts=pl.Series([[f"{label}-thing", label] for label in tagged.table["label"]])
    )
    tagged.with_table(table).save(tmp_path / "judged")
    recipe = wished(
        data=[{"catalog": str(tmp_path / "judged"), "val": None}],
        judge={"protocol": "concepts", "every": 1, "at": 5},
    )
    encoder = Encoder.load(train(recipe))
    rows = history(recipe)
    best = max(rows, key=lambda row: (row["val/mAP"], -row["epoch"]))
    assert encoder.provenance["epoch"] == best["epoch"]
    assert encoder.metrics["val/mAP"] == best["val/mAP"]
    sides = [table.filter(pl.col("split") == name) for name in ("query", "gallery")]
    asked, shown = (encoder.encode([tagged.root / path for path in side["path"]]) for side in sides)
    right = sides[0]["label"].to_numpy()[:, None] == sides[1]["label"].to_numpy()
    ranked = np.take_along_axis(right, np.argsort(-asked @ shown.T, kind="stable"), 1)[:, :5]
    precisions = ranked.cumsum(1) / np.arange(1, 6)
    average = (precisions * ranked).sum(1)[ranked.any(1)] / ranked.sum(1)[ranked.any(1)]
    assert best["val/mAP"] == pytest.approx(average.mean(), abs=1e-6)


@pytest.mark.parametrize(
    ("judge", "mend"),
    [
        ({"protocol": "concepts", "cameras": True}, "cameras are of instances and centroids"),
        ({"at": 10}, "at is of protocol: concepts, not of instances"),
    ],
)
def test_judges_refuse_what_they_would_not_look_at(tree, judge, mend):
    with pytest.raises(ValidationError, match=mend):
        Recipe.model_validate(tree | {"judge": judge})


def test_a_judge_needs_a_shared_concept(wished, tagged, tmp_path):
    concepts = pl.when(pl.col("split") == "val").then(pl.lit(["one"])).otherwise(pl.lit(["other"]))
    tagged.with_table(tagged.table.with_columns(concepts=concepts)).save(tmp_path / "apart")
    judge = {"protocol": "concepts", "query": "val", "gallery": "train"}
    with pytest.raises(PerisphereError, match="no photo of split 'val' shares a concept with one of"):
        train(wished(judge=judge, data=[{"catalog": str(tmp_path / "apart")}]))

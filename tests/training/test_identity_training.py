"""Runs whose batches hold P identities with K photos each."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from lightning.pytorch import Callback
from reid_photos import write_market

from perisphere.catalog import Catalog
from perisphere.catalog.readers import read
from perisphere.encoder import Encoder
from perisphere.nets import build
from perisphere.training import Recipe, run, train
from perisphere.training.devices import Place
from perisphere.training.folder import read_checkpoint
from perisphere.training.identity_order import IdentityOrder
from perisphere.training.judge import embedded, retrieval_judge
from perisphere.training.loader import PADDING, derive
from perisphere.training.loaders import loaders
from perisphere.training.photos import labelled_data


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    return write_market(tmp_path_factory.mktemp("market"), train=7, photos=7)


@pytest.fixture
def wished(tree, market):
    def make(**changes) -> Recipe:
        base = {name: value for name, value in tree.items() if name != "batch_size"}
        return Recipe.model_validate(
            base
            | {
                "method": "centroid",
                "centroid": {"identities": 2, "instances": 4},
                "net": {"backbone": "small32", "projection": 8, "bnneck": True},
                "data": [{"format": "market1501", "root": str(market), "val": None}],
                "optimizer": {"name": "adam", "lr": 0.01, "weight_decay": 5e-4},
                "judge": {"every": 2},
                "epochs": 4,
            }
            | changes
        )

    return make


def batches(recipe: Recipe, place: Place, epoch: int):
    data = labelled_data(recipe.data[0], recipe.seed, judge=recipe.judge)
    made, _ = loaders(recipe, 1, data, build(recipe.net, 0), place, recipe.folder / "features")
    made.sampler.set_epoch(epoch)
    return list(made)


def test_batches_hold_identities_and_mark_empty_places(wished):
    seen = batches(wished(), Place("cpu"), 1)
    assert seen
    for batch in seen:
        targets = batch.targets.reshape(2, 4)
        assert (targets == targets[:, :1]).all()
        assert targets[0, 0] != targets[1, 0]
        assert (targets != PADDING).all()
        assert batch.real.reshape(2, 4)[:, :2].all()
    assert not all(batch.real.all() for batch in seen), "7 photos are 4 and 3 with an empty place"
    rule = {"identities": 2, "instances": 4, "resample": True}
    assert all(batch.real.all() for batch in batches(wished(centroid=rule), Place("cpu"), 1))


def test_devices_share_the_identities_of_a_batch(wished):
    rule = {"identities": 4, "instances": 3}
    whole = batches(wished(centroid=rule), Place("cpu"), 2)
    parts = [batches(wished(centroid=rule), Place("cpu", rank, 2, 2), 2) for rank in range(2)]
    for batch, one, other in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat((one.targets, other.targets)), batch.targets)
        assert torch.equal(torch.cat((one.pictures, other.pictures)), batch.pictures)
        assert torch.equal(torch.cat((one.real, other.real)), batch.real)
        assert len(set(one.targets.tolist())) == 2


def lengths(recipe: Recipe) -> list[int]:
    """Batches of each epoch."""
    rule, targets = recipe.centroid, labelled_data(recipe.data[0], recipe.seed).train.targets
    order = IdentityOrder(
        targets,
        identities=rule.identities,
        instances=rule.instances,
        resample=rule.resample,
        seed=derive(recipe.seed, 1),
    )
    found = []
    for epoch in range(recipe.epochs):
        order.set_epoch(epoch)
        found.append(order.count // rule.photos)
    return found


def steps(recipe: Recipe) -> list[int]:
    """Steps done at the end of each epoch."""
    folder = recipe.folder / "checkpoints" / "data-1"
    return [read_checkpoint(path)["global_step"] for path in sorted(folder.glob("epoch-*.ckpt"))]


@pytest.fixture
def uneven(wished):
    """A recipe whose epochs differ in length."""

    def make(**changes) -> Recipe:
        rule = {"identities": 3, "instances": 3}
        for seed in range(20):
            recipe = wished(seed=seed, centroid=rule, checkpoint_every=1, epochs=3, **changes)
            found = lengths(recipe)
            if found[0] != found[1] and found[1] != found[2]:
                return recipe
        raise AssertionError("no seed gives epochs of different lengths")

    return make


def test_epochs_of_different_lengths_are_trained_and_validated_whole(uneven, market):
    data = [{"format": "market1501", "root": str(market), "val": None, "val_fraction": 0.1}]
    recipe = uneven(data=data, judge=None)
    train(recipe)
    assert steps(recipe) == np.cumsum(lengths(recipe)).tolist()
    rows = json.loads((recipe.folder / "history.json").read_text())
    assert len({row["val/loss"] for row in rows}) == 3, "each epoch is validated"


class Cut(Callback):
    """Breaks off in the middle of the second epoch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == 1:
            raise InterruptedError


def test_a_run_broken_off_goes_on_with_the_identities_and_the_judgement_it_would_have_had(
    uneven, tmp_path, monkeypatch
):
    whole = uneven()
    train(whole)
    killed = whole.model_copy(update={"out": tmp_path / "killed"})
    fit = run._fit

    def cut(trainer, *rest):
        trainer.callbacks.append(Cut())
        fit(trainer, *rest)

    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr(run, "_fit", cut)
        train(killed)
    assert len(steps(killed)) == 1
    train(killed, resume=True)
    assert steps(killed) == steps(whole)
    assert (killed.folder / "history.json").read_text() == (whole.folder / "history.json").read_text()
    ends = [
        read_checkpoint(recipe.folder / "checkpoints" / "data-1" / "last.ckpt")["state_dict"]
        for recipe in (whole, killed)
    ]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    best = [
        json.loads((recipe.folder / "checkpoints" / "data-1" / "done.json").read_text())["best_epoch"]
        for recipe in (whole, killed)
    ]
    assert best[0] == best[1]


def test_identities_with_one_photo_are_counted(wished, market, tmp_path):
    catalog = read("market1501", market)
    first = pl.col("label") == "0001"
    table = catalog.table.filter(
        ~first | (pl.col("path").rank().over("label") == 1) | (pl.col("split") != "train")
    )
    Catalog(table, catalog.root, catalog.source).save(tmp_path / "catalog")
    notes = []
    train(wished(data=[{"catalog": str(tmp_path / "catalog"), "val": None}], epochs=1), tell=notes.append)
    assert "1 of 7 identities have one photo to learn from and are never drawn." in notes


@pytest.mark.slow
def test_two_processes_learn_from_the_same_identities_and_judge_all_photos(wished, tmp_path):
    rule = {"identities": 4, "instances": 3}
    recipe = wished(centroid=rule, devices=2, epochs=2, checkpoint_every=1, out=str(tmp_path / "two"))
    encoder = Encoder.load(train(recipe))
    assert steps(recipe) == np.cumsum(lengths(recipe)).tolist()
    rows = json.loads((recipe.folder / "history.json").read_text())
    assert "val/mAP" not in rows[0]
    judge = retrieval_judge(
        recipe, encoder.net, labelled_data(recipe.data[0], 0, judge=recipe.judge).judged, Place("cpu")
    )
    found = judge.figures(embedded(encoder.net, judge.loader).numpy())
    assert found == pytest.approx({name: rows[1][name] for name in found}, abs=1e-6), (
        "of the encoder that is kept"
    )

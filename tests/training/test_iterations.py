"""Runs of a number of steps, rates that follow the steps, and rates of biases."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file

from perisphere.encoder import Encoder, Scales
from perisphere.nets import LinearClassifier, NetSpec, build
from perisphere.training import keeping, train
from perisphere.training.cached import FeatureLoader
from perisphere.training.freezing import parameter_groups
from perisphere.training.loader import derive
from perisphere.training.rates import Rates
from perisphere.training.schedules import Staircase, usual_length

STAIRS = {"name": "staircase", "every": 4, "gamma": 0.5}


class Noted(Rates):
    """Keeps the rate of every step."""

    seen: list[float]

    def on_train_batch_start(self, trainer, *args):
        super().on_train_batch_start(trainer, *args)
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def steps(run):
    last = run.folder / "checkpoints" / "data-1" / "last.ckpt"
    return torch.load(last, weights_only=True)["global_step"]


def test_the_rate_falls_by_steps_and_not_by_epochs():
    stairs = Staircase(name="staircase", every=300)
    assert [stairs.factor(epoch, 9, 0.1, step) for epoch, step in ((0, 299), (0, 300), (7, 650))] == [
        1,
        0.5,
        0.25,
    ]
    assert usual_length(STAIRS) is None
    warm = Staircase(name="staircase", every=10, warmup=2, warmup_start=0)
    assert warm.factor(1, 9, 0.1, 10) == pytest.approx(0.25)


@settings(deadline=None)
@given(
    photos=st.integers(4, 60),
    batch=st.integers(1, 70),
    number=st.integers(1, 40),
    world=st.sampled_from((1, 2)),
)
def test_epochs_have_together_as_many_batches_as_asked_for(photos, batch, number, world):
    loader = FeatureLoader(
        np.zeros((1, photos, 2), np.float32), np.zeros(photos, np.int64), flip=0.0, batch_size=batch * world,
        seed=0, shuffle=True, steps=number, rank=0, world=world,
    )  # fmt: skip
    lengths = []
    for epoch in range(loader.epochs):
        loader.sampler.set_epoch(epoch)
        lengths.append(len(list(loader)))
        assert lengths[-1] == len(loader)
    assert sum(lengths) == number
    assert len(set(lengths[:-1])) <= 1


def test_a_run_of_steps_ends_within_an_epoch_and_halves_its_rate(recipe, monkeypatch):
    from perisphere.training import run

    Noted.seen = []
    monkeypatch.setattr(run, "Rates", Noted)
    tiny = recipe(epochs=None, iterations=15, schedule=STAIRS)
    train(tiny)
    assert steps(tiny) == 15
    expected = [0.02] * 4 + [0.01] * 4 + [0.005] * 4 + [0.0025] * 3
    assert Noted.seen == pytest.approx(expected)
    rows = json.loads((tiny.folder / "history.json").read_text())
    assert len(rows) == 3
    assert all("val/loss" in row for row in rows)
    assert Encoder.load(tiny.folder / "encoder").provenance["epochs"] == 3


def test_a_resumed_run_of_steps_ends_as_an_uninterrupted_one(recipe, tmp_path, monkeypatch):
    options = {"epochs": None, "iterations": 10, "schedule": STAIRS, "net": {"backbone": "small32"}}
    whole, killed = recipe(**options, out=tmp_path / "whole"), recipe(**options, out=tmp_path / "killed")
    train(whole)

    class PowerCutError(Exception):
        pass

    def cut(self, trainer, module, *args):
        if trainer.global_step == 8:
            raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(keeping.History, "on_train_batch_end", cut, raising=False)
        with pytest.raises(PowerCutError):
            train(killed)
    train(killed, resume=True)
    assert steps(whole) == steps(killed) == 10
    one, other = (load_file(run.folder / "encoder" / "weights.safetensors") for run in (whole, killed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (whole.folder / "history.json").read_text() == (killed.folder / "history.json").read_text()


def test_fewer_steps_than_an_epoch_are_a_part_of_one(recipe):
    tiny = recipe(epochs=None, iterations=2)
    train(tiny)
    assert steps(tiny) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iterations": 5}, "epochs and iterations both say"),
        ({"epochs": None}, "'epochs' is missing"),
        (
            {"epochs": None, "iterations": 5, "finetune_init": 1, "weights": "x.pth"},
            "iterations counts the steps",
        ),
        ({"schedule": STAIRS, "finetune_init": 1, "weights": "x.pth"}, "staircase counts the steps"),
        ({"epochs": None, "iterations": 0}, "greater than or equal to 1"),
        ({"schedule": {"name": "staircase", "every": 0}}, "greater than or equal to 1"),
        ({"views": "ten"}, "set preprocessing.shorter"),
        ({"optimizer": {"name": "adam", "bias_rate": -1}}, "greater than or equal to 0"),
    ],
)
def test_what_does_not_go_together_is_refused(recipe, changes, words):
    with pytest.raises(ValidationError, match=words):
        recipe(**changes)


def test_epochs_of_a_data_set_and_steps_are_refused(recipe, photos):
    data = [{"format": "folders", "root": str(photos), "epochs": 3}]
    with pytest.raises(ValidationError, match=r"data\.0\.epochs and iterations both say"):
        recipe(epochs=None, iterations=5, data=data)


def test_biases_have_a_rate_of_their_own():
    net = build(NetSpec(backbone="small32", projection=4), seed=0)
    classifier = LinearClassifier(4, 2)
    groups = parameter_groups(net, classifier, {"projection": 10}, 0.1, 2.0)
    rates = {id(tensor): group["lr"] for group in groups for tensor in group["params"]}
    assert rates[id(net.projection.weight)] == pytest.approx(1.0)
    assert rates[id(net.projection.bias)] == pytest.approx(2.0)
    assert rates[id(classifier.bias)] == pytest.approx(0.2)
    for name, tensor in net.backbone.named_parameters():
        assert rates[id(tensor)] == pytest.approx(0.2 if name.endswith("bias") else 0.1)
    assert len(rates) == len(list(net.parameters())) + 2


def test_rates_are_real_ones_under_adam(recipe):
    """Adam steps by its rate whatever the size of a gradient: one step moves a bias twice as far."""
    moved = []
    for rate in (1.0, 2.0):
        tiny = recipe(
            epochs=None,
            iterations=1,
            optimizer={"name": "adam", "lr": 1e-3, "bias_rate": rate, "rates": {"projection": 10}},
        )
        tiny = tiny.model_copy(update={"out": tiny.folder.with_name(f"rate-{rate}")})
        train(tiny)
        found = load_file(tiny.folder / "encoder" / "weights.safetensors")["projection.bias"]
        moved.append((found - build(tiny.net, seed=derive(tiny.seed, 0)).projection.bias.detach()).abs())
    torch.testing.assert_close(moved[0], torch.full((8,), 1e-2), rtol=1e-2, atol=0)
    torch.testing.assert_close(moved[1], 2 * moved[0], rtol=1e-2, atol=0)


def test_the_written_encoder_has_the_views_of_the_recipe(recipe):
    tiny = recipe(
        epochs=None,
        iterations=1,
        views="ten",
        preprocessing={"size": [16, 16], "shorter": 18, "resize": "squash"},
        augmentation={"shorter": [18, 18], "flip": 0.5},
    )
    train(tiny)
    assert Encoder.load(tiny.folder / "encoder").scales == Scales(views="ten")

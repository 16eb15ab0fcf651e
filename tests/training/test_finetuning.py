"""The new layers first, then all: on real runs of a second."""

import json

import pytest
import torch
from test_resume import end_state, kill_in_epoch, same

from perisphere.encoder import Encoder
from perisphere.errors import UsageError
from perisphere.training import train


@pytest.fixture
def pretrained(recipe, tmp_path):
    return train(recipe(out=tmp_path / "pretrained", epochs=1))


def checkpoint(folder, epoch):
    return torch.load(folder / "checkpoints" / "data-1" / f"epoch-{epoch:04d}.ckpt", weights_only=True)


def test_only_new_layers_learn_first_and_then_all_without_momentum(recipe, pretrained, tmp_path):
    options = {
        "net": {"backbone": "small32", "projection": 6},
        "weights": str(pretrained),
        "epochs": 2,
        "finetune_init": {"epochs": 2, "lr": 0.3},
        "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.01},
        "schedule": {"name": "step", "every": 1, "gamma": 0.5},
        "checkpoint_every": 1,
    }
    folder = train(recipe(**options, out=tmp_path / "fine")).parent
    old = Encoder.load(pretrained).net.state_dict()
    kept = [name for name in old if name.startswith("backbone.") and not name.endswith("tracked")]
    first, second, third = (checkpoint(folder, epoch) for epoch in (1, 2, 3))
    for state in (first["state_dict"], second["state_dict"]):
        assert all(torch.equal(old[name], state[f"net.{name}"]) for name in kept), "statistics included"
    assert not torch.equal(
        first["state_dict"]["net.projection.weight"], second["state_dict"]["net.projection.weight"]
    )
    moved = [name for name in kept if not torch.equal(old[name], third["state_dict"][f"net.{name}"])]
    assert len(moved) == len(kept)
    momenta = [len(state["optimizer_states"][0]["state"]) for state in (second, third)]
    assert momenta[0] < momenta[1]
    rows = json.loads((folder / "history.json").read_text())
    assert [row["lr"] for row in rows] == pytest.approx([0.3, 0.3, 0.02, 0.01])


def test_a_run_killed_in_either_phase_ends_as_one_that_was_not(recipe, pretrained, tmp_path):
    options = {
        "weights": str(pretrained),
        "epochs": 6,
        "finetune_init": 4,
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "schedule": {"name": "plateau", "patience": 1, "threshold": 0.05, "max_decay": 0.5},
    }
    whole = recipe(**options, out=tmp_path / "whole")
    train(whole)
    rows = json.loads((whole.folder / "history.json").read_text())
    assert len(rows) == 10
    assert rows[-1]["lr"] < 0.05 / 2, "the plateau was seen"
    for epoch in (3, 7):
        killed = recipe(**options, out=tmp_path / f"killed-{epoch}")
        kill_in_epoch(epoch, killed, tmp_path / f"killed-{epoch}.yaml")
        train(killed, resume=True)
        one, other = end_state(whole.folder), end_state(killed.folder)
        for part in ("state_dict", "optimizer_states", "callbacks", "epoch", "global_step"):
            assert same(one[part], other[part]), part


def test_nothing_new_is_refused(recipe, pretrained):
    with pytest.raises(UsageError, match=r"finetune_init.*neither a projection nor a classifier"):
        train(
            recipe(
                net={"backbone": "small32"},
                weights=str(pretrained),
                finetune_init=2,
                method="tuples",
                tuples={"negatives": 1},
                batch_size=6,
            )
        )


def test_a_plateau_without_validation_photos_is_refused(recipe, photos):
    data = [{"format": "folders", "root": str(photos), "val": None}]
    with pytest.raises(UsageError, match="plateau watches the loss of validation photos"):
        train(recipe(data=data, schedule={"name": "plateau"}))

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError
from training_photos import write_photos

from perisphere.encoder import Encoder
from perisphere.errors import PerisphereError, UsageError
from perisphere.training import train
from perisphere.training.devices import place_from_environment
from perisphere.training.method_rules import CentroidRule
from perisphere.training.recipe_files import load
from perisphere.training.trained_classifier import TrainedClassifier

CENTRES = "head.centers.centers"


@pytest.fixture
def changes() -> dict:
    """What makes the small recipe one of the method centroid: 3 identities of 16 photos, 3 x 5 a batch."""
    return {
        "method": "centroid",
        "net": {"backbone": "small32", "projection": 8, "bnneck": True},
        "centroid": {"identities": 3, "instances": 5, "margin": 0.3},
        "optimizer": {"name": "adam", "lr": 3e-3, "weight_decay": 5e-4},
        "label_smoothing": 0.1,
        "batch_size": 15,
    }


def last(folder):
    return torch.load(folder / "checkpoints" / "data-1" / "last.ckpt", weights_only=True)["state_dict"]


def test_it_learns_and_logs_what_is_to_be_watched(recipe, changes):
    made = recipe(**changes, epochs=6)
    folder = train(made)
    rows = json.loads((made.folder / "history.json").read_text())
    logged = ("triplet_loss", "centroid_loss", "center_loss", "class_loss", "accuracy")
    watched = ("positive_distance", "negative_distance", "centroid_norm")
    assert {f"train/{name}" for name in ("loss", *logged, *watched)} <= set(rows[-1])
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    assert rows[-1]["val/accuracy"] > 0.5
    for row in rows:
        weights = {"triplet_loss": 1, "centroid_loss": 1, "center_loss": 5e-4, "class_loss": 1}
        whole = sum(weight * row[f"train/{name}"] for name, weight in weights.items())
        assert row["train/loss"] == pytest.approx(whole, rel=1e-4)
    assert Encoder.load(folder).net.bnneck is not None
    classifier = TrainedClassifier.of_run(made.folder)
    assert classifier.classes == ("class0", "class1", "class2")
    assert CENTRES in last(made.folder)


def test_a_resumed_run_ends_with_the_same_weights_and_centres(recipe, changes, tmp_path, monkeypatch):
    from perisphere.training import keeping

    made = {name: recipe(**changes, epochs=3, out=tmp_path / name) for name in ("whole", "cut")}
    train(made["whole"])
    write = keeping.Checkpoints.on_train_epoch_end

    def cut(self, trainer, module, *args):
        write(self, trainer, module, *args)
        if trainer.current_epoch == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keeping.Checkpoints, "on_train_epoch_end", cut)
        with pytest.raises(BaseException):  # noqa: B017, PT011 - Ctrl-C, whatever Lightning makes of it
            train(made["cut"])
    early = last(made["cut"].folder)
    train(made["cut"], resume=True)
    one, other = last(made["whole"].folder), last(made["cut"].folder)
    assert not torch.equal(early[CENTRES], one[CENTRES])
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_the_baseline_has_no_centroids(recipe, changes):
    changes["centroid"] |= {"resample": True, "centroid_weight": 0, "instances": 4}
    made = recipe(**changes | {"batch_size": 12}, epochs=1)
    train(made)
    (row,) = json.loads((made.folder / "history.json").read_text())
    assert not any("centroid" in name or "distance" in name for name in row)
    assert row["train/triplet_loss"] > 0


def test_further_losses_learn_by_themselves_and_beside_ours(recipe, changes, photos, tmp_path):
    pytest.importorskip("pytorch_metric_learning")
    extra = [
        {"loss": "ProxyAnchorLoss", "weight": 0.5},
        {"loss": "MultiSimilarityLoss", "options": {"alpha": 1}, "miner": "MultiSimilarityMiner"},
    ]
    nothing = dict.fromkeys(("triplet_weight", "centroid_weight", "center_weight", "class_weight"), 0)
    alone = changes["centroid"] | nothing | {"extra": extra, "margin": 0.5}
    data = [{"format": "folders", "root": str(photos), "val": None}]
    changes |= {"epochs": 3, "data": data, "label_smoothing": 0}
    for name, section in (("beside", changes["centroid"] | {"extra": extra}), ("alone", alone)):
        made = recipe(**changes | {"centroid": section}, out=tmp_path / name)
        train(made)
        rows = json.loads((made.folder / "history.json").read_text())
        assert rows[-1]["train/extra.0.ProxyAnchorLoss"] < rows[0]["train/extra.0.ProxyAnchorLoss"]
        assert "train/extra.1.MultiSimilarityLoss" in rows[-1]
        assert "head.extra.0.loss.proxies" in last(made.folder)
    assert set(rows[-1]) == {
        "data",
        "epoch",
        "lr",
        "train/loss",
        "train/extra.0.ProxyAnchorLoss",
        "train/extra.1.MultiSimilarityLoss",
    }


def test_mixed_precision_learns_nearly_the_same_centres_in_full_precision(recipe, changes, tmp_path):
    """With a network that stays as it is, for a rounding that is learned from grows from step to step."""
    changes |= {"optimizer": {"name": "sgd", "lr": 1e-12, "momentum": 0}}
    centres = []
    for precision in ("32", "bf16-mixed"):
        made = recipe(**changes, precision=precision, epochs=1, out=tmp_path / precision)
        train(made)
        centres.append(last(made.folder)[CENTRES])
    assert centres[1].dtype == torch.float32
    assert not torch.equal(*centres)
    torch.testing.assert_close(*centres, atol=0.01, rtol=0)


@pytest.mark.slow
def test_two_devices_move_the_centres_as_one_does(recipe, changes, tmp_path):
    """With a network that stays as it is, and as many real photos on each device."""
    changes |= {
        "net": {"backbone": "pixels", "input_size": 4, "bnneck": True},
        "preprocessing": {"size": [4, 4], "resize": "squash"},
        "centroid": {"identities": 4, "instances": 3, "resample": True},
        "data": [{"format": "folders", "root": str(write_photos(tmp_path / "four", classes=4))}],
        "optimizer": {"name": "sgd", "lr": 1e-12, "momentum": 0},
        "batch_size": 12,
    }
    one = recipe(**changes, out=tmp_path / "one")
    two = recipe(**changes, out=tmp_path / "two", devices=2)
    train(one)
    train(two)
    torch.testing.assert_close(last(one.folder)[CENTRES], last(two.folder)[CENTRES], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("section", "others", "mend"),
    [
        ({"identities": 1}, {}, "greater than or equal to 2"),
        ({"margin": float("inf")}, {}, "finite number"),
        ({}, {"batch_size": 16}, r"batch_size 16 is not .* = 15: leave it out"),
        ({"resample": True, "corrected": True}, {}, "give one of them"),
        ({"corrected": 1, "weight": 2}, {}, "weight"),
        (
            {"triplet_weight": 0, "centroid_weight": 0, "center_weight": 0, "class_weight": 0},
            {},
            "nothing to learn from",
        ),
        (
            {"class_weight": 0},
            {"label_smoothing": 0},
            r"no classifier to validate with: set data.0.val to null",
        ),
        ({"class_weight": 0}, {"label_smoothing": 0.1}, "label_smoothing does nothing"),
        ({"center_weight": 0, "center_lr": 0.1}, {}, "center_lr does nothing where center_weight"),
        (
            {"triplet_weight": 0, "centroid_weight": 0, "margin": None},
            {},
            "margin does nothing where triplet_weight and centroid_weight",
        ),
        ({}, {"net": {"backbone": "small32"}}, "needs net.bnneck: true"),
        ({}, {"net": {"backbone": "small32", "bnneck": True, "softmax": True}}, "without net.softmax"),
        ({}, {"devices": 3}, "cannot be shared by 3 devices"),
        ({}, {"classifier": {"name": "cosine"}}, "classifier is for method: landmark"),
        ({}, {"method": "landmark", "batch_size": 8}, "centroid is for method: centroid"),
        ({}, {"freeze": {"stages": ["stem"], "cached": True}, "augmentation": {}}, "empty places"),
        ({"extra": [{"loss": "ArcFaceLos"}]}, {}, "Did you mean 'ArcFaceLoss'"),
        ({"extra": [{"loss": "ArcFaceLoss", "miner_options": {"a": 1}}]}, {}, "need a miner"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_name(recipe, changes, section, others, mend):
    if "extra" in section:
        pytest.importorskip("pytorch_metric_learning")
    section = changes["centroid"] | section
    with pytest.raises(ValidationError, match=mend):
        recipe(**changes | {"centroid": section} | others)


def test_a_launcher_cannot_cut_identities(recipe, changes):
    made = recipe(**changes | {"centroid": {"identities": 4, "instances": 4}, "batch_size": 16})
    words = {"LOCAL_RANK": "0", "WORLD_SIZE": "2"}
    assert place_from_environment(made, words).world == 2
    with pytest.raises(PerisphereError, match="4 identities cannot be shared by 4 devices, two or more"):
        place_from_environment(made, words | {"WORLD_SIZE": "4"})


def test_the_batch_size_follows_and_a_wrong_loss_is_one_line(tree, changes, tmp_path):
    pytest.importorskip("pytorch_metric_learning")
    del changes["batch_size"], tree["batch_size"]
    path = tmp_path / "centroid.yaml"
    path.write_text(yaml.safe_dump(tree | changes))
    assert load(path).batch_size == 15
    assert load(path, ["centroid.identities=2"]).batch_size == 10
    with pytest.raises(UsageError, match=r"centroid.extra.0.*Did you mean 'CircleLoss'") as error:
        load(path, ["centroid.extra=[{loss: CircelLoss}]"])
    assert "\n" not in str(error.value)


def test_the_further_losses_of_the_guide_work():
    pytest.importorskip("pytorch_metric_learning")
    page = (Path(__file__).parents[2] / "docs" / "guide" / "centroids.md").read_text()
    (block,) = re.findall(r"```yaml\n(centroid:.*?)```", page, flags=re.DOTALL)
    assert len(CentroidRule.model_validate(yaml.safe_load(block)["centroid"]).extra) == 3

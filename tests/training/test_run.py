import json
import math

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_photos import write_photos

from perisphere.encoder import Encoder
from perisphere.errors import PerisphereError, UsageError
from perisphere.training import train
from perisphere.training.run import starting_net

EASY = {"augmentation": {"flip": 0.5}, "optimizer": {"name": "adam", "lr": 0.003}}


def history(recipe):
    return json.loads((recipe.folder / "history.json").read_text())


def weights(folder):
    return load_file(folder / "weights.safetensors")


def test_a_run_learns_and_leaves_what_it_promises(recipe, photos):
    schedule = {"name": "step", "every": 4}
    wished = recipe(
        epochs=5, checkpoint_every=2, schedule=schedule, classifier={"name": "cosine", "scale": 8}, **EASY
    )
    folder = train(wished)
    rows = history(wished)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["lr"] for row in rows] == pytest.approx([0.003] * 4 + [0.0003])
    assert rows[-1]["val/accuracy"] > 0.9
    assert rows[0]["train/loss"] > rows[-1]["train/loss"]

    files = sorted(path.name for path in (wished.folder / "checkpoints" / "data-1").glob("*.ckpt"))
    assert files == ["epoch-0002.ckpt", "epoch-0004.ckpt", "last.ckpt"]

    encoder = Encoder.load(folder)
    best = max(rows, key=lambda row: (row["val/accuracy"], -row["val/loss"]))
    assert encoder.provenance["epoch"] == best["epoch"]
    assert encoder.metrics["val/accuracy"] == best["val/accuracy"]
    assert encoder.provenance["recipe"]["net"]["backbone"] == "small32"
    assert encoder.encode(sorted(photos.rglob("*.png"))[:3]).shape == (3, 8)

    events = EventAccumulator(str(wished.folder / "tensorboard" / "data-1")).Reload()
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr"}
    for name in events.Tags()["scalars"]:
        points = events.Scalars(name)
        assert [point.step for point in points] == [1, 2, 3, 4, 5]
        assert [point.value for point in points] == pytest.approx([row[name] for row in rows])


def test_norm_momentum_is_the_share_of_a_batch_in_the_statistics(recipe, tmp_path):
    """With one batch of all photos and a rate near 0 every step sees the same pictures."""
    still = {"augmentation": {}, "optimizer": {"lr": 1e-30}, "batch_size": 1000, "epochs": 1}
    usual = recipe(out=tmp_path / "usual", **still)
    slow = recipe(out=tmp_path / "slow", norm_momentum=0.01, **still)
    usual_means, slow_means = (
        weights(train(made))["backbone.stem.1.running_mean"].numpy() for made in (usual, slow)
    )
    assert abs(usual_means).max() > 1e-3
    assert slow_means == pytest.approx(usual_means / 10, rel=1e-4)


def test_norm_momentum_without_a_batch_norm_is_refused(recipe):
    net = {"backbone": "squeezenet1_0", "projection": 4}
    with pytest.raises(UsageError, match=r"'norm_momentum': there is no batch norm.* Leave it out"):
        train(recipe(net=net, preprocessing={"size": [32, 32], "resize": "squash"}, norm_momentum=0.5))


def test_the_same_seed_gives_the_same_weights_and_another_does_not(recipe, tmp_path):
    folders = [train(recipe(out=tmp_path / name, seed=seed)) for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    first, again, other = map(weights, folders)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["projection.weight"], other["projection.weight"])


def test_streaming_gives_the_same_weights_as_the_cache(recipe, tmp_path):
    cached, streamed = (weights(train(recipe(out=tmp_path / str(mb), cache_mb=mb))) for mb in (0, 64))
    assert all(torch.equal(cached[name], streamed[name]) for name in cached)


def test_frozen_parts_stay_as_they_were(recipe):
    wished = recipe(freeze={"stages": ["stem", "stage1"]})
    before = starting_net(wished, print).state_dict()
    after = weights(train(wished))
    for name, value in before.items():
        frozen = name.startswith(("backbone.stem", "backbone.stage1"))
        assert torch.equal(value, after[name]) == frozen, name


def test_the_old_way_lets_the_statistics_of_frozen_norms_drift(recipe):
    wished = recipe(freeze={"head_only": True, "frozen_norms": "train"})
    before = starting_net(wished, print).state_dict()
    after = weights(train(wished))
    assert torch.equal(before["backbone.stem.0.weight"], after["backbone.stem.0.weight"])
    assert not torch.equal(before["backbone.stem.1.running_mean"], after["backbone.stem.1.running_mean"])


def test_data_sets_one_after_another_carry_the_backbone_over(recipe, photos, tmp_path):
    second = write_photos(tmp_path / "second", classes=2, train=8, val=4, seed=1)
    entries = [
        {"format": "folders", "root": str(photos)},
        {"format": "folders", "root": str(second), "epochs": 1},
    ]
    wished = recipe(data=entries, freeze={"stages": ["stem"]})
    folder = train(wished)
    rows = history(wished)
    assert [(row["data"], row["epoch"]) for row in rows] == [(1, 1), (1, 2), (2, 1)]
    first = weights(wished.folder / "checkpoints" / "data-1" / "best")
    last = weights(folder)
    assert torch.equal(first["backbone.stem.0.weight"], last["backbone.stem.0.weight"])
    assert not torch.equal(first["projection.weight"], last["projection.weight"])
    drift = (first["projection.weight"] - last["projection.weight"]).norm()
    assert drift < 0.5 * first["projection.weight"].norm()  # went on, did not begin anew
    assert Encoder.load(folder).provenance["classes"] == 2


def test_weights_of_an_encoder_are_where_training_starts(recipe):
    folder = train(recipe())
    start = starting_net(recipe(weights=folder), print).state_dict()
    counted = {name: value for name, value in weights(folder).items() if "tracked" not in name}
    assert all(torch.equal(start[name], value) for name, value in counted.items())


def test_wrong_weights_are_errors(recipe, tmp_path):
    with pytest.raises(PerisphereError, match="there are no such weights"):
        train(recipe(weights=tmp_path / "none"))
    folder = train(recipe(out=tmp_path / "a"))
    with pytest.raises(PerisphereError, match="backbone"):
        train(recipe(weights=folder, net={"backbone": "resnet18"}, out=tmp_path / "b"))


def test_without_validation_the_last_epoch_is_kept(recipe, photos):
    wished = recipe(data=[{"format": "folders", "root": str(photos), "val": None}])
    encoder = Encoder.load(train(wished))
    assert encoder.provenance["epoch"] == 2
    assert not any(name.startswith("val/") for name in encoder.metrics)


def test_clipping_bounds_the_step(recipe, tmp_path):
    optimizer = {"name": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}
    frozen = {"optimizer": optimizer, "epochs": 1, "batch_size": 48, "clip_gradient": 0.01}
    wished = recipe(**frozen)
    before, after = starting_net(wished, print).state_dict(), weights(train(wished))
    moved = sum(
        float((before[name] - after[name]).square().sum())
        for name in before
        if name.endswith(("weight", "bias"))
    )
    assert 0 < math.sqrt(moved) <= 0.01 * 1.01


def test_bfloat16_trains_and_keeps_float32_weights(recipe):
    after = weights(train(recipe(precision="bf16-mixed", epochs=1)))
    assert after["projection.weight"].dtype == torch.float32
    assert all(torch.isfinite(value).all() for value in after.values())


def test_a_run_that_cannot_begin_leaves_no_folder(recipe, tmp_path):
    wrong = recipe(weights=str(tmp_path / "none.pth"))
    with pytest.raises(PerisphereError, match="there are no such weights"):
        train(wrong)
    assert not wrong.folder.exists()


def test_an_existing_folder_is_left_alone(recipe):
    train(recipe(epochs=1))
    with pytest.raises(PerisphereError, match=r"exists already.*--resume"):
        train(recipe(epochs=1))


def test_resuming_what_is_not_there_or_differs(recipe):
    with pytest.raises(PerisphereError, match="no run to resume"):
        train(recipe(), resume=True)
    train(recipe(epochs=1))
    with pytest.raises(UsageError, match="began with epochs=1, not 2"):
        train(recipe(epochs=2), resume=True)


def test_resuming_a_finished_run_changes_nothing(recipe):
    folder = train(recipe())
    before = weights(folder)
    again = weights(train(recipe(), resume=True))
    assert all(torch.equal(before[name], again[name]) for name in before)
    assert len(history(recipe())) == 2


def test_changed_photos_cannot_be_resumed(recipe, tmp_path):
    root = write_photos(tmp_path / "photos", classes=2, train=4, val=2)
    wished = recipe(data=[{"format": "folders", "root": str(root)}], epochs=1, batch_size=4)
    train(wished)
    (root / "train" / "class0" / "0.png").unlink()
    with pytest.raises(PerisphereError, match="photos, class points or tags have changed"):
        train(wished, resume=True)


def test_a_full_disk_leaves_no_half_checkpoint(recipe, monkeypatch):
    from perisphere.training import keeping

    def full(trainer, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keeping.Trainer, "save_checkpoint", lambda trainer, path: full(trainer, path))
    with pytest.raises(PerisphereError, match="No space left"):
        train(recipe())
    left = [path.name for path in (recipe().folder / "checkpoints" / "data-1").iterdir()]
    assert "last.ckpt" not in left
    assert not any(name.endswith(".part") for name in left)
    assert not (recipe().folder / "encoder").exists()

"""Runs of the method segmentation: what they learn from, what they keep, and that they go on as they were."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from concept_scenes import write_concept_photos
from test_resume import end_state, same

from perisphere.catalog import Catalog
from perisphere.encoder import Encoder
from perisphere.errors import PerisphereError
from perisphere.methods import Segmentation
from perisphere.nets import SegmentationNet
from perisphere.training import Recipe, train

NET = {"width": 8, "dilations": [1, 2]}
REFINE = {"dilations": [1, 2], "iterations": 3}


@pytest.fixture(scope="module")
def walls(tmp_path_factory):
    return write_concept_photos(
        tmp_path_factory.mktemp("walls"), landmarks=2, photos=3, side=36, unlabelled=2
    )


@pytest.fixture
def recipe(walls, tmp_path):
    tree = {
        "name": "walls",
        "method": "segmentation",
        "segmentation": {**NET, "refine": REFINE, "mask_start": 1, "correspondence": {"negatives": 4}},
        "data": [{"catalog": str(walls)}],
        "net": {"backbone": "squeezenet1_0"},
        "preprocessing": {"size": [32, 32], "resize": "squash"},
        "freeze": {"stages": ["conv1", "fire2", "fire3", "fire4", "fire5", "fire6", "fire7"]},
        "optimizer": {"name": "adam", "lr": 0.001},
        "augmentation": {"crop_area": [0.9, 1.0], "crop_draw": "redrawn", "flip": 0.5, "brightness": 0.2},
        "epochs": 2,
        "batch_size": 6,
        "accelerator": "cpu",
        "workers": 1,
        "out": str(tmp_path / "run"),
    }
    return lambda **changes: Recipe.model_validate(tree | changes)


def history(recipe):
    return json.loads((recipe.folder / "history.json").read_text())


def test_a_run_writes_an_encoder_that_segments(recipe):
    notes = []
    made = recipe()
    encoder = Encoder.load(train(made, tell=notes.append))
    assert isinstance(encoder.net, SegmentationNet)
    assert encoder.net.spec.classes == ("facade", "window", "tower"), "in the order of the channels"
    first, second = history(made)
    assert "train/mask_loss" not in first, "masks are learned from later"
    assert second["train/mask_loss"] > 0
    assert 0 < second["train/masks_kept"] <= 1
    for row in (first, second):
        assert row["train/correspondence_loss"] > 0
        assert row["train/keypoints"] > 10
        assert 0 < row["train/foreground"] < 1
        assert 0 <= row["val/concept_mAP"] <= 1
    assert encoder.provenance["epoch"] == 2, "from the epoch on that learns masks"
    assert encoder.encode([np.zeros((40, 30, 3), np.uint8)]).shape == (1, 8)
    assert list((made.folder / "tensorboard" / "data-1").iterdir())


def test_losses_begin_and_end_when_they_are_to(recipe):
    made = recipe(
        segmentation={**NET, "mask_weight": 0, "correspondence": {"start": 1, "until": 2}}, epochs=3
    )
    train(made)
    assert ["train/correspondence_loss" in row for row in history(made)] == [False, True, False]
    assert not any("train/mask_loss" in row for row in history(made))


def test_points_alone_need_no_concepts(recipe, walls, tmp_path):
    catalog = Catalog.load(walls)
    table = catalog.table.with_columns(concepts=pl.lit([], dtype=pl.List(pl.String)))
    catalog.with_table(table).save(tmp_path / "points")
    made = recipe(data=[{"catalog": str(tmp_path / "points")}])
    encoder = Encoder.load(train(made))
    assert encoder.net.spec.classes == ()
    rows = history(made)
    assert all(row["val/loss"] > 0 and "train/class_loss" not in row for row in rows)
    least = min(rows, key=lambda row: row["val/loss"])
    assert encoder.provenance["epoch"] == least["epoch"]


@pytest.mark.parametrize("head", ["cam", "classifier"])
def test_class_activation_maps_learn_from_labels_alone(recipe, head):
    made = recipe(segmentation={"head": head}, epochs=1)
    encoder = Encoder.load(train(made))
    assert encoder.net.spec.head == head
    assert set(history(made)[0]) >= {"train/class_loss", "val/concept_mAP"}
    assert "train/correspondence_loss" not in history(made)[0]


def test_a_run_that_broke_off_goes_on_to_the_same_weights(recipe, tmp_path, monkeypatch):
    options = {"epochs": 3, "schedule": {"name": "multistep", "milestones": [2], "per": "epoch"}}
    whole, broken = (recipe(**options, out=tmp_path / name) for name in ("whole", "broken"))
    train(whole)
    begin = Segmentation.on_train_epoch_start

    def cut(module):
        if module.current_epoch == 2:
            raise PerisphereError("power cut")
        begin(module)

    with monkeypatch.context() as patch:
        patch.setattr(Segmentation, "on_train_epoch_start", cut)
        with pytest.raises(PerisphereError, match="power cut"):
            train(broken)
    train(broken, resume=True)
    one, other = end_state(whole.folder), end_state(broken.folder)
    assert same(one["state_dict"], other["state_dict"])
    assert same(one["optimizer_states"], other["optimizer_states"])
    assert history(whole) == history(broken)


@pytest.mark.slow
def test_two_devices_learn_what_one_does(recipe, tmp_path):
    """Without batch norms' own statistics and dropout; the batch is a whole epoch."""
    made = [
        recipe(
            devices=devices,
            out=tmp_path / str(devices),
            segmentation={"head": "classifier", "correspondence": {"loss": "squared"}},
            optimizer={"name": "sgd", "lr": 0.01, "momentum": 0},
            batch_size=12,
        )
        for devices in (1, 2)
    ]
    for one in made:
        train(one)
    one, two = (history(each) for each in made)
    for first, second in zip(one, two, strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert second[name] == pytest.approx(value, rel=1e-3, abs=1e-4), name


def test_photos_of_no_use_are_refused_in_one_line(recipe, walls, tmp_path):
    catalog = Catalog.load(walls)
    bare = catalog.table.with_columns(concepts=pl.lit([], dtype=pl.List(pl.String)))
    catalog.with_table(bare).save(tmp_path / "bare")
    with pytest.raises(
        PerisphereError, match=r"no photo to learn from has a concept.*perisphere concepts label"
    ):
        train(recipe(data=[{"catalog": str(tmp_path / "bare")}], segmentation=NET))
    with pytest.raises(PerisphereError, match=r"share 999 points.*segmentation.correspondence.least"):
        train(recipe(segmentation={**NET, "correspondence": {"least": 999}}))
    Catalog(catalog.table, catalog.root).save(tmp_path / "pointless")
    with pytest.raises(PerisphereError, match="no two photos to learn from share 10 points"):
        train(recipe(data=[{"catalog": str(tmp_path / "pointless")}]))


def test_concepts_that_a_recipe_names_are_learned_and_no_others(recipe):
    made = recipe(segmentation={**NET, "classes": ["tower", "organ"]}, epochs=1)
    notes = []
    encoder = Encoder.load(train(made, tell=notes.append))
    assert encoder.net.spec.classes == ("tower", "organ")
    assert any("shows organ" in note for note in notes)
    left = [note for note in notes if "are left out" in note]
    assert len(left) == 1
    assert "12 of 18 photos" in left[0], "all but those of a tower"


def test_no_gradient_of_a_photo_without_concepts(recipe):
    """An unlabelled photo moves neither class scores nor masks."""
    from perisphere.methods.segmentation import Views
    from perisphere.training.concept_learning import segmentation_module
    from perisphere.training.concept_photos import concept_data
    from perisphere.training.devices import Place
    from perisphere.training.start import starting_net

    made = recipe(segmentation={**NET, "mask_start": 0})
    data = concept_data(made.data[0], made.segmentation, made.input, 0)
    net = starting_net(made, lambda _: None, data.classes)
    module = segmentation_module(made, net.eval(), data, Place("cpu"))
    module._trainer = _Alone()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    related = torch.tensor([[1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=torch.uint8)
    views = Views(images, images, related, torch.tensor([0, -1, 1, -1]), None, None, 0)
    changed = views._replace(images=images.clone())
    changed.images[[1, 3]] = 0.5
    assert torch.allclose(module.training_step(views, 0), module.training_step(changed, 0), atol=1e-6)
    changed.images[[0, 2]] = 0.5
    assert not torch.allclose(module.training_step(views, 0), module.training_step(changed, 0), atol=1e-6)


class _Alone:
    """A trainer that is asked for little."""

    world_size, training, current_epoch = 1, True, 5

import json

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from training_photos import write_photos

from perisphere.encoder import Encoder, Preprocessing
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build
from perisphere.training import Recipe, cached, train
from perisphere.training.cached import FeatureLoader, features, frozen_parts
from perisphere.training.freezing import freeze
from perisphere.training.loader import Loader
from perisphere.training.photos import Photos
from perisphere.training.recipe import Freeze

PLAIN = {"augmentation": {}, "epochs": 2}
FROZEN = {"stages": ["stem", "stage1"]}
SIZE = Preprocessing(size=(16, 16), resize="squash")


def weights(folder):
    return load_file(folder / "weights.safetensors")


@pytest.mark.parametrize(
    ("rule", "method"),
    [
        (FROZEN, {}),
        ({"stages": ["stem", "stage1", "stage2", "stage3"]}, {}),
        ({"head_only": True}, {}),
        (
            FROZEN,
            {
                "method": "hierarchy",
                "hierarchy": {"points": "onehot", "cls_weight": 0.1, "cls_base": "pooled"},
            },
        ),
    ],
)
def test_the_run_ends_where_one_without_the_cache_ends(recipe, tmp_path, rule, method):
    net = {"backbone": "small32"} if method else {"backbone": "small32", "projection": 8}
    plain = recipe(out=tmp_path / "plain", freeze=rule, net=net, **PLAIN, **method)
    kept = recipe(
        out=tmp_path / "kept",
        freeze=rule | {"cached": True, "cached_type": "float32"},
        net=net,
        **PLAIN,
        **method,
    )
    expected, found = weights(train(plain)), weights(train(kept))
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4)
    plain_rows, kept_rows = (json.loads((one.folder / "history.json").read_text()) for one in (plain, kept))
    assert [row["val/loss"] for row in kept_rows] == pytest.approx(
        [row["val/loss"] for row in plain_rows], rel=1e-3
    )
    assert not (kept.folder / "checkpoints" / "data-1" / "features").exists()


def test_the_encoder_takes_photos_again(recipe, photos):
    wished = recipe(freeze=FROZEN | {"cached": True}, augmentation={"flip": 0.5}, epochs=4)
    encoder = Encoder.load(train(wished))
    assert encoder.net.start == 0
    assert encoder.metrics["val/accuracy"] > 0.6
    assert encoder.encode(sorted(photos.rglob("*.png"))[:2]).shape == (2, 8)


def test_tuples_are_mined_among_features(recipe, tmp_path):
    root = write_photos(tmp_path / "photos", classes=6, train=6, val=3)
    wished = recipe(
        method="tuples",
        tuples={"negatives": 2, "queries": 12},
        data=[{"format": "folders", "root": str(root)}],
        freeze=FROZEN | {"cached": True},
        **PLAIN,
    )
    assert Encoder.load(train(wished)).dim == 8


@pytest.fixture
def net():
    return build(NetSpec(backbone="small32", projection=8), seed=0)


def loader(photos, count=10, **options):
    paths = sorted(photos.rglob("*.png"))[:count]
    targets = np.zeros(len(paths), np.int64)
    return Loader(
        Photos(paths, targets),
        SIZE,
        **{"batch_size": 4, "seed": 0, "shuffle": False, "cache_mb": 0} | options,
    )


def test_mirror_images_are_those_of_the_mirrored_photos(net, photos, tmp_path):
    made = loader(photos)
    net.train()
    options = {"mirrored": True, "dtype": "float32", "device": "cpu"}
    kept = features(net, 2, made, tmp_path / "train", **options)
    assert net.training
    assert kept.shape == (2, 10, 32, 8, 8)
    mirrored = np.stack([cv2.imread(str(path))[:, ::-1, ::-1] for path in made.photos.paths])
    with torch.no_grad():
        images = SIZE.normalise(torch.from_numpy(mirrored))
        expected = net.eval().leading(images, 2)
    np.testing.assert_allclose(kept[1], expected, atol=1e-5)
    assert np.abs(kept[0] - kept[1]).max() > 0.1


def test_an_interrupted_run_finds_its_features(net, photos, tmp_path, monkeypatch):
    options = {"mirrored": False, "dtype": "float16", "device": "cpu"}
    first = features(net, 1, loader(photos), tmp_path / "train", **options)
    monkeypatch.setattr(cached, "_computed", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(features(net, 1, loader(photos), tmp_path / "train", **options), first)


def test_batches_mix_photos_and_mirror_images_anew_in_each_epoch():
    kept = np.arange(80, dtype=np.float16).reshape(2, 40, 1)
    made = FeatureLoader(kept, np.arange(40), flip=0.5, batch_size=8, seed=3, shuffle=True)
    epochs = []
    for epoch in (0, 1, 0):
        made.sampler.set_epoch(epoch)
        batches = list(made)
        values = torch.cat([batch.pictures for batch in batches]).squeeze(1)
        targets = torch.cat([batch.targets for batch in batches])
        assert values.dtype == torch.float32
        assert torch.equal(values % 40, targets.float())
        assert sorted(targets.tolist()) == list(range(40))
        epochs.append(values.tolist())
    mirrored = sum(value >= 40 for value in epochs[0])
    assert 8 < mirrored < 32
    assert epochs[0] == epochs[2] != epochs[1]
    (plain,) = made.pictures(np.array([5, 0, 39]))
    assert plain.squeeze(1).tolist() == [5, 0, 39]


def test_a_feature_too_large_for_float16_is_refused(net, photos, tmp_path):
    with torch.no_grad():
        net.backbone.stem[1].weight.fill_(1e6)
    with pytest.raises(PerisphereError, match=r"too large for float16.*cached_type=float32"):
        features(net, 1, loader(photos), tmp_path / "train", mirrored=False, dtype="float16", device="cpu")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_before_anything_is_computed_in_vain(net, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(cached.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(PerisphereError, match=r"GB are free. Freeze more stages"):
        features(net, 1, loader(photos), tmp_path / "train", mirrored=False, dtype="float16", device="cpu")


@pytest.mark.parametrize(
    ("rule", "parts"),
    [(FROZEN, 2), ({"head_only": True}, 5), ({"stages": ["stem", "stage2"]}, 1), ({"first": 3}, 1)],
)
def test_the_frozen_part_is_what_leads(net, rule, parts):
    freeze(net, Freeze(**rule))
    assert frozen_parts(net) == parts


def test_a_part_that_does_not_lead_is_refused(net):
    freeze(net, Freeze(stages=("stage2",)))
    with pytest.raises(
        UsageError, match=r"nothing at the beginning of small32 is frozen.*freeze.stages=\[stem\]"
    ):
        frozen_parts(net)


@pytest.mark.parametrize(
    ("changes", "mend"),
    [
        ({"augmentation": {"flip": 0.5, "erase": 0.5}}, "leave augmentation.erase out"),
        ({"freeze": {"cached": True, "frozen_norms": "train"}}, "cached stages cannot drift"),
        ({"freeze": {"cached_type": "float32"}}, "cached_type needs cached: true"),
        ({"augmentation": {}, "devices": 2}, "freeze.cached is for one device"),
    ],
)
def test_what_does_not_go_with_the_cache_is_refused(tree, changes, mend):
    with pytest.raises(ValidationError, match=mend):
        Recipe.model_validate(tree | {"freeze": FROZEN | {"cached": True}} | changes)

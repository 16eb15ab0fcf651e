"""The recipes of WSDHQ's eight published rows: what they say, and that it can be done."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from perisphere.encoder import Encoder, Preprocessing, Scales
from perisphere.nets import NetSpec, alexnet, build, input_spec, weights
from perisphere.tags.tags import Tags
from perisphere.training import load, packaged, train
from perisphere.training.optimisation import optimisation
from perisphere.training.rates import Rates
from perisphere.training.start import starting_net

STEPS = {"flickr25k": 800, "nuswide": 1500}
TABLE = {  # MAP@5000 of codes against floats, codes against codes, floats, in the published logs
    "flickr25k-wsdhq-8": (0.7661, 0.7651, 0.7666),
    "flickr25k-wsdhq-16": (0.7548, 0.7531, 0.7564),
    "flickr25k-wsdhq-24": (0.7653, 0.7639, 0.7677),
    "flickr25k-wsdhq-32": (0.7665, 0.7672, 0.7707),
    "nuswide-wsdhq-8": (0.7167, 0.7076, 0.7196),
    "nuswide-wsdhq-16": (0.7269, 0.7246, 0.7303),
    "nuswide-wsdhq-24": (0.7304, 0.7278, 0.7316),
    "nuswide-wsdhq-32": (0.7292, 0.7276, 0.7312),
}


def test_there_is_a_recipe_for_every_row():
    assert {name for name in packaged() if "wsdhq" in name} == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_every_row_has_its_figures_and_settings(name):
    recipe = load(name)
    data, _, bits = name.split("-")
    kinds = ("asymmetric", "symmetric", "float")
    assert recipe.published == {f"{k} MAP@5000": v for k, v in zip(kinds, TABLE[name], strict=True)}
    rule = recipe.quantization
    assert 8 * rule.books == int(bits)
    assert (rule.words, rule.loss, rule.gamma, rule.negatives, rule.weight) == (
        256,
        "adaptive",
        1,
        "all",
        1e-4,
    )
    assert (rule.start, rule.every, rule.sweeps, rule.unit) == (2, 2, 3, False)
    assert (recipe.iterations, recipe.batch_size, recipe.epochs) == (STEPS[data], 256, None)
    assert recipe.net.model_dump(exclude_defaults=True) == {
        "backbone": "alexnet",
        "projection": 300,
        "projection_std": 0.01,
        "activation": "tanh",
    }
    assert recipe.views == "ten"
    assert recipe.input == Preprocessing.for_architecture(input_spec("alexnet"))
    published = Preprocessing.published("wsdhq")
    assert (recipe.input.size, recipe.input.shorter, recipe.input.resize) == (
        published.size,
        published.shorter,
        published.resize,
    )
    assert (recipe.augmentation.shorter, recipe.augmentation.flip) == ((256, 256), 0.5)
    assert [one.catalog.name for one in recipe.data] == [data]
    assert rule.tags.name == f"{data}-tags"
    assert "AAAI 2021" in recipe.source


@pytest.mark.parametrize("name", ["flickr25k-wsdhq-32", "nuswide-wsdhq-32"])
def test_rates_are_the_published_multiples_and_halve_every_300_steps(name):
    recipe = load(name)
    with torch.device("meta"):
        net = build(recipe.net)
        optimizer = optimisation(recipe, net, nn.Identity())
    rates = {(g["name"], t.ndim > 1): g["rate"] for g in optimizer.param_groups for t in g["params"]}
    layers = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
    expected = {(layer, kernel): 1.0 if kernel else 2.0 for layer in layers for kernel in (True, False)}
    assert rates == pytest.approx(expected | {("projection", True): 10.0, ("projection", False): 20.0})
    assert isinstance(optimizer, torch.optim.Adam)
    at = Rates(recipe.schedule, recipe.optimizer.lr, epochs=10)
    assert [at.rate(0, step) for step in (0, 299, 300, 600)] == pytest.approx([3e-4, 3e-4, 1.5e-4, 0.75e-4])


@pytest.fixture
def collection(tmp_path, monkeypatch):
    """Photos with tags as the catalog `flickr25k`, and tags of 300 numbers."""
    from training_photos import write_photos

    from perisphere.catalog.readers import read

    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "raw" / "images", side=36, train=12, val=0)
    rows = [
        {
            "image": str(path.relative_to(tmp_path / "raw" / "images")),
            "tags": [path.parent.name],
            "split": "train",
        }
        for path in sorted((tmp_path / "raw" / "images").rglob("*.png"))
    ]
    (tmp_path / "raw" / "tags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read("tags", tmp_path / "raw", out=tmp_path / "flickr25k")
    names = ("class0", "class1", "class2")
    vectors = np.random.default_rng(0).normal(size=(3, 300)).astype(np.float32)
    Tags(names, vectors, np.full(3, 12), {name: name for name in names}).save(tmp_path / "flickr25k-tags")


QUICK = ["batch_size=9", "accelerator=cpu", "weights=null", "quantization.words=8", "iterations=10"]
NARROW = ["net.backbone=small32", "preprocessing={size: [32, 32], shorter: 36, resize: squash}"]


@pytest.mark.usefixtures("collection")
def test_a_recipe_trains_with_a_small_net_in_place_of_alexnet():
    options = [*QUICK, *NARROW, "augmentation.shorter=[36, 36]", "optimizer.rates={}"]
    encoder = Encoder.load(train(load("flickr25k-wsdhq-16", [*options, "out=run"])))
    assert encoder.scales == Scales(views="ten")
    assert (encoder.dim, encoder.codebooks.bits, encoder.codebooks.unit) == (300, 16, False)
    assert encoder.tags.names == ("class0", "class1", "class2")
    assert encoder.provenance["epochs"] == 3


@pytest.fixture
def narrow(monkeypatch):
    """AlexNet with dense layers of 16 outputs in place of 4,096."""
    monkeypatch.setattr(alexnet, "WIDTH", 16)
    weights._layout.cache_clear()
    yield
    weights._layout.cache_clear()


@pytest.mark.usefixtures("narrow")
def test_training_starts_from_the_published_file(tmp_path):
    net = build(NetSpec(backbone="alexnet", projection=300), seed=9)
    parts = {**dict(net.backbone.named_children()), "fc8": net.projection}
    layers = {}
    for name, part in parts.items():
        weight = part.weight.detach().numpy()
        if name == "fc6":
            weight = weight.reshape(16, 256, 6, 6).transpose(0, 2, 3, 1).reshape(16, -1)
        weight = weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
        layers[name] = [weight, part.bias.detach().numpy()]
    for name, further in (("alexnet", {}), ("checkpoint", {"C": np.ones((256, 300), np.float32)})):
        file = tmp_path / f"{name}.npy"
        np.save(file, np.array(layers | further, dtype=object), allow_pickle=True)
        notes = []
        started = starting_net(load("flickr25k-wsdhq-8", [f"weights={file}"]), notes.append)
        for layer, part in started.backbone.named_children():
            assert torch.equal(part.weight, parts[layer].weight), layer
        assert torch.equal(started.projection.weight, net.projection.weight) == bool(further)
        assert len(notes) == (0 if further else 1)
    assert started.projection.weight.shape == (300, 16)

"""Published AlexNet weights and checkpoints of WSDHQ into Encoders (the dense layers are narrow here)."""

import json

import numpy as np
import pytest
import torch
from drawn import picture
from typer.testing import CliRunner

from perisphere.cli.main import app
from perisphere.codes.metric import metric_root
from perisphere.encoder import Encoder, Preprocessing, Scales
from perisphere.encoder.from_checkpoint import encoder_from
from perisphere.encoder.scales import ten_views
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, alexnet, build, weights
from perisphere.tags.tags import Tags

WIDTH, DIM = 16, 6


@pytest.fixture
def net(monkeypatch):
    """A tanh AlexNet with dense layers of 16 outputs in place of 4,096."""
    monkeypatch.setattr(alexnet, "WIDTH", WIDTH)
    weights._layout.cache_clear()
    yield build(NetSpec(backbone="alexnet", projection=DIM, activation="tanh"), seed=0).eval()
    weights._layout.cache_clear()


def layers_of(net):
    """The network as the published programs write it."""
    state = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    layers = {}
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        weight = state[f"backbone.{name}.weight"].transpose(2, 3, 1, 0)
        layers[name] = [weight, state[f"backbone.{name}.bias"]]
    fc6 = state["backbone.fc6.weight"].reshape(WIDTH, 256, 6, 6).transpose(2, 3, 1, 0).reshape(-1, WIDTH)
    layers["fc6"] = [fc6, state["backbone.fc6.bias"]]
    layers["fc7"] = [state["backbone.fc7.weight"].T, state["backbone.fc7.bias"]]
    return layers


def saved(path, layers):
    np.save(path, np.array(layers, dtype=object), allow_pickle=True)
    return path


@pytest.fixture
def words():
    return np.random.default_rng(1).normal(size=(512, DIM)).astype(np.float32)


@pytest.fixture
def checkpoint(net, words, tmp_path):
    fc8 = [net.projection.weight.detach().numpy().T, net.projection.bias.detach().numpy()]
    return saved(tmp_path / "flickr.npy", layers_of(net) | {"fc8": fc8, "C": words})


@pytest.fixture
def tags():
    vectors = np.random.default_rng(2).normal(size=(9, DIM)).astype(np.float32)
    names = tuple("abcdefghi")
    return Tags(names, vectors, np.ones(9, np.int64), {name: name for name in names})


def test_published_weights_become_an_encoder_without_their_classifier(net, tmp_path):
    classifier = [np.zeros((WIDTH, 1000), np.float32), np.zeros(1000, np.float32)]
    file = saved(tmp_path / "alexnet.npy", layers_of(net) | {"fc8": classifier})
    encoder, report = encoder_from(file, {"backbone": "alexnet"})
    assert report.classifier == ["fc8.weight", "fc8.bias"]
    assert (len(report.matched), report.missing, report.unexpected) == (14, [], [])
    assert encoder.preprocessing.channels == "BGR"
    assert encoder.scales == Scales()
    images = torch.randn(1, 3, 227, 227)
    with torch.no_grad():
        assert torch.equal(encoder.net.eval()(images), net.pooled(images))
    projected, report = encoder_from(file, {"backbone": "alexnet", "projection": DIM, "activation": "tanh"})
    assert report.missing == ["projection.weight", "projection.bias"]
    assert projected.dim == DIM


def test_a_checkpoint_brings_head_codebooks_input_and_ten_views(net, words, checkpoint):
    encoder, report = encoder_from(checkpoint, {})
    assert report.unfit == report.missing == report.unexpected == []
    assert encoder.preprocessing == Preprocessing.published("wsdhq")
    assert encoder.scales == Scales(views="ten")
    books = encoder.codebooks
    assert (books.kind, books.unit, books.metric, books.bits) == ("additive", False, None, 16)
    np.testing.assert_array_equal(books.words.reshape(-1, DIM), words)

    pictures = [picture(seed, 300, 280) for seed in range(2)]
    whole = np.stack([encoder.preprocessing.uncut()(one) for one in pictures])
    images = (
        torch.from_numpy(whole.astype(np.float32) - [103.939, 116.779, 123.68]).float().permute(0, 3, 1, 2)
    )
    with torch.no_grad():
        expected = torch.stack([net(view) for view in ten_views(images, (227, 227))]).mean(0)
    inference = encoder.inference(precision="float32", unit=False)
    np.testing.assert_allclose(inference(whole), expected, atol=1e-5)


def test_tags_give_the_codebooks_their_metric(checkpoint, tags, tmp_path):
    encoder, _ = encoder_from(checkpoint, {}, tags=tags)
    np.testing.assert_array_equal(encoder.codebooks.metric, metric_root(tags.vectors))
    encoder.save(tmp_path / "encoder")
    again = Encoder.load(tmp_path / "encoder")
    assert again.identity == encoder.identity
    assert again.tags.names == tags.names
    assert again.codebooks.fingerprint == encoder.codebooks.fingerprint


def test_what_the_file_contradicts_is_refused(checkpoint, net, tags, tmp_path):
    for fields, options, said in (
        ({"backbone": "resnet18"}, {}, "Leave --as out"),
        ({"projection": 4}, {}, "--projection"),
        ({}, {"whitening": "a/ss"}, "--whitening"),
    ):
        with pytest.raises(UsageError, match=said):
            encoder_from(checkpoint, fields, **options)
    other = Tags(("a",), np.ones((1, 4), np.float32), np.ones(1, np.int64), {"a": "a"})
    with pytest.raises(PerisphereError):
        encoder_from(checkpoint, {}, tags=other)
    plain = saved(tmp_path / "alexnet.npy", layers_of(net))
    with pytest.raises(UsageError, match="--tags"):
        encoder_from(plain, {"backbone": "alexnet"}, tags=tags)
    with pytest.raises(UsageError, match="does not say what its network is"):
        encoder_from(plain, {})


def test_a_layer_that_is_missing_or_of_another_shape_is_named(net, words, tmp_path):
    layers = layers_of(net)
    head = [np.zeros((WIDTH, DIM), np.float32), np.zeros(DIM, np.float32)]
    lacking = {name: layer for name, layer in layers.items() if name != "conv4"} | {"fc8": head, "C": words}
    with pytest.raises(PerisphereError, match=r"backbone\.conv4"):
        encoder_from(saved(tmp_path / "lacking.npy", lacking), {})
    layers["fc6"] = [layers["fc6"][0][:1024], layers["fc6"][1]]
    with pytest.raises(PerisphereError, match=r"backbone\.fc6\.weight"):
        encoder_from(saved(tmp_path / "other.npy", layers), {"backbone": "alexnet"})


def test_the_verb_imports_and_reports(checkpoint, tags, tmp_path):
    tags.save(tmp_path / "tags")
    out = tmp_path / "encoder"
    options = ["-o", str(out), "--tags", str(tmp_path / "tags"), "--json"]
    result = CliRunner().invoke(app, ["weights", "import", str(checkpoint), *options])
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["matched"]) == 16
    assert Encoder.load(out).codebooks.bits == 16

"""Keras files of the published structure, made here, against a forward pass in Keras's own layout."""

import json
import re
from collections import Counter

import h5py
import numpy as np
import pytest
import torch
from torch.nn import functional as F
from typer.testing import CliRunner

import perisphere.cli.weights  # noqa: F401
from perisphere.cli.main import app
from perisphere.encoder import Encoder, Preprocessing
from perisphere.errors import PerisphereError, UsageError
from perisphere.foreign.keras import KerasLayer, KerasModel, is_hdf5, read_keras
from perisphere.nets import import_keras
from perisphere.nets.densenet import DenseNet
from perisphere.nets.keras_weights import fit_keras
from perisphere.nets.nasnet import NasNet
from perisphere.nets.pyramidnet import PyramidNet
from perisphere.nets.resnet import ResNet
from perisphere.nets.wide_resnet import WideResNet
from perisphere.taxonomy import ClassPoints
from perisphere.training.recipe import Recipe
from perisphere.training.start import starting_net

RECIPE = {"name": "r", "data": [{"catalog": "c"}], "epochs": 1}


def pad(x, kernel, stride, value=0.0):
    """ "Same" padding of [n, c, h, w] as Keras on TensorFlow has it."""
    for axis in (2, 3):
        side = x.shape[axis]
        total = max((int(np.ceil(side / stride)) - 1) * stride + kernel - side, 0)
        before, after = list(x.shape), list(x.shape)
        before[axis], after[axis] = total // 2, total - total // 2
        x = torch.cat([x.new_full(before, value), x, x.new_full(after, value)], dim=axis)
    return x


class Keras:
    """Draws the weights of layers as they are asked for, and computes with them in float64."""

    def __init__(self, seed=0, first=1, eps=1e-3):
        self.draw = np.random.default_rng(seed)
        self.eps = eps
        self.count = Counter({"conv2d": first - 1, "batch_normalization": first - 1, "dense": first - 1})
        self.weights, self.settings, self.names = {}, {}, []

    def layer(self, kind, name, **weights):
        if name is None:
            self.count[kind] += 1
            name = f"{kind}_{self.count[kind]}"
        self.names.append(name)
        if weights:
            self.weights[name] = {key: value.astype(np.float32) for key, value in weights.items()}
        return [torch.from_numpy(value).double() for value in self.weights.get(name, {}).values()]

    def conv(self, x, outputs, kernel, stride=1, name=None, bias=True, same=True):
        inputs = x.shape[1]
        scale = np.sqrt(1.5 / (inputs * kernel**2))
        weights = {"kernel": self.draw.normal(0, scale, (kernel, kernel, inputs, outputs))}
        if bias:
            weights["bias"] = self.draw.normal(0, 0.3, outputs)
        found, *offset = self.layer("conv2d", name, **weights)
        x = pad(x, kernel, stride) if same else x
        return F.conv2d(x, found.permute(3, 2, 0, 1), offset[0] if bias else None, stride)

    def separable(self, x, outputs, kernel, stride, name):
        inputs = x.shape[1]
        depthwise, pointwise = self.layer(
            "separable",
            name,
            depthwise_kernel=self.draw.normal(0, 1 / kernel, (kernel, kernel, inputs, 1)),
            pointwise_kernel=self.draw.normal(0, np.sqrt(1 / inputs), (1, 1, inputs, outputs)),
        )
        x = F.conv2d(pad(x, kernel, stride), depthwise.permute(2, 3, 0, 1), None, stride, groups=inputs)
        return F.conv2d(x, pointwise.permute(3, 2, 0, 1))

    def bn(self, x, name=None):
        channels = x.shape[1]
        # Some are so small that the epsilon decides; the scale keeps the signal of deep networks in bounds.
        spread = self.draw.choice([1e-4, 0.7, 1.4], channels, p=[0.1, 0.5, 0.4])
        gamma, beta, mean, variance = self.layer(
            "batch_normalization",
            name,
            gamma=self.draw.uniform(0.3, 0.9, channels) * np.sqrt(spread + self.eps),
            beta=self.draw.normal(0, 0.2, channels),
            moving_mean=self.draw.normal(0, 0.2, channels),
            moving_variance=spread,
        )
        self.settings[self.names[-1]] = {"epsilon": self.eps}
        shape = (1, -1) + (1,) * (x.ndim - 2)
        gamma, beta, mean, variance = (value.reshape(shape) for value in (gamma, beta, mean, variance))
        return (x - mean) / torch.sqrt(variance + self.eps) * gamma + beta

    def dense(self, x, outputs, name=None, activation="linear"):
        kernel, bias = self.layer(
            "dense",
            name,
            kernel=self.draw.normal(0, np.sqrt(1 / x.shape[1]), (x.shape[1], outputs)),
            bias=self.draw.normal(0, 0.1, outputs),
        )
        self.settings[self.names[-1]] = {"activation": activation}
        return x @ kernel + bias

    def relu(self, x):
        self.layer("activation", f"activation_{len(self.names)}")
        return x.clamp(min=0)

    def with_head(self, embedding, classes=7):
        """The training's head: normalised embedding; ReLU, normalisation and softmax on it."""
        self.names.append("l2norm")
        self.dense(self.bn(self.relu(embedding)), classes, "prob", "softmax")
        return embedding

    def model(self):
        layers = {
            name: KerasLayer(name, weights, self.settings.get(name, {}))
            for name, weights in self.weights.items()
        }
        return KerasModel(layers, frozenset(self.names))

    def save(self, path, described=True, whole=True):
        with h5py.File(path, "w") as file:
            root = file.create_group("model_weights") if whole else file
            root.attrs["layer_names"] = [name.encode() for name in self.names]
            for name in self.names:
                group = root.create_group(name)
                weights = self.weights.get(name, {})
                group.attrs["weight_names"] = [f"{name}/{kind}:0".encode() for kind in weights]
                for kind, values in weights.items():
                    group[f"{name}/{kind}:0"] = values
            if whole:
                file.create_group("optimizer_weights")["iterations:0"] = 3
            if described:
                layers = [
                    {"class_name": "Any", "config": {"name": name} | self.settings.get(name, {})}
                    for name in self.names
                ]
                config = {"class_name": "Model", "config": {"name": "model_1", "layers": layers}}
                file.attrs["model_config"] = json.dumps(config).encode()
        return path


# --- the published architectures, in Keras's terms ---


def plain11(keras, x, outputs=100):
    filters_and_poolings = (64, 64, "ap", 128, 128, 128, "ap", 256, 256, 256, "ap", 512, "gap", "fc")
    for number, filters in enumerate(filters_and_poolings, start=1):
        if filters == "ap":
            x = F.avg_pool2d(x, 2)
        elif filters == "gap":
            x = x.mean(dim=(2, 3))
        elif filters == "fc":
            x = keras.bn(keras.dense(x, 512, f"fc{number}").clamp(min=0), f"bn{number}")
        else:
            x = keras.bn(keras.conv(x, filters, 3, name=f"conv{number}").clamp(min=0), f"bn{number}")
    return keras.dense(x, outputs, "embedding")


def resnet_for_cifar(keras, x, n, widths, outputs=None):
    x = keras.relu(keras.bn(keras.conv(x, widths[0], 3, name="conv0"), "bn0"))
    for unit, width in enumerate(widths, start=1):
        for block in range(1, n + 1):
            stride = 2 if unit > 1 and block == 1 else 1
            place = f"{unit}-{block}"
            y = keras.relu(keras.bn(keras.conv(x, width, 3, stride, f"res{place}x"), f"bn{place}x"))
            y = keras.bn(keras.conv(y, width, 3, 1, f"res{place}y"), f"bn{place}y")
            more = width - x.shape[1]
            if stride > 1:
                x = F.avg_pool2d(x, 2)
            zeros = x.new_zeros(len(x), more // 2, *x.shape[2:])
            x = keras.relu(
                y + torch.cat([zeros, x, x.new_zeros(len(x), more - more // 2, *x.shape[2:])], dim=1)
            )
    x = x.mean(dim=(2, 3))
    return x if outputs is None else keras.dense(x, outputs, "embedding")


def pyramidnet(keras, x, n, alpha, bottleneck, outputs=100):
    x = keras.bn(keras.conv(x, 16, 3, name="conv0"), "bn0")
    channels = 16.0
    for unit in range(3):
        for block in range(n):
            channels += alpha / (3 * n)
            width, stride = round(channels), 2 if unit and not block else 1
            y = keras.bn(x)
            if bottleneck:
                y = keras.relu(keras.bn(keras.conv(y, width, 1)))
                y = keras.relu(keras.bn(keras.conv(y, width, 3, stride)))
                y = keras.bn(keras.conv(y, 4 * width, 1))
            else:
                y = keras.relu(keras.bn(keras.conv(y, width, 3, stride)))
                y = keras.bn(keras.conv(y, width, 3))
            x = F.avg_pool2d(x, 2) if stride > 1 else x
            x = y + torch.cat([x, x.new_zeros(len(x), y.shape[1] - x.shape[1], *x.shape[2:])], dim=1)
    x = keras.relu(keras.bn(x, "bn4"))
    return keras.dense(x.mean(dim=(2, 3)), outputs, "embedding")


def wide_resnet(keras, x, n, k):
    x = keras.relu(keras.bn(keras.conv(x, 16, 3, bias=False)))
    for unit, base in enumerate((16, 32, 64)):
        stride = 2 if unit else 1
        y = keras.relu(keras.bn(keras.conv(x, base * k, 3, stride, bias=False)))
        y = keras.conv(y, base * k, 3, bias=False)
        x = y + keras.conv(x, base * k, 1, stride, bias=False)
        for _ in range(n - 1):
            y = keras.conv(keras.relu(keras.bn(x)), base * k, 3, bias=False)
            x = x + keras.conv(keras.relu(keras.bn(y)), base * k, 3, bias=False)
        x = keras.relu(keras.bn(x))
    return x.mean(dim=(2, 3))


def densenet(keras, x, units, growth, stem, bottleneck, compression, outputs):
    x = keras.conv(x, stem, 3, bias=False)
    for block in range(3):
        for _ in range(units):
            y = keras.relu(keras.bn(x))
            if bottleneck:
                y = keras.relu(keras.bn(keras.conv(y, 4 * growth, 1, bias=False)))
            x = torch.cat([x, keras.conv(y, growth, 3, bias=False)], dim=1)
        if block < 2:
            x = keras.conv(keras.relu(keras.bn(x)), int(x.shape[1] * compression), 1, bias=False)
            x = F.avg_pool2d(x, 2)
    x = keras.relu(keras.bn(x)).mean(dim=(2, 3))
    return keras.dense(x, outputs)


def resnet50(keras, x, blocks=(3, 4, 6, 3), outputs=9, padded=True):
    keras.names.append("conv1_pad")
    x = keras.relu(keras.bn(keras.conv(F.pad(x, (3,) * 4), 64, 7, 2, "conv1", same=False), "bn_conv1"))
    if padded:
        keras.names.append("pool1_pad")
        x = F.pad(x, (1,) * 4)
    x = F.max_pool2d(x, 3, 2)
    for stage, count in enumerate(blocks, start=2):
        width = 64 * 2 ** (stage - 2)
        for block in range(count):
            place = f"{stage}{'abcdefghijkl'[block]}_branch"
            stride = 2 if stage > 2 and not block else 1
            y = keras.relu(keras.bn(keras.conv(x, width, 1, stride, f"res{place}2a"), f"bn{place}2a"))
            y = keras.relu(keras.bn(keras.conv(y, width, 3, 1, f"res{place}2b"), f"bn{place}2b"))
            y = keras.bn(keras.conv(y, 4 * width, 1, 1, f"res{place}2c"), f"bn{place}2c")
            if not block:
                x = keras.bn(keras.conv(x, 4 * width, 1, stride, f"res{place}1"), f"bn{place}1")
            x = keras.relu(x + y)
    return keras.dense(x.mean(dim=(2, 3)), outputs, "embedding")


def deeper_resnet(keras, x, blocks):
    x = keras.relu(keras.bn(keras.conv(F.pad(x, (3,) * 4), 64, 7, 2, "conv1_conv", same=False), "conv1_bn"))
    keras.names.append("pool1_pad")
    x = F.max_pool2d(F.pad(x, (1,) * 4), 3, 2)
    for stage, count in enumerate(blocks, start=2):
        width = 64 * 2 ** (stage - 2)
        for block in range(1, count + 1):
            place, stride = f"conv{stage}_block{block}", 2 if stage > 2 and block == 1 else 1
            shortcut = x
            if block == 1:
                shortcut = keras.bn(keras.conv(x, 4 * width, 1, stride, f"{place}_0_conv"), f"{place}_0_bn")
            x = keras.relu(keras.bn(keras.conv(x, width, 1, stride, f"{place}_1_conv"), f"{place}_1_bn"))
            x = keras.relu(keras.bn(keras.conv(x, width, 3, 1, f"{place}_2_conv"), f"{place}_2_bn"))
            x = keras.bn(keras.conv(x, 4 * width, 1, 1, f"{place}_3_conv"), f"{place}_3_bn")
            x = keras.relu(x + shortcut)
    return x.mean(dim=(2, 3))


def nasnet(keras, x, cells, channels, stem):
    def twice(x, width, kernel, stride, place):
        for number, step in ((1, stride), (2, 1)):
            x = keras.separable(keras.relu(x), width, kernel, step, f"separable_conv_{number}_{place}")
            x = keras.bn(x, f"separable_conv_{number}_bn_{place}")
        return x

    def average(x, stride):
        ones = pad(torch.ones_like(x), 3, stride)
        return F.avg_pool2d(pad(x, 3, stride), 3, stride) / F.avg_pool2d(ones, 3, stride)

    def largest(x):
        return F.max_pool2d(pad(x, 3, 2, float("-inf")), 3, 2)

    def prepared(x, p, width, kind, label):
        if p is None:
            p = x
        elif p.shape[-1] != x.shape[-1]:
            p = keras.relu(p)
            even = keras.conv(p[:, :, ::2, ::2], width // 2, 1, name=f"adjust_conv_1_{label}", bias=False)
            moved = F.pad(p, (0, 1, 0, 1))[:, :, 1:, 1:]
            odd = keras.conv(moved[:, :, ::2, ::2], width // 2, 1, name=f"adjust_conv_2_{label}", bias=False)
            p = keras.bn(torch.cat([even, odd], dim=1), f"adjust_bn_{label}")
        elif p.shape[1] != width:
            p = keras.conv(keras.relu(p), width, 1, name=f"adjust_conv_projection_{label}", bias=False)
            p = keras.bn(p, f"adjust_bn_{label}")
        h = keras.conv(keras.relu(x), width, 1, name=f"{kind}_conv_1_{label}", bias=False)
        return p, keras.bn(h, f"{kind}_bn_1_{label}")

    def normal(x, p, width, label):
        p, h = prepared(x, p, width, "normal", label)
        x1 = twice(h, width, 5, 1, f"normal_left1_{label}") + twice(p, width, 3, 1, f"normal_right1_{label}")
        x2 = twice(p, width, 5, 1, f"normal_left2_{label}") + twice(p, width, 3, 1, f"normal_right2_{label}")
        x4 = average(p, 1) + average(p, 1)
        x5 = twice(h, width, 3, 1, f"normal_left5_{label}") + h
        return torch.cat([p, x1, x2, average(h, 1) + p, x4, x5], dim=1), x

    def reduction(x, p, width, label):
        p, h = prepared(x, p, width, "reduction", label)
        x1 = twice(h, width, 5, 2, f"reduction_left1_{label}")
        x1 = x1 + twice(p, width, 7, 2, f"reduction_right1_{label}")
        x2 = largest(h) + twice(p, width, 7, 2, f"reduction_right2_{label}")
        x3 = average(h, 2) + twice(p, width, 5, 2, f"reduction_right3_{label}")
        x5 = twice(x1, width, 3, 1, f"reduction_left4_{label}") + largest(h)
        return torch.cat([x2, x3, x2 + average(x1, 1), x5], dim=1), x

    width = channels // 24
    x = keras.bn(keras.conv(x, stem, 3, 2, "stem_conv1", bias=False, same=False), "stem_bn1")
    x, p = reduction(x, None, width // 4, "stem_1")
    x, p = reduction(x, p, width // 2, "stem_2")
    for number in range(cells):
        x, p = normal(x, p, width, str(number))
    for part in (1, 2):
        x, _ = reduction(x, p, 2**part * width, f"reduce_{part * cells}")
        for number in range(cells):
            x, p = normal(x, p, 2**part * width, str(part * cells + number + 1))
    return keras.relu(x).mean(dim=(2, 3))


# --- whole files ---


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def agrees(net, images, expected):
    net.double().eval()
    with torch.no_grad():
        found = net.backbone(images).mean(dim=(2, 3))
        found = found if net.projection is None else net.projection(found)
    close(found, expected)


def close(found, expected):
    """The file holds float32; a few parts in a million of the largest value are its rounding."""
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)


WHOLE = {
    "plain11": plain11,
    "resnet-110-wfc": lambda keras, x: resnet_for_cifar(keras, x, 18, (32, 64, 128), 100),
    "resnet-32": lambda keras, x: resnet_for_cifar(keras, x, 5, (16, 32, 64)),
    "pyramidnet-110-270": lambda keras, x: pyramidnet(keras, x, 18, 270, False),
    "pyramidnet-272-200": lambda keras, x: pyramidnet(keras, x, 30, 200, True),
    "densenet-100-12": lambda keras, x: densenet(keras, x, 32, 12, 16, False, 1, 11),
}


LARGE = ("pyramidnet-110-270", "pyramidnet-272-200", "densenet-100-12")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in WHOLE]
)
def test_a_published_file_gives_the_same_embeddings(tmp_path, images, name):
    keras = Keras(first=41)
    expected = keras.with_head(WHOLE[name](keras, images))
    net, report = import_keras(keras.save(tmp_path / "m.h5"), {"backbone": name})
    assert report.missing == report.unexpected == report.shape_differs == []
    assert len(report.classifier) == 2
    assert "prob" in report.classifier
    agrees(net, images, expected)


@pytest.mark.slow
def test_resnet50_has_its_stride_in_the_first_convolution(tmp_path):
    images = torch.randn(1, 3, 75, 75, dtype=torch.float64)
    keras = Keras()
    expected = keras.with_head(resnet50(keras, images))
    net, report = import_keras(keras.save(tmp_path / "m.h5"), {"backbone": "resnet50_v1"})
    assert net.spec.projection == 9
    assert report.unfit == []
    agrees(net, images, expected)


def test_resnet50_of_early_keras_is_told_by_its_pooling(tmp_path):
    keras = Keras()
    resnet50(keras, torch.randn(1, 3, 64, 64, dtype=torch.float64), (1, 1, 1, 1), padded=False)
    file = keras.save(tmp_path / "m.h5")
    with pytest.raises(PerisphereError, match=r"m\.h5: its first pooling .* --as resnet50_v1_unpadded"):
        import_keras(file, {"backbone": "resnet50_v1"}, partial=True)
    net, _ = import_keras(file, {"backbone": "resnet50_v1_unpadded"}, partial=True)
    assert not net.backbone.padded_pool


@pytest.mark.parametrize("backbone", ["resnet50_v1", "resnet50_v1_unpadded", "resnet18", "plain11"])
def test_the_package_keras_resnet_is_not_taken_for_early_keras(tmp_path, backbone):
    keras = Keras(eps=1e-5)
    resnet50(keras, torch.randn(1, 3, 64, 64, dtype=torch.float64), (1, 1, 1, 1), padded=False)
    for weights in keras.weights.values():
        if "kernel" in weights and weights["kernel"].ndim == 4:
            weights.pop("bias")  # its convolutions have none
    file = keras.save(tmp_path / "m.h5", described=False)
    with pytest.raises(PerisphereError, match=r"m\.h5: it is of the package keras-resnet .* train one of"):
        import_keras(file, {"backbone": backbone}, partial=True)


# --- the same names on small networks ---

SMALL = {
    "wide": (lambda keras, x: wide_resnet(keras, x, 3, 2), lambda: WideResNet(3, 2), 1e-5),
    "dense": (
        lambda keras, x: densenet(keras, x, 2, 4, 8, True, 0.5, 3),
        lambda: DenseNet(2, 4, 8, True, 0.5),
        1.1e-5,
    ),
    "pyramid": (lambda keras, x: pyramidnet(keras, x, 2, 20, False), lambda: PyramidNet(2, 20, False), 1e-3),
    "bottlenecks": (
        lambda keras, x: pyramidnet(keras, x, 2, 20, True),
        lambda: PyramidNet(2, 20, True),
        1e-3,
    ),
    "resnet": (
        lambda keras, x: resnet50(keras, x, (1, 2, 2, 1)),
        lambda: ResNet("bottleneck", (1, 2, 2, 1), early_stride=True, eps=1e-3),
        1e-3,
    ),
    "unpadded": (
        lambda keras, x: resnet50(keras, x, (1, 2, 1, 1), padded=False),
        lambda: ResNet("bottleneck", (1, 2, 1, 1), early_stride=True, padded_pool=False),
        1e-3,
    ),
    "nasnet": (lambda keras, x: nasnet(keras, x, 2, 96, 8), lambda: NasNet(2, 96, 8), 1e-3),
    "deeper": (
        lambda keras, x: deeper_resnet(keras, x, (1, 2, 2, 1)),
        lambda: ResNet("bottleneck", (1, 2, 2, 1), early_stride=True, eps=1.001e-5),
        1.001e-5,
    ),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("side", [64, 67])
def test_every_layout_is_read(name, side):
    make, ours, eps = SMALL[name]
    if name in ("dense", "pyramid", "bottlenecks"):
        side -= side % 4  # their shortcuts and transitions halve even maps alone
    images = torch.randn(1, 3, side, side, dtype=torch.float64)
    keras = Keras(eps=eps)
    vector = make(keras, images)
    net = ours()
    fit = fit_keras(keras.model(), net)
    assert fit.missing == fit.surplus == []
    projection = fit.tensors.pop("projection.weight", None)
    offset = fit.tensors.pop("projection.bias", None)
    tensors = {key.removeprefix("backbone."): value for key, value in fit.tensors.items()}
    missing, unexpected = net.load_state_dict(tensors, strict=False)
    assert unexpected == []
    assert all("num_batches" in key for key in missing)
    with torch.no_grad():
        found = net.double().eval()(images).mean(dim=(2, 3))
        found = found if projection is None else found @ projection.double().T + offset
    close(found, vector)


def test_the_epsilon_of_the_file_goes_before_ours(tmp_path, images):
    keras = Keras(eps=0.03)
    expected = plain11(keras, images)
    net, _ = import_keras(keras.save(tmp_path / "m.h5"), {"backbone": "plain11"})
    agrees(net, images, expected)


def test_weights_alone_are_enough(tmp_path, images):
    keras = Keras()
    expected = plain11(keras, images)
    file = keras.save(tmp_path / "w.h5", described=False, whole=False)
    net, _ = import_keras(file, {"backbone": "plain11"})
    agrees(net, images, expected)


def test_a_model_within_the_model_is_read_by_the_names_of_its_weights(tmp_path, images):
    keras = Keras()
    expected = plain11(keras, images)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["layer_names"] = [b"input_1", b"sequential_1", b"l2norm"]
        inner = file.create_group("sequential_1")
        file.create_group("input_1").attrs["weight_names"] = np.zeros(0, "S1")
        file.create_group("l2norm").attrs["weight_names"] = np.zeros(0, "S1")
        names = [f"{layer}/{kind}:0" for layer, weights in keras.weights.items() for kind in weights]
        inner.attrs["weight_names0"] = [name.encode() for name in names[:20]]
        inner.attrs["weight_names1"] = [name.encode() for name in names[20:]]
        for name in names:
            layer, kind = name.removesuffix(":0").split("/")
            inner[name] = keras.weights[layer][kind]
    net, _ = import_keras(tmp_path / "m.h5", {"backbone": "plain11"})
    agrees(net, images, expected)


# --- files that do not fit ---


@pytest.fixture
def plain_file(tmp_path, images):
    keras = Keras()
    keras.with_head(plain11(keras, images, 5))
    return keras.save(tmp_path / "m.h5")


@pytest.mark.parametrize(("name", "message"), [
    ("resnet50", r"m\.h5: it is a Keras file, and resnet50 is no network of Keras's\. .* fit plain11\."),
    ("resnet-32", r"m\.h5: \d+ layers of resnet-32 are missing .* Its layers fit plain11\. .*--partial"),
    ("resnet50_v1", r"m\.h5: .* Its layers fit plain11\."),
])  # fmt: skip
def test_another_architecture_is_refused_with_the_right_name(plain_file, name, message):
    with pytest.raises(PerisphereError, match=message):
        import_keras(plain_file, {"backbone": name})


def test_a_wider_network_is_refused(tmp_path, images):
    keras = Keras()
    resnet_for_cifar(keras, images, 5, (32, 64, 128), 4)
    file = keras.save(tmp_path / "m.h5")
    with pytest.raises(PerisphereError, match=r"of another shape.*fit resnet-32-wfc"):
        import_keras(file, {"backbone": "resnet-32"})


def test_a_deeper_network_is_refused_unless_asked_for(tmp_path, images):
    keras = Keras()
    resnet_for_cifar(keras, images, 6, (16, 32, 64), 4)
    file = keras.save(tmp_path / "m.h5")
    with pytest.raises(
        PerisphereError, match=r"0 layers of resnet-32 are missing and 12 are left over, e\.g\. '"
    ):
        import_keras(file, {"backbone": "resnet-32"})
    _, report = import_keras(file, {"backbone": "resnet-32"}, partial=True)
    assert "res1-6x" in report.unexpected


def test_a_projection_that_contradicts_the_file_is_refused(plain_file):
    with pytest.raises(
        UsageError, match=r"--projection: .*m\.h5 has an embedding of 5 numbers\. Leave it out\."
    ):
        import_keras(plain_file, {"backbone": "plain11", "projection": 6})


def edited(file, edit):
    with h5py.File(file, "r+") as open_file:
        edit(open_file["model_weights"])
    return file


def replaced(root, name, **made):
    del root[name]
    root.create_dataset(name, **made)


def many_layers(root):
    del root.attrs["layer_names"]
    for part in range(5):
        root.attrs[f"layer_names{part}"] = np.full(5000, b"x")


KERNEL = "conv1/conv1/kernel:0"
VARIANCE = "bn1/bn1/moving_variance:0"
ZEROS = np.zeros((3, 3, 3, 64), "f4")
TWICE = [b"conv1/kernel:0", b"conv1/kernel:0"]


@pytest.mark.parametrize(("edit", "message"), [
    (lambda root: replaced(root, KERNEL, data=np.zeros((3, 3, 3), "f4")), "has no 'kernel' of 4 dim"),
    (lambda root: replaced(root, KERNEL, data=np.zeros((3, 3, 3, 64), "i4")), "no array of floating-point"),
    (lambda root: replaced(root, KERNEL, data=ZEROS, compression="gzip"), "compressed"),
    (lambda root: replaced(root, KERNEL, shape=(10**5, 10**5, 3, 64), dtype="f4"), "compressed or not there"),
    (lambda root: replaced(root, VARIANCE, data=np.full(64, -1, "f4")), "variances below zero"),
    (lambda root: replaced(root, KERNEL, data=np.full((3, 3, 3, 64), np.nan, "f4")), "has NaN"),
    (lambda root: root.__delitem__(KERNEL), "is named and not there"),
    (lambda root: root.__delitem__("conv1"), "is named and not there"),
    (lambda root: root.attrs.__delitem__("layer_names"), "no 'layer_names'"),
    (lambda root: root["conv1"].attrs.__delitem__("weight_names"), "no 'weight_names'"),
    (lambda root: root["conv1"].attrs.__setitem__("weight_names", TWICE), "two"),
    (lambda root: root.attrs.__setitem__("layer_names", [b"\xff\xfe"]), "damaged"),
    (lambda root: many_layers(root), "over 20000"),
    (lambda root: root.file.attrs.__setitem__("model_config", b"{nonsense"), "damaged"),
    (lambda root: root.file.attrs.__setitem__("model_config", b"[[[" * 10**5), "damaged"),
    (lambda root: root.file.attrs.__setitem__("model_config", 3), "damaged"),
])  # fmt: skip
def test_broken_files_are_one_line(plain_file, edit, message):
    edited(plain_file, edit)
    with pytest.raises(PerisphereError, match=message) as caught:
        import_keras(plain_file, {"backbone": "plain11"})
    assert str(caught.value).startswith(f"{plain_file}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("link", [h5py.ExternalLink("other.h5", "/k"), h5py.SoftLink("/model_weights/bn1")])
def test_links_are_not_followed(plain_file, link):
    with h5py.File(plain_file.parent / "other.h5", "w") as other:
        other["k"] = np.zeros((3, 3, 3, 64), "f4")

    def redirect(root):
        del root[KERNEL]
        root[KERNEL] = link

    edited(plain_file, redirect)
    with pytest.raises(PerisphereError, match="is a link"):
        read_keras(plain_file)


def test_arrays_in_other_files_are_not_read(plain_file, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(3 * 3 * 3 * 64 * 4))
    shape = (3, 3, 3, 64)
    edited(plain_file, lambda root: replaced(
        root, KERNEL, shape=shape, dtype="f4", external=[(str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)]
    ))  # fmt: skip
    with pytest.raises(PerisphereError, match="lies in another file"):
        read_keras(plain_file)


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.97])
def test_truncated_files_are_one_line(plain_file, kept):
    content = plain_file.read_bytes()
    plain_file.write_bytes(content[: int(len(content) * kept)])
    assert is_hdf5(plain_file)
    with pytest.raises(PerisphereError, match=r"m\.h5: .*Get it again"):
        read_keras(plain_file)


def test_code_of_a_lambda_layer_is_not_run(tmp_path, images):
    keras = Keras()
    plain11(keras, images)
    keras.names.append("l2norm")
    keras.settings["l2norm"] = {
        "function": ["__import__('pathlib').Path('run').write_text('it ran')", None, None],
        "function_type": "lambda",
    }
    file = keras.save(tmp_path / "m.h5")
    import_keras(file, {"backbone": "plain11"})
    assert [path.name for path in tmp_path.iterdir()] == ["m.h5"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF", None])
def test_what_is_no_hdf5_is_told_apart(tmp_path, content):
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    assert not is_hdf5(tmp_path / "f")


def test_without_h5py_the_extra_is_named(plain_file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(PerisphereError, match=r"needs h5py\. Install it: pip install 'perisphere\[keras\]'"):
        read_keras(plain_file)


def test_the_command_makes_an_encoder_with_the_input_of_its_data_set(tmp_path, images):
    keras = Keras()
    expected = keras.with_head(plain11(keras, images, 6))
    file = keras.save(tmp_path / "m.h5")
    words = ["weights", "import", str(file), "--as", "plain11", "-o", str(tmp_path / "e")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.exception
    assert "2 of the classification layer (left out): batch_normalization_1, prob" in result.stdout
    encoder = Encoder.load(tmp_path / "e")
    assert encoder.preprocessing == Preprocessing.published("cifar-100")
    agrees(encoder.net, images, expected)


def test_the_command_gives_the_encoder_its_class_points(plain_file, tmp_path):
    rows = np.eye(5)
    points = ClassPoints(rows, tuple(f"c{row}" for row in range(len(rows))), None, "onehot")
    points.save(tmp_path / "c.npz")
    words = ["weights", "import", str(plain_file), "--as", "plain11", "-o", str(tmp_path / "e")]
    result = CliRunner().invoke(app, [*words, "--classes", str(tmp_path / "c.npz")])
    assert result.exit_code == 0, result.exception
    assert Encoder.load(tmp_path / "e").classes.classes == points.classes
    ClassPoints(rows[:, 1:] + 1, points.classes, None, "").save(tmp_path / "d.npz")
    result = CliRunner().invoke(app, [*words, "--overwrite", "--classes", str(tmp_path / "d.npz")])
    assert isinstance(result.exception, UsageError)
    assert re.search(r"--classes: the points have \d+ numbers, and embeddings", str(result.exception))
    assert Encoder.load(tmp_path / "e").classes.classes == points.classes


@pytest.mark.parametrize(("words", "error", "message"), [
    ((), UsageError, "--as: .* is a Keras file; name its network"),
    (("--as", "plain11", "--whitening", "a/ss"), UsageError, "--whitening: .* Leave it out"),
    (("--as", "plain12"), UsageError, "--as: there is no backbone 'plain12'. Did you mean 'plain11'"),
    (("--as", "resnet-110"), PerisphereError, "Its layers fit plain11"),
])  # fmt: skip
def test_the_command_names_the_option_and_the_mend_and_writes_nothing(
    plain_file, tmp_path, words, error, message
):
    result = CliRunner().invoke(
        app, ["weights", "import", str(plain_file), "-o", str(tmp_path / "e"), *words]
    )
    assert isinstance(result.exception, error)
    assert re.search(message, str(result.exception))
    assert not (tmp_path / "e").exists()


def test_training_starts_from_a_keras_file_whatever_its_embedding(plain_file):
    notes = []
    net = {"backbone": "plain11", "projection": 8}
    recipe = Recipe.model_validate(RECIPE | {"net": net, "weights": str(plain_file)})
    started = starting_net(recipe, notes.append)
    with h5py.File(plain_file) as file:
        kernel = file["model_weights/conv4/conv4/kernel:0"][()]
    assert np.array_equal(
        started.backbone.layer2[0].conv.weight.detach().numpy(), kernel.transpose(3, 2, 0, 1)
    )
    assert started.dim == 8
    assert "2 of another shape" in notes[0]

"""AlexNet against a plain re-expression in NumPy, in the layout of the published program (n, h, w, c)."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch.nn import functional

from perisphere.errors import PerisphereError
from perisphere.nets import NetSpec, build
from perisphere.nets.alexnet import normalised

GROUPS = {"conv2": 2, "conv4": 2, "conv5": 2}


@pytest.fixture(scope="module")
def net():
    return build(NetSpec(backbone="alexnet", projection=7, activation="tanh"), seed=0).eval()


@pytest.fixture(scope="module")
def images():
    return 100 * torch.randn(2, 3, 227, 227, generator=torch.Generator().manual_seed(1))


def convolved(x, kernel, bias, stride, padding, groups):
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    size = kernel.shape[0]
    outputs = []
    inner, outer = x.shape[3] // groups, kernel.shape[3] // groups
    for group in range(groups):
        part = x[..., group * inner : (group + 1) * inner]
        windows = sliding_window_view(part, (size, size), axis=(1, 2))[:, ::stride, ::stride]
        weights = kernel[..., group * outer : (group + 1) * outer]
        outputs.append(np.tensordot(windows, weights, axes=([4, 5, 3], [0, 1, 2])))
    return np.concatenate(outputs, axis=3) + bias


def pooled(x):
    return sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(4, 5))


def local_response(x):
    out = np.empty_like(x)
    for channel in range(x.shape[3]):
        near = x[..., max(channel - 2, 0) : channel + 3]
        out[..., channel] = x[..., channel] / (1 + 2e-5 * (near**2).sum(axis=3)) ** 0.75
    return out


def reference(layers, images):
    x = np.maximum(convolved(images, *layers["conv1"], 4, 0, 1), 0)
    x = local_response(pooled(x))
    x = local_response(pooled(np.maximum(convolved(x, *layers["conv2"], 1, 2, 2), 0)))
    for name in ("conv3", "conv4", "conv5"):
        x = np.maximum(convolved(x, *layers[name], 1, 1, GROUPS.get(name, 1)), 0)
    x = pooled(x).reshape(len(images), -1)
    for name in ("fc6", "fc7"):
        x = np.maximum(x @ layers[name][0] + layers[name][1], 0)
    return np.tanh(x @ layers["fc8"][0] + layers["fc8"][1])


def published_layers(net):
    state = {name: tensor.double().numpy() for name, tensor in net.state_dict().items()}
    layers = {}
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        weight = state[f"backbone.{name}.weight"].transpose(2, 3, 1, 0)
        layers[name] = [weight, state[f"backbone.{name}.bias"]]
    fc6 = state["backbone.fc6.weight"].reshape(4096, 256, 6, 6).transpose(2, 3, 1, 0).reshape(-1, 4096)
    layers["fc6"] = [fc6, state["backbone.fc6.bias"]]
    layers["fc7"] = [state["backbone.fc7.weight"].T, state["backbone.fc7.bias"]]
    layers["fc8"] = [state["projection.weight"].T, state["projection.bias"]]
    return layers


def test_it_computes_what_the_published_program_does(net, images):
    expected = reference(published_layers(net), images.double().permute(0, 2, 3, 1).numpy())
    with torch.no_grad():
        found = net(images).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_normalisation_is_that_of_torch_with_its_own_alpha():
    x = 50 * torch.rand(2, 7, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(normalised(x), functional.local_response_norm(x, 5, 1e-4, 0.75, 1.0))


def test_dense_layers_drop_half_in_training_alone(net, images):
    backbone = net.backbone
    with torch.no_grad():
        before = backbone.run(images[:1], 0, 5)
        assert torch.equal(backbone.run(before, 5), backbone.run(before, 5))
        backbone.train()
        try:
            torch.manual_seed(0)
            dropped = [backbone.run(before, 5, 6)[0, :, 0, 0] for _ in range(2)]
        finally:
            backbone.eval()
        whole = backbone.run(before, 5, 6)[0, :, 0, 0]
    for one in dropped:
        kept = one > 0
        torch.testing.assert_close(one[kept], 2 * whole[kept])
        assert 0.4 < (kept & (whole > 0)).sum() / (whole > 0).sum() < 0.6
    assert not torch.equal(*dropped)


def test_another_size_is_refused_by_name(net):
    with pytest.raises(PerisphereError, match=r"map of 6 x 6 and got 7 x 7: give images of 227 x 227"):
        net(torch.zeros(1, 3, 259, 259))


def test_the_last_layer_is_drawn_as_published():
    net = build(NetSpec(backbone="small32", projection=300, projection_std=0.01, activation="tanh"), seed=0)
    weight = net.projection.weight
    assert weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not net.projection.bias.any()
    assert not net.nonnegative
    with torch.no_grad():
        plain = net.projection(net.pooled(images := torch.rand(2, 3, 32, 32)))
        torch.testing.assert_close(net(images), plain.tanh())


@pytest.mark.parametrize("field", [{"activation": "tanh"}, {"projection_std": 0.01}])
def test_what_belongs_to_a_projection_needs_one(field):
    with pytest.raises(ValueError, match=f"{next(iter(field))} is of a projection"):
        NetSpec(backbone="small32", **field)


def test_older_networks_keep_their_description():
    assert NetSpec(backbone="small32").model_dump(exclude_defaults=True) == {"backbone": "small32"}

"""The published networks for 32-pixel images, and NASNet-A."""

import pytest
import torch
from torch import nn

from perisphere.nets import NetSpec, build, describe
from perisphere.nets.registry import ARCHITECTURES

# Parameters with the classifier. To the last one: Zagoruyko's WRN-28-10 and the PyramidNets as counted by the
# model zoo imgclsmob (its tests assert them), NASNet-A large as published with Keras (88,949,818 less the
# statistics of normalisations, of which there are 196,668).
COUNTED = {
    "wrn-28-10": (640, 10, 36_479_194),
    "pyramidnet-272-200": (864, 10, 26_210_842),
    "pyramidnet-110-270": (286, 10, 28_485_477),
    "nasnet-a": (4032, 1000, 88_949_818 - 196_668),
}
# Millions as the papers' tables round them: He et al. CVPR 2016, table 6; Huang et al. CVPR 2017, table 2;
# Han et al. CVPR 2017, table 4; Zagoruyko and Komodakis 2016, table 5; Zoph et al. CVPR 2018, table 2.
IN_PAPERS = {
    "resnet-32": (64, 10, 0.46, 0.01),
    "resnet-110": (64, 10, 1.7, 0.05),
    "densenet-100-12": (1168, 10, 7.0, 0.05),
    "densenet-100-24": (2320, 10, 27.2, 0.05),
    "densenet-bc-190-40": (2190, 10, 25.6, 0.05),
    "wrn-28-10": (640, 10, 36.5, 0.05),
    "pyramidnet-110-270": (286, 10, 28.5, 0.2),
    "pyramidnet-272-200": (864, 10, 26.0, 0.25),
    "nasnet-a": (4032, 1000, 88.9, 0.2),
}


@pytest.fixture(scope="module")
def rows():
    return {row.name: row for row in describe()}


@pytest.mark.parametrize("name", COUNTED)
def test_parameters_are_as_many_as_counted_elsewhere(rows, name):
    dim, classes, count = COUNTED[name]
    assert rows[name].dim == dim
    assert rows[name].parameters + classes * (dim + 1) == count


@pytest.mark.parametrize("name", IN_PAPERS)
def test_parameters_are_as_many_as_in_the_papers(rows, name):
    dim, classes, millions, rounding = IN_PAPERS[name]
    assert rows[name].dim == dim
    assert rows[name].parameters + classes * (dim + 1) == pytest.approx(millions * 1e6, abs=rounding * 1e6)


@pytest.mark.parametrize(("name", "layers"), [
    ("plain11", 11), ("resnet-32", 32), ("resnet-110", 110), ("resnet-110-wfc", 110),
    ("wrn-28-10", 28), ("pyramidnet-272-200", 272), ("pyramidnet-110-270", 110),
    ("densenet-100-12", 100), ("densenet-100-24", 100), ("densenet-bc-190-40", 190),
])  # fmt: skip
def test_as_many_layers_as_the_name_says(name, layers):
    """Convolutions and dense layers; WRN's authors count the shortcuts and not the classifier."""
    with torch.device("meta"):
        net = build(NetSpec(backbone=name, projection=10))
    weighted = [path for path, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    shortcuts = sum("shortcut" in path for path in weighted)
    assert len(weighted) == layers + (1 if name.startswith("wrn") else 0)
    assert shortcuts == (3 if name.startswith("wrn") else 0)


def test_wide_has_twice_the_channels_of_every_stage():
    with torch.device("meta"):
        narrow, wide = (build(NetSpec(backbone=name)) for name in ("resnet-110", "resnet-110-wfc"))
    for name, value in narrow.state_dict().items():
        assert wide.state_dict()[name].shape[:1] == torch.Size([2 * n for n in value.shape[:1]])


@pytest.mark.parametrize("name", ["resnet-32", "resnet-110"])
def test_fc_is_the_projection(name):
    plain, named = (
        build(NetSpec(backbone=name, projection=7), 0),
        build(NetSpec(backbone=f"{name}-fc", projection=7), 0),
    )
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(plain.eval()(images), named.eval()(images))


@pytest.mark.parametrize("name", ["resnet-32", "densenet-100-12", "plain11"])
def test_selu_has_the_same_weights_and_other_values(name):
    relu, selu = (build(NetSpec(backbone=n), seed=0).eval() for n in (name, f"{name}-selu"))
    assert all(torch.equal(a, b) for a, b in zip(relu.parameters(), selu.parameters(), strict=True))
    assert not any(isinstance(m, nn.ReLU) for m in selu.modules())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(relu(images), selu(images))
        assert not selu.nonnegative
        assert (selu.backbone(images) < 0).any()


@pytest.mark.parametrize(
    "name", sorted({n.removesuffix("-selu") for n in ARCHITECTURES if n.endswith("-selu")})
)
def test_every_new_network_has_a_selu_twin(name):
    with torch.device("meta"):
        relu, selu = (build(NetSpec(backbone=n)).state_dict() for n in (name, f"{name}-selu"))
    assert {n: v.shape for n, v in relu.items()} == {n: v.shape for n, v in selu.items()}


@pytest.mark.parametrize(
    "name", ["resnet-32", "resnet-110-wfc", "wrn-28-10", "pyramidnet-272-200", "densenet-100-12"]
)
def test_the_map_has_a_quarter_of_the_sides(name):
    net = build(NetSpec(backbone=name), seed=0).eval()
    with torch.no_grad():
        assert net.backbone(torch.rand(1, 3, 32, 32)).shape == (1, net.dim, 8, 8)
        assert net.nonnegative
        assert (net(torch.rand(1, 3, 32, 32)) >= 0).all()


@pytest.mark.parametrize(("side", "map_side"), [(64, 2), (131, 5)])
def test_nasnet_takes_any_size(side, map_side):
    net = build(NetSpec(backbone="nasnet-a"), seed=0).eval()
    with torch.no_grad():
        assert net.backbone(torch.rand(1, 3, side, side)).shape == (1, 4032, map_side, map_side)


@pytest.mark.parametrize("name", ["resnet-32", "densenet-100-12", "plain11-selu"])
def test_every_weight_gets_a_gradient(name):
    net = build(NetSpec(backbone=name, projection=5), seed=0)
    net(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())

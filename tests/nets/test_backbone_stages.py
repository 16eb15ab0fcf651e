import pytest
import torch

from perisphere.nets import NetSpec, architectures, build
from perisphere.nets.registry import ARCHITECTURES


def sample(name):
    side = 64 if ARCHITECTURES[name].input.size[0] > 100 else 32
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet-32", "squeezenet1_0", "cifar_resnet20", "small32", "plain11"]
)
def test_running_in_two_parts_gives_the_same_map(name):
    backbone = build(NetSpec(backbone=name), seed=0).eval().backbone
    images = sample(name)
    with torch.no_grad():
        whole = backbone(images)
        for cut in range(len(backbone.stages()) + 1):
            torch.testing.assert_close(backbone.run(backbone.run(images, 0, cut), cut), whole)


@pytest.mark.parametrize("name", ["small32", "plain11"])
def test_a_network_goes_on_from_what_its_leading_parts_gave(name):
    net = build(NetSpec(backbone=name, projection=5, unit_pooled=True), seed=0).eval()
    images = sample(name)
    with torch.no_grad():
        whole = net(images)
        for parts in range(len(net.backbone.stages()) + 2):
            given = net.leading(images, parts)
            net.start = parts
            torch.testing.assert_close(net(given), whole)
            net.start = 0
    assert given.ndim == 2


def test_only_networks_of_one_path_split():
    with torch.device("meta"):
        whole = {name for name in architectures() if not build(NetSpec(backbone=name)).backbone.splits}
    assert whole == {name for name in architectures() if name.startswith(("pixels", "nasnet"))}

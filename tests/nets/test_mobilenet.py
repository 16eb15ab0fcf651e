import pytest
import torch

from perisphere.nets import NetSpec, build, fitting_architectures, load_into
from perisphere.nets.mobilenet import MobileNetV2


def test_it_has_the_names_and_sizes_of_the_published_weights():
    net = MobileNetV2()
    assert sum(tensor.numel() for tensor in net.parameters()) == 3_504_872 - 1281 * 1000
    shapes = {name: list(tensor.shape) for name, tensor in net.state_dict().items()}
    assert shapes["features.0.0.weight"] == [32, 3, 3, 3]
    assert shapes["features.1.conv.0.0.weight"] == [32, 1, 3, 3]
    assert shapes["features.1.conv.1.weight"] == [16, 32, 1, 1]
    assert shapes["features.4.conv.0.0.weight"] == [144, 24, 1, 1]
    assert shapes["features.17.conv.2.weight"] == [320, 960, 1, 1]
    assert shapes["features.18.1.running_var"] == [1280]
    assert len([name for name in shapes if "tracked" not in name]) == 312 - 52  # with the batch counters, 312


def test_its_stages_hold_each_parameter_once_and_make_the_map():
    net = MobileNetV2().eval()
    stages = net.stages()
    assert [name for name, _ in stages] == ["stem", *(f"stage{k}" for k in range(1, 8)), "last"]
    held = [id(tensor) for _, stage in stages for tensor in stage.parameters()]
    assert sorted(held) == sorted(id(tensor) for tensor in net.parameters())
    images = torch.rand(1, 3, 96, 64)
    with torch.inference_mode():
        assert torch.equal(net(images), net.features(images))
        assert net(images).shape == (1, 1280, 3, 2)


@pytest.mark.parametrize("stride", [8, 16])
def test_without_strides_it_looks_where_it_would_have(stride):
    torch.manual_seed(0)
    plain, dense = MobileNetV2().double().eval(), MobileNetV2(stride, dilated=True).double().eval()
    dense.load_state_dict(plain.state_dict())
    images, step = torch.rand(1, 3, 96, 128, dtype=torch.float64), 32 // stride
    with torch.inference_mode():
        coarse, fine = plain(images), dense(images)
    assert fine.shape[2:] == (96 // stride, 128 // stride)
    # Fresh weights leave little of a picture, so the tolerance is of what is left.
    assert (fine[..., ::step, ::step] - coarse).abs().max() < 1e-9 * coarse.max()


def test_published_weights_are_known_and_their_classifier_is_left_out():
    tensors = build(NetSpec(backbone="mobilenet_v2"), seed=1).backbone.state_dict()
    tensors |= {"classifier.1.weight": torch.rand(1000, 1280), "classifier.1.bias": torch.rand(1000)}
    assert fitting_architectures(tensors) == ["mobilenet_v2"]
    net = build(NetSpec(backbone="mobilenet_v2"), seed=2)
    report = load_into(net, tensors)
    assert report.missing == report.unexpected == report.surplus == []
    assert report.classifier == ["classifier.1.weight", "classifier.1.bias"]
    assert torch.equal(net.backbone.features[3].conv[2].weight, tensors["features.3.conv.2.weight"])

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from perisphere.errors import PerisphereError
from perisphere.nets import (
    CosineClassifier,
    LinearClassifier,
    NetSpec,
    architectures,
    build,
    describe,
    input_spec,
)
from perisphere.nets.pooling import gem
from perisphere.nets.registry import ARCHITECTURES

# Published counts, classifier included: He et al.'s ImageNet models as commonly counted, the paper's own for
# CIFAR-10 (0.27 and 0.85 million), and IBN-a's, which are ResNet-50's.
PUBLISHED = {
    "resnet18": (512, 1000, 11_689_512),
    "resnet34": (512, 1000, 21_797_672),
    "resnet50": (2048, 1000, 25_557_032),
    "resnet101": (2048, 1000, 44_549_160),
    "resnet152": (2048, 1000, 60_192_808),
    "resnet200": (2048, 1000, 64_673_832),
    "resnet50_ibn_a": (2048, 1000, 25_557_032),
    "resnet101_ibn_a": (2048, 1000, 44_549_160),
    "squeezenet1_0": (512, 1000, 1_248_424),
    "mobilenet_v2": (1280, 1000, 3_504_872),
    "alexnet": (4096, 1000, 60_965_224),
    "cifar_resnet20": (64, 10, 269_722),
    "cifar_resnet56": (64, 10, 853_018),
}
SMALL = ("small", "small32", "cifar_resnet20", "resnet18", "squeezenet1_0")


def test_parameter_counts_are_the_published_ones():
    rows = {row.name: row for row in describe()}
    assert list(rows) == architectures()
    for name, (dim, classes, count) in PUBLISHED.items():
        assert rows[name].dim == dim
        assert rows[name].parameters + classes * (dim + 1) == count, name
    assert all(rows[name].parameters < 1_200_000 for name in ("small", "small32"))
    assert rows["pixels"].parameters == 0


@pytest.mark.parametrize("name", architectures())
def test_every_parameter_is_in_exactly_one_stage(name):
    options = {} if name == "pixels" else {"bnneck": True, "projection": 8, "local_projection": True}
    if not ARCHITECTURES[name].flat:
        options |= {"pooling": "gem", "gem_learned": True, "regional": True, "region_projection": True}
    with torch.device("meta"):
        net = build(NetSpec(backbone=name, **options))
    staged = [id(p) for _, stage in net.stages for p in stage.parameters()]
    assert sorted(staged) == sorted(id(p) for p in net.parameters())


@pytest.mark.parametrize("name", [*SMALL, "pixels", "resnet50_ibn_a"])
def test_forward_gives_one_float32_row_an_image(name):
    net = build(NetSpec(backbone=name), seed=0).eval()
    height, width = input_spec(name).size
    with torch.no_grad():
        vectors = net(torch.rand(2, 3, height, width))
    assert vectors.shape == (2, net.dim)
    assert vectors.dtype == torch.float32
    assert torch.isfinite(vectors).all()
    assert not torch.allclose(vectors[0], vectors[1])


@pytest.mark.parametrize("side", [32, 33, 64, 100])
def test_small_net_takes_any_size(side):
    net = build(NetSpec(backbone="small32"), seed=0).eval()
    assert net(torch.rand(1, 3, side, side)).shape == (1, 192)


def test_resnet_parameter_names_are_those_of_the_common_checkpoints():
    names = set(build(NetSpec(backbone="resnet50"), seed=0).backbone.state_dict())
    assert {
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.conv3.weight",
        "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.running_mean",
        "layer4.2.bn3.bias",
    } <= names
    assert len(names) == 318


def test_ibn_a_normalises_half_of_the_channels_per_image_in_three_stages():
    with torch.device("meta"):
        state = build(NetSpec(backbone="resnet50_ibn_a")).backbone.state_dict()
    assert state["layer1.0.bn1.IN.weight"].shape == (32,)
    assert state["layer3.5.bn1.BN.running_mean"].shape == (128,)
    assert "layer4.0.bn1.weight" in state
    assert not any("IN" in name for name in state if name.startswith("layer4"))


def test_ibn_removes_the_contrast_of_its_first_half_only():
    from perisphere.nets.resnet import IBN

    layer = IBN(8).eval()
    x = torch.randn(1, 8, 6, 6)
    once, twice = layer(x), layer(2 * x)
    assert torch.allclose(once[:, :4], twice[:, :4], atol=1e-4)
    assert torch.allclose(2 * once[:, 4:], twice[:, 4:], atol=1e-4)


@pytest.mark.parametrize(("stride", "side"), [(2, 2), (1, 4)])
def test_last_stride_doubles_the_map(stride, side):
    net = build(NetSpec(backbone="resnet18", last_stride=stride), seed=0).eval()
    with torch.no_grad():
        assert net.backbone(torch.rand(1, 3, 64, 64)).shape == (1, 512, side, side)


def test_resnet152_has_the_tensors_that_freezing_by_number_counts():
    with torch.device("meta"):
        parameters = list(build(NetSpec(backbone="resnet152")).backbone.parameters())
    assert len(parameters) == 465
    assert sum(p.numel() for p in parameters[300:]) == 31_722_496
    assert sum(p.numel() for p in parameters[360:]) == 24_166_400


def test_a_seed_makes_the_weights_and_leaves_the_random_state():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = build(NetSpec(backbone="small32", projection=16), seed=3).state_dict()
    assert torch.equal(torch.rand(3), expected)
    again = build(NetSpec(backbone="small32", projection=16), seed=3).state_dict()
    other = build(NetSpec(backbone="small32", projection=16), seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["backbone.stem.0.weight"], other["backbone.stem.0.weight"])


def test_bnneck_trains_its_scale_and_never_its_shift():
    net = build(NetSpec(backbone="small32", bnneck=True), seed=0)
    net(torch.rand(8, 3, 32, 32)).square().sum().backward()
    assert net.bnneck is not None
    assert net.bnneck.weight.grad is not None
    assert net.bnneck.bias.grad is None
    assert not net.bnneck.bias.any()
    vectors = net(torch.rand(8, 3, 32, 32))
    assert torch.allclose(vectors.mean(0), torch.zeros(192), atol=1e-5)


def test_projection_sets_the_dimension():
    net = build(NetSpec(backbone="small32", projection=16), seed=0).eval()
    assert net.dim == 16
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 16)


def test_pixels_are_the_pixels():
    net = build(NetSpec(backbone="pixels", input_size=5))
    images = torch.rand(2, 3, 5, 5)
    assert torch.equal(net(images), images.reshape(2, 75))
    with pytest.raises(PerisphereError, match=r"5 x 5 images and got 6 x 6.*input_size"):
        net(torch.rand(1, 3, 6, 6))


@pytest.mark.parametrize("classifier", [LinearClassifier(16, 3), CosineClassifier(16, 3)])
def test_classifiers_learn_three_separable_classes(classifier):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    vectors = torch.randn(60, 16, generator=generator) * 0.3 + 2 * torch.eye(3, 16)[labels]
    optimizer = torch.optim.SGD(classifier.parameters(), 0.1)
    for _ in range(50):
        optimizer.zero_grad()
        nn.functional.cross_entropy(classifier(vectors), labels).backward()
        optimizer.step()
    assert (classifier(vectors).argmax(1) == labels).all()


def test_cosine_logits_are_bounded_by_the_scale_and_ignore_length():
    classifier = CosineClassifier(16, 3, scale=8.0)
    vectors = torch.randn(5, 16)
    assert classifier(vectors).abs().max() <= 8.0 + 1e-5
    assert torch.allclose(classifier(vectors), classifier(10 * vectors), atol=1e-5)
    assert not [name for name, _ in classifier.named_parameters() if name == "scale"]
    assert [name for name, _ in CosineClassifier(16, 3, learned=True).named_parameters() if name == "scale"]


@pytest.mark.parametrize(
    ("options", "place", "message"),
    [
        ({"backbone": "resnet51"}, "backbone", "Did you mean 'resnet50'"),
        ({"backbone": "small", "last_stride": 1}, "", "last_stride is for ResNets"),
        ({"backbone": "resnet18", "last_stride": 3}, "last_stride", "1 or 2"),
        ({"backbone": "small", "input_size": 32}, "", "input_size is for the backbone pixels"),
        ({"backbone": "pixels", "input_size": 0}, "input_size", "greater than or equal to 1"),
        ({"backbone": "small", "pooling": "mean"}, "pooling", "'gemmp' or 'rmac'"),
        ({"backbone": "small", "gem_p": 0.0}, "gem_p", "greater than or equal to"),
        ({"backbone": "small", "gem_p": float("nan")}, "gem_p", "finite number"),
        ({"backbone": "small", "gem_learned": True}, "", "gem_learned needs pooling: gem"),
        (
            {"backbone": "small", "pooling": "gemmp", "gem_learned": True},
            "",
            "gem_learned needs pooling: gem",
        ),
        ({"backbone": "small", "pooling": "rmac", "regional": True}, "", "rmac is regional already"),
        ({"backbone": "small", "region_projection": True}, "", "needs regional: true"),
        ({"backbone": "small", "projection": 0}, "projection", "greater than or equal to 1"),
        ({"backbone": "small", "neck": True}, "neck", "Extra inputs"),
    ],
)
def test_an_invalid_value_is_named_with_its_place_and_mend(options, place, message):
    with pytest.raises(ValidationError, match=message) as caught:
        NetSpec.model_validate(options)
    assert "".join(str(part) for part in caught.value.errors()[0]["loc"]) == place


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"pooling": "gemmp", "regional": True}, True),
        ({"projection": 8}, False),
        ({"bnneck": True}, False),
        ({"local_projection": True}, False),
        ({"regional": True, "region_projection": True}, False),
    ],
)
def test_a_net_knows_whether_its_numbers_have_a_sign(options, expected):
    net = build(NetSpec(backbone="small32", **options), seed=0).eval()
    if net.bnneck is not None:
        net.bnneck.running_mean.fill_(0.1)
    with torch.no_grad():
        vectors = net(torch.randn(8, 3, 48, 32))
    assert net.nonnegative is expected
    assert bool((vectors >= 0).all()) is expected


def test_local_and_region_projections_and_the_unit_vector_stand_in_their_places():
    spec = NetSpec(backbone="small32", pooling="gem", local_projection=True, unit_pooled=True, projection=5)
    net = build(spec, seed=0).eval()
    images = torch.rand(2, 3, 48, 32)
    with torch.no_grad():
        features = net.backbone(images)
        local = torch.einsum("nchw,dc->ndhw", features, net.local_projection.weight)
        pooled = gem(local + net.local_projection.bias[:, None, None], 3.0)
        expected = net.projection(pooled / (pooled.norm(dim=1, keepdim=True) + 1e-6))
        torch.testing.assert_close(net(images), expected)

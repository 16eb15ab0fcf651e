import json
import math

import pytest
import torch
from filled import picture, published_tensors
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import functional as F

from perisphere.errors import UsageError
from perisphere.losses.mask_loss import mask_loss
from perisphere.losses.pseudo_masks import pseudo_masks
from perisphere.nets import SegmentationNet, SegmentationSpec, build_segmentation, load_into
from perisphere.nets.aspp import ASPP
from perisphere.nets.conv_block import DilatedConv, resized
from perisphere.nets.cue_injection import CueInjection, inject
from perisphere.nets.pamr import refine
from perisphere.nets.registry import ARCHITECTURES
from perisphere.nets.score_pooling import activation_masks, focal_penalty, weighted_pool
from perisphere.nets.segmentation import LAYERS, segmenting_backbones
from perisphere.nets.stochastic_gate import StochasticGate, mixed
from perisphere.tags.architecture import CONCEPTS

PUBLISHED = SegmentationSpec(backbone="resnet50", classes=CONCEPTS)
SMALL = SegmentationSpec(backbone="squeezenet1_0", classes=("a", "b", "c"), width=32, dilations=(1, 2, 3))


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden" / "wikiscenes.json").read_text())


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def close(ours, theirs, tolerance=1e-8):
    theirs = torch.as_tensor(theirs, dtype=ours.dtype)
    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs, rtol=tolerance, atol=tolerance), (ours - theirs).abs().max()


# --- the published network ---


@pytest.fixture(scope="module")
def published(golden):
    case = golden["network"][0]
    tensors, filled = published_tensors(golden["state_dict"], case["inputs"]["offset"])
    assert filled == case["outputs"]["tensors_filled"]
    net = SegmentationNet(PUBLISHED).double().eval()
    report = load_into(net, tensors)
    assert report.missing == report.unexpected == report.shape_differs == []
    image = picture(*case["inputs"]["image_hw"], 0)
    close(image.flatten()[:4], case["inputs"]["first_pixels"], 1e-7)
    return net, image[None], case["outputs"]


def test_every_tensor_of_the_published_file_has_a_place(golden):
    with torch.device("meta"):
        net = SegmentationNet(PUBLISHED)
    ours = sorted(tuple(tensor.shape) for tensor in net.state_dict().values())
    theirs = sorted(tuple(shape) for name, shape in golden["state_dict"] if not name.startswith("_aff."))
    assert ours == theirs
    assert sum(tensor.numel() for tensor in net.parameters()) == 41_203_370
    groups = {}  # the published optimiser's: backbone or new, biases apart
    for name, tensor in net.named_parameters():
        groups.setdefault((name.startswith("backbone."), name.endswith("bias")), []).append(tensor.numel())
    assert {group: (len(sizes), sum(sizes)) for group, sizes in groups.items()} == {
        (True, False): (106, 23_481_472),
        (True, True): (53, 26_560),
        (False, False): (26, 17_692_208),
        (False, True): (13, 3_130),
    }


def test_each_stage_of_the_published_network(published):
    net, image, expected = published
    seen = {}
    parts = {"layer1", "layer2", "layer3", "layer4"}
    modules = {name: net.backbone.get_submodule(name) for name in parts}
    modules |= {"aspp": net.aspp, "skip": net.skip, "merged": net.merge, "gci": net.cues, "gate": net.gate}
    modules |= {"decoder": net.decoder, "scores": net.scores}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, out))
        for name, module in modules.items()
    ]
    with torch.inference_mode():
        net.run(image)
    for hook in hooks:
        hook.remove()
    assert seen.keys() == expected["stages"].keys()
    for name, stage in expected["stages"].items():
        out = seen[name]
        assert list(out.shape) == stage["shape"], name
        close(out.mean(), stage["mean"], 1e-6)
        close(out.std(), stage["std"], 1e-6)
        close(out.flatten()[:3], stage["first"], 1e-6)


def test_the_published_network_scores_and_masks(published):
    net, image, expected = published
    with torch.inference_mode():
        found = net.run(image)
        masks = net.masks_at(found, image.shape[2:])
    close(found.scores, expected["class_scores"], 1e-6)
    assert list(masks.shape) == expected["mask_shape"]
    close(masks.mean((2, 3)), expected["mask_mean_per_channel"], 1e-6)
    close(masks[:, :, ::16, ::16], expected["mask_every_16th_pixel"], 1e-6)


# --- the head, with refinement, pseudo masks and mask loss ---


def head_case(case):
    given, spec = case["inputs"], {key: case["inputs"][key] for key in ("focal_p", "focal_lambda")}
    maps = F.pad(double(given["scores"]), (0, 0, 0, 0, 1, 0), value=1.0)
    return given, case["outputs"], maps, spec


@pytest.mark.parametrize("number", [0, 1])
def test_the_head_pools_scores(golden, number):
    given, expected, maps, _ = head_case(golden["head"][number])
    masks = maps.softmax(1)
    share = masks.mean((2, 3))
    penalty = focal_penalty(share, given["focal_p"], given["focal_lambda"])
    close(penalty, expected["focal_penalty_all_channels_incl_background"])
    close(weighted_pool(maps, masks)[:, 1:], expected["pooled_scores"])
    close((weighted_pool(maps, masks) + penalty)[:, 1:], expected["class_scores"])
    labels = double(given["labels"])
    close((share[:, 1:] * labels).sum(1) / labels.sum(1), expected["foreground_fraction"])


@pytest.mark.parametrize("number", [0, 1])
def test_the_head_of_the_network_is_that_of_the_figures(golden, number):
    _, expected, maps, focal = head_case(golden["head"][number])
    classes = tuple(str(k) for k in range(maps.shape[1] - 1))
    net = SegmentationNet(SMALL.model_copy(update={"classes": classes, "width": 8, **focal})).double().eval()
    net.scores = torch.nn.Identity()  # the figures begin at the score maps
    scores, behind, masks = net._single_stage(maps[:, 1:])
    close(scores, expected["class_scores"])
    assert torch.equal(behind, maps)
    close(
        resized(masks, (len(expected["cam"][0][0]), len(expected["cam"][0][0][0]))),
        expected["test_mode_masks"],
    )


@pytest.mark.parametrize("number", [0, 1])
def test_the_head_learns_from_its_own_refined_masks(golden, number):
    given, expected, maps, _ = head_case(golden["head"][number])
    labels = torch.tensor(given["labels"])
    image = double(given["image_0_255"]) / 255
    size = image.shape[2:]
    there = F.pad(labels, (1, 0), value=1)[:, :, None, None].double()
    masks = maps.softmax(1)
    close(resized(masks, size) * there, expected["cam"])
    refined = refine(resized(image, maps.shape[2:]), masks, given["pamr_dilations"], given["pamr_iterations"])
    refined = resized(refined, size) * there
    close(refined, expected["refined"])
    pseudo = pseudo_masks(refined)
    assert torch.equal(pseudo.double(), double(expected["pseudo_mask"]))
    close(mask_loss(maps, pseudo, labels).double(), expected["mask_loss_per_image"])


def test_focal_penalty_of_the_figures(golden):
    for case in golden["focal_penalty"]:
        given = case["inputs"]
        ours = focal_penalty(double(given["mean_mask"]), given["p"], given["lambda"])
        close(ours, case["outputs"]["penalty"])


def test_stochastic_gate_of_the_figures(golden):
    for case in golden["stochastic_gate"]:
        given = case["inputs"]
        deep, shallow = double(given["deep"]), double(given["shallow"])
        close(mixed(deep, shallow, given["psi"]), case["outputs"]["eval"])
        close(mixed(deep, shallow, given["psi"], double(given["kept_mask"])), case["outputs"]["train"])


def test_cue_injection_of_the_figures(golden):
    for case in golden["global_cue_injection"]:
        given = case["inputs"]
        close(
            inject(double(given["shallow_normalised"]), double(given["attributes"])), case["outputs"]["mixed"]
        )


# --- its parts ---


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    dilation=st.integers(1, 12),
    side=st.sampled_from([1, 3]),
)
def test_taps_that_see_only_padding_can_be_left_out(height, width, dilation, side):
    conv = DilatedConv(3, 4, side, dilation).double()
    x = torch.rand(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    whole = F.conv2d(x, conv.weight, None, 1, side // 2 * dilation, dilation)
    ours = conv(x)
    assert torch.allclose(ours, whole, atol=1e-12)
    weights = torch.rand_like(ours)
    for gradient, known in zip(
        torch.autograd.grad((ours * weights).sum(), [x, conv.weight]),
        torch.autograd.grad((whole * weights).sum(), [x, conv.weight]),
        strict=True,
    ):
        assert torch.allclose(gradient, known, atol=1e-12)


def test_the_gate_is_the_deep_features_on_average():
    torch.manual_seed(0)
    deep, shallow = torch.rand(1, 1, 300, 300), torch.rand(1, 1, 300, 300)
    gate = StochasticGate(0.3).train()
    out = gate(deep, shallow)
    assert abs((out - deep).mean()) < 0.01
    assert abs((out == shallow).float().mean() - 0.3) < 0.01
    assert gate(deep[:, :, :5], shallow[:, :, :5]).shape == (1, 1, 5, 300)  # any other size, too


def test_a_gate_without_shallow_features_is_open():
    deep, shallow = torch.rand(1, 2, 3, 4), torch.rand(1, 2, 3, 4)
    assert torch.equal(StochasticGate(0.0).train()(deep, shallow), deep)
    assert torch.equal(StochasticGate(0.0).eval()(deep, shallow), deep)


def test_cues_without_a_say_leave_normalised_features():
    features = torch.rand(2, 3, 4, 5)
    assert torch.equal(inject(features, torch.zeros(2, 6)), features)
    injection = CueInjection(6, 8)
    assert injection(torch.rand(2, 6, 4, 5), torch.rand(2, 8, 4, 5)).shape == (2, 8, 4, 5)


def test_the_pyramid_sees_the_whole_map():
    pyramid = ASPP(4, 8, (1, 2)).eval()
    x = torch.zeros(1, 4, 9, 9)
    changed = x.clone()
    changed[..., 8, 8] = 50
    assert not torch.equal(pyramid(x)[..., 0, 0], pyramid(changed)[..., 0, 0])


def test_activation_masks_reach_one_where_a_class_is_seen():
    masks = activation_masks(torch.tensor([[[[0.5, 2.0]], [[-1.0, -3.0]]]]), 0.1)
    assert torch.allclose(masks, torch.tensor([[[[0.1, 0.1]], [[0.25, 1.0]], [[0.0, 0.0]]]]), atol=1e-5)


# --- the network ---


@pytest.mark.parametrize("backbone", ["squeezenet1_0", "resnet18", "mobilenet_v2"])
@pytest.mark.parametrize("side", [(1, 1), (7, 40), (33, 65)])
def test_any_size_gives_masks_of_that_size(backbone, side):
    spec = SMALL.model_copy(update={"backbone": backbone})
    net = build_segmentation(spec, seed=0).eval()
    with torch.inference_mode():
        masks = net.masks_at(net.run(torch.rand(1, 3, *side)), side)
    assert masks.shape == (1, 4, *side)
    assert torch.allclose(masks.sum(1), torch.ones(1, *side), atol=1e-5)


@pytest.mark.parametrize("head", ["single-stage", "cam", "classifier"])
@pytest.mark.parametrize("backbone", ["squeezenet1_0", "resnet18"])
def test_shapes(head, backbone):
    decoder = {"width": 16, "dilations": (1, 2)} if head == "single-stage" else {}
    spec = SegmentationSpec(backbone=backbone, head=head, classes=("a", "b"), **decoder)
    net = build_segmentation(spec, seed=0)
    images = torch.rand(2, 3, 64, 96)
    found = net.run(images)
    fine = (16, 24) if head == "single-stage" else (4, 6)
    assert found.scores.shape == (2, 2)
    assert found.maps.shape == found.masks.shape == (2, 3, *fine)
    assert found.features.shape == (2, net.dim, *fine)
    assert net(images).shape == (2, net.dim)
    assert net.masks_at(found, (64, 96)).shape == (2, 3, 64, 96)
    assert net.features(images, "shallow").shape[2:] == (16, 24)
    named = [id(p) for _, stage in net.stages for p in stage.parameters()]
    assert sorted(named) == sorted(id(p) for p in net.parameters())


@pytest.mark.parametrize(
    "backbone", ["resnet18", "resnet50_ibn_a", "resnet50_v1", "mobilenet_v2", "squeezenet1_0"]
)
@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("dilated", [False, True])
def test_output_strides(backbone, stride, dilated):
    widest = 16 if backbone == "squeezenet1_0" else 32
    if stride > widest or (dilated and stride == widest):
        with pytest.raises(ValidationError, match="output_stride"):
            SegmentationSpec(backbone=backbone, output_stride=stride, dilated=dilated)
        return
    with torch.device("meta"):
        net = SegmentationNet(SegmentationSpec(backbone=backbone, output_stride=stride, dilated=dilated))
        images = torch.empty(2, 3, 96, 64)
        assert net.features(images, "backbone").shape == (2, net.backbone.dim, 96 // stride, 64 // stride)


@pytest.mark.parametrize(
    ("backbone", "stride", "dense"),
    [("resnet18", 32, 8), ("resnet50", 32, 16), ("resnet50_v1", 32, 8), ("squeezenet1_0", 16, 8)],
)
def test_dilation_looks_where_the_strided_network_looks(backbone, stride, dense):
    fields = {"backbone": backbone, "width": 8}
    plain = build_segmentation(SegmentationSpec(**fields, output_stride=stride), seed=0).eval()
    fine = SegmentationNet(SegmentationSpec(**fields, output_stride=dense, dilated=True)).eval()
    fine.load_state_dict(plain.state_dict())
    images, step = torch.rand(1, 3, 96, 128), stride // dense
    with torch.inference_mode():
        coarse, features = plain.features(images, "backbone"), fine.features(images, "backbone")
    assert features.shape[2:] == (96 // dense, 128 // dense)
    assert torch.allclose(features[:, :, ::step, ::step], coarse, atol=1e-4)


def test_each_layer_is_the_same_alone_and_in_a_run():
    net = build_segmentation(SMALL, seed=1).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        for layer in LAYERS:
            assert torch.equal(net.features(images, layer), net.run(images, layer).features)
        for theirs, ours in (("conv3", "shallow"), ("fc8", "merged"), ("sg", "gate")):
            assert torch.equal(net.features(images, theirs), net.features(images, ours))


def test_a_layer_that_is_not_there():
    net = build_segmentation(SMALL, seed=0)
    with pytest.raises(UsageError, match=r"no layer 'decodr'.*decoder"):
        net.features(torch.rand(1, 3, 32, 32), "decodr")
    cam = build_segmentation(SegmentationSpec(backbone="squeezenet1_0", head="cam", classes=("a",)), seed=0)
    with pytest.raises(UsageError, match="the head cam has no layer 'gate'"):
        cam.run(torch.rand(1, 3, 32, 32), "gate")
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(cam.eval().features(images), cam.features(images, "backbone"))


def test_every_resnet_can_segment():
    able = segmenting_backbones()
    assert {name for name, known in ARCHITECTURES.items() if known.strided} < set(able)
    assert set(able) >= {"squeezenet1_0", "mobilenet_v2", "resnet152", "resnet101_ibn_a"}
    assert not {"alexnet", "pixels", "small"} & set(able)


def test_an_embedding_is_the_mean_direction():
    net = build_segmentation(SMALL, seed=2).eval()
    with torch.inference_mode():
        images = torch.rand(2, 3, 64, 64)
        features = net.features(images)
        rows = net(images)
    expected = (features / features.norm(dim=1, keepdim=True).clamp(min=1e-12)).mean((2, 3))
    assert torch.allclose(rows, expected, atol=1e-6)
    assert (rows >= 0).all()
    assert net.nonnegative


def test_without_classes_there_are_features_alone():
    net = build_segmentation(SMALL.model_copy(update={"classes": ()}), seed=0)
    found = net.run(torch.rand(2, 3, 64, 64))
    assert found.scores.shape == (2, 0)
    assert torch.equal(found.masks, torch.ones(2, 1, 16, 16))
    found.features.sum().backward()


def test_class_activation_maps_pool_to_the_scores():
    net = build_segmentation(
        SegmentationSpec(backbone="resnet18", head="cam", classes=("a", "b")), seed=0
    ).eval()
    with torch.inference_mode():
        found = net.run(torch.rand(2, 3, 64, 64))
    assert torch.allclose(found.maps[:, 1:].mean((2, 3)), found.scores, atol=1e-5)
    assert torch.equal(found.masks[:, 0], torch.full_like(found.masks[:, 0], 0.1))
    best = found.masks[:, 1:].amax((2, 3))
    assert ((best - (found.maps[:, 1:].amax((2, 3)) > 0).float()).abs() < 1e-2).all()


def test_every_parameter_learns():
    net = build_segmentation(SMALL, seed=0)
    found = net.run(torch.rand(3, 3, 64, 64))
    (found.scores.sum() + found.maps[:, 1:].square().mean()).backward()
    still = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


def test_the_seed_makes_the_weights():
    state = torch.random.get_rng_state()
    first, again, other = (build_segmentation(SMALL, seed=seed).state_dict() for seed in (4, 4, 5))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["decoder.0.weight"], other["decoder.0.weight"])


def test_new_layers_start_as_published():
    net = build_segmentation(SMALL, seed=0)
    weight = net.decoder[0].weight
    assert math.isclose(weight.std().item(), math.sqrt(2 / weight[0].numel()), rel_tol=0.05)
    for norm in (
        module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d) and module.affine
    ):
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"backbone": "resnet5"}, "no backbone 'resnet5' that can segment.*resnet50"),
        ({"backbone": "alexnet"}, "no backbone 'alexnet' that can segment"),
        ({"classes": ("a", "b", "a")}, "classes has 'a' twice"),
        ({"classes": ("",)}, "at least 1 character"),
        ({"head": "cam", "width": 32}, "width means nothing to the head cam"),
        ({"head": "classifier", "psi": 0.5}, "psi means nothing to the head classifier"),
        ({"head": "classifier", "dropout": 0.1}, "dropout means nothing to the head classifier"),
        ({"background": 0.2}, "background means nothing to the head single-stage"),
        ({"psi": 1.0}, "less than 1"),
        ({"dilated": True, "output_stride": 32}, "dilated needs an output_stride below 32"),
        ({"last_stride": 1}, "Extra inputs"),
    ],
)
def test_a_description_that_cannot_be(fields, says):
    with pytest.raises(ValidationError, match=says):
        SegmentationSpec.model_validate({"backbone": "resnet18"} | fields)

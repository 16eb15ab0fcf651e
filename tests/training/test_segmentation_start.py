import pytest
import torch

from perisphere.encoder import Encoder, Preprocessing
from perisphere.errors import PerisphereError
from perisphere.nets import NetSpec, SegmentationSpec, build, build_segmentation, input_spec
from perisphere.training.recipe import Recipe
from perisphere.training.start import load_start, starting_net

SMALL = {"width": 16, "dilations": [1, 2]}


def started(weights, classes=("a", "b"), backbone="squeezenet1_0", **section):
    """Return the network that a recipe starts with, and what it told."""
    notes = []
    recipe = Recipe.model_validate(
        {
            "name": "start",
            "epochs": 1,
            "method": "segmentation",
            "net": {"backbone": backbone},
            "weights": str(weights),
            "data": [{"catalog": "catalog"}],
            "segmentation": SMALL | section,
        }
    )
    return starting_net(recipe, notes.append, classes), notes


def same(ours, theirs):
    return all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items() if "tracked" not in name)


def encoder_of(net, backbone="squeezenet1_0"):
    return Encoder(net.eval(), Preprocessing.for_architecture(input_spec(backbone), size=64), name="start")


def test_from_published_photo_weights(shared):
    net, notes = started(shared / "data" / "weights" / "squeezenet_v1.0.npz")
    plain = build(NetSpec(backbone="squeezenet1_0"), seed=5)
    recipe = Recipe.model_validate(
        {
            "name": "plain",
            "epochs": 1,
            "weights": str(shared / "data" / "weights" / "squeezenet_v1.0.npz"),
            "data": [{"catalog": "c"}],
        }
        | {"net": {"backbone": "squeezenet1_0"}}
    )
    load_start(recipe, plain, lambda _: None)
    assert same(net.backbone.state_dict(), plain.backbone.state_dict())
    assert "fresh weights" in notes[0]


def test_from_an_encoder_of_the_plain_backbone(tmp_path):
    plain = build(NetSpec(backbone="squeezenet1_0", pooling="gem", projection=8), seed=7)
    net, _ = started(encoder_of(plain).save(tmp_path / "plain"))
    assert same(net.backbone.state_dict(), plain.backbone.state_dict())


def test_from_an_encoder_that_segments_other_classes(tmp_path):
    spec = SegmentationSpec(backbone="squeezenet1_0", classes=("x", "y", "z"), width=16, dilations=(1, 2))
    known = build_segmentation(spec, seed=8)
    net, notes = started(encoder_of(known).save(tmp_path / "known"))
    assert net.spec.classes == ("a", "b")
    assert same({name: t for name, t in net.state_dict().items() if "scores" not in name}, known.state_dict())
    assert "2 of another shape" in notes[0]


def test_a_plain_encoder_starts_from_one_that_segments(tmp_path):
    spec = SegmentationSpec(backbone="squeezenet1_0", width=16, dilations=(1, 2))
    known = build_segmentation(spec, seed=8)
    folder = encoder_of(known).save(tmp_path / "known")
    recipe = Recipe.model_validate(
        {
            "name": "plain",
            "epochs": 1,
            "net": {"backbone": "squeezenet1_0"},
            "weights": str(folder),
            "data": [{"catalog": "c"}],
        }
    )
    net = starting_net(recipe, lambda _: None)
    assert same(net.backbone.state_dict(), known.backbone.state_dict())


def test_weights_of_another_backbone(tmp_path):
    folder = encoder_of(build(NetSpec(backbone="resnet18"), seed=1), "resnet18").save(tmp_path / "other")
    with pytest.raises(PerisphereError, match=r"fit.*resnet18"):
        started(folder)


def test_whatever_its_stride_and_head_a_network_takes_the_same_weights(tmp_path):
    plain = build(NetSpec(backbone="resnet18"), seed=1)
    folder = encoder_of(plain, "resnet18").save(tmp_path / "plain")
    section = {"head": "cam", "output_stride": 8, "dilated": True, "width": 256, "dilations": [12, 24, 36]}
    net, _ = started(folder, backbone="resnet18", **section)
    assert same(net.backbone.state_dict(), plain.backbone.state_dict())
    assert net.backbone.layer4[0].conv2.dilation == (4, 4)

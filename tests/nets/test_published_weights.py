import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from perisphere.errors import PerisphereError
from perisphere.nets import (
    EmbeddingNet,
    NetSpec,
    architectures,
    build,
    classifier_from,
    fitting_architectures,
    import_weights,
    input_spec,
    load_into,
    read_checkpoint,
)
from perisphere.nets.registry import ARCHITECTURES
from perisphere.nets.resnet import ResNet

SPEC = NetSpec(backbone="small32")


def backbone_state(seed=1):
    return build(SPEC, seed=seed).backbone.state_dict()


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "model.", "backbone.", "module.backbone.", "_orig_mod.module.", "encoder_q.", "base."],
)
def test_the_prefixes_of_training_programs_are_taken_off(prefix):
    state = backbone_state()
    net = build(SPEC, seed=2)
    report = load_into(net, {f"{prefix}{name}": value for name, value in state.items()})
    assert report.missing == report.unexpected == report.shape_differs == report.unfit == []
    assert all(
        torch.equal(net.backbone.state_dict()[name], state[name]) for name in state if "tracked" not in name
    )


def test_a_whole_net_comes_back_with_its_projection_and_neck():
    spec = NetSpec(backbone="small32", projection=8, bnneck=True, pooling="gem", gem_learned=True)
    net, other = build(spec, seed=1).eval(), build(spec, seed=2).eval()
    report = load_into(other, net.state_dict())
    assert report.missing == report.unexpected == []
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(net(images), other(images))


def test_every_difference_is_reported():
    state = dict(backbone_state())
    del state["stem.0.weight"]
    state["stage1.0.weight"] = torch.zeros(32, 16, 1, 1)
    state["stage9.0.weight"] = torch.zeros(1)
    state["stage3.7.weight"] = torch.zeros(1)
    state["stage1.1.weight"] = torch.zeros(32, dtype=torch.int64)
    report = load_into(build(SPEC, seed=2), state)
    assert report.missing == ["backbone.stem.0.weight", "backbone.stage1.1.weight"]
    assert [(d.name, d.in_file, d.in_net) for d in report.shape_differs] == [
        ("backbone.stage1.0.weight", (32, 16, 1, 1), (32, 16, 3, 3))
    ]
    assert report.unexpected == ["stage1.1.weight", "stage9.0.weight", "stage3.7.weight"]
    assert report.surplus == ["stage1.1.weight", "stage3.7.weight"]


def test_half_precision_becomes_float32():
    state = {
        name: value.half() if value.is_floating_point() else value for name, value in backbone_state().items()
    }
    net = build(SPEC, seed=2)
    load_into(net, state)
    assert net.backbone.stem[0].weight.dtype == torch.float32
    assert torch.equal(net.backbone.stem[0].weight, state["stem.0.weight"].float())


def test_not_a_number_is_an_error_and_the_net_stays_as_it_was():
    state = dict(backbone_state())
    state["stage3.0.weight"] = torch.full_like(state["stage3.0.weight"], float("nan"))
    net = build(SPEC, seed=2)
    before = net.backbone.stem[0].weight.clone()
    with pytest.raises(PerisphereError, match=r"backbone\.stage3\.0\.weight has NaN"):
        load_into(net, state)
    assert torch.equal(net.backbone.stem[0].weight, before)


def test_nothing_matched_names_what_fits(tmp_path):
    torch.save(build(NetSpec(backbone="cifar_resnet20"), seed=0).backbone.state_dict(), tmp_path / "w.pth")
    with pytest.raises(PerisphereError, match=r"w\.pth: none of the \d+ tensors.*fit cifar_resnet20"):
        import_weights(tmp_path / "w.pth", NetSpec(backbone="squeezenet1_0"))


def test_a_deeper_network_is_no_match_unless_asked_for(tmp_path):
    torch.save(build(NetSpec(backbone="cifar_resnet56"), seed=0).backbone.state_dict(), tmp_path / "w.pth")
    with pytest.raises(PerisphereError, match=r"left over.*fit cifar_resnet56.*--partial"):
        import_weights(tmp_path / "w.pth", NetSpec(backbone="cifar_resnet20"))
    _, report = import_weights(tmp_path / "w.pth", NetSpec(backbone="cifar_resnet20"), partial=True)
    assert not report.missing
    assert len(report.surplus) == 180


class Published(nn.Module):
    """A ResNet as others publish it: the backbone's names at the top, and ``fc``."""

    def __init__(self, backbone: ResNet) -> None:
        super().__init__()
        for name, child in backbone.named_children():
            self.add_module(name, child)
        self.fc = nn.Linear(backbone.dim, 1000)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_an_imagenet_checkpoint_loads_as_it_is(tmp_path, zipped):
    net = build(NetSpec(backbone="resnet18"), seed=1)
    state = Published(net.backbone).state_dict()
    # The files of 2017 have no counts of batches.
    state = {name: value for name, value in state.items() if "num_batches" not in name}
    torch.save(state, tmp_path / "resnet18-5c106cde.pth", _use_new_zipfile_serialization=zipped)
    found, report = import_weights(tmp_path / "resnet18-5c106cde.pth", NetSpec(backbone="resnet18"))
    assert report.classifier == ["fc.weight", "fc.bias"]
    assert len(report.matched) == 100
    assert report.missing == report.unexpected == report.unfit == []
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(found.eval()(images), net.eval()(images))
    classifier = classifier_from(read_checkpoint(tmp_path / "resnet18-5c106cde.pth"), "resnet18")
    assert torch.equal(classifier.weight, state["fc.weight"])


def test_each_architecture_fits_itself_alone():
    for name in architectures():
        if name == "pixels":
            continue
        with torch.device("meta"):
            state = EmbeddingNet(NetSpec(backbone=name)).backbone.state_dict()
        # The first ResNets, and networks with SELU, compute something else with weights of the same shapes.
        assert fitting_architectures(state) == [ARCHITECTURES[name].like or name]


# --- real weights on real photos ---


def preprocessed(image, name):
    """A minimal preprocessing by the architecture's InputSpec, apart from the Encoder's own."""
    spec = input_spec(name)
    pixels = np.asarray(image.convert("RGB").resize(spec.size[::-1], Image.Resampling.BILINEAR), np.float32)
    pixels = pixels if spec.channels == "RGB" else pixels[..., ::-1]
    normalised = (pixels * spec.scale - np.float32(spec.mean)) / np.float32(spec.std)
    return torch.from_numpy(normalised.astype(np.float32)).permute(2, 0, 1)


def cifar_test_photos(shared, per_class):
    """The first ``per_class`` test photos of each class, streamed out of the archive, with their labels."""
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    images, labels = [], []
    with tarfile.open(shared / "data" / "cifar10" / "cifar10-jpeg.tar.xz", "r|xz") as archive:
        for member in archive:
            part, *rest = member.name.split("/")
            if (
                part == "test"
                and len(rest) == 2
                and rest[1].endswith(".jpg")
                and int(rest[1][:-4]) < per_class
            ):
                image = Image.open(io.BytesIO(archive.extractfile(member).read()))
                images.append(preprocessed(image, "cifar_resnet20"))
                labels.append(classes.index(rest[0]))
    return torch.stack(images), torch.tensor(labels)


def cifar_accuracy(shared, name, images, labels):
    path = shared / "data" / "weights" / f"cifar10_{name.removeprefix('cifar_')}.npz"
    net, report = import_weights(path, NetSpec(backbone=name))
    assert report.classifier == ["linear.weight", "linear.bias"]
    classifier = classifier_from(read_checkpoint(path), name)
    with torch.inference_mode():
        logits = torch.cat([classifier(net.eval()(batch)) for batch in images.split(100)])
    return (logits.argmax(1) == labels).float().mean().item()


def test_cifar_resnets_reach_their_accuracy_on_300_photos(shared):
    images, labels = cifar_test_photos(shared, 30)
    assert len(labels) == 300
    assert cifar_accuracy(shared, "cifar_resnet20", images, labels) > 0.76
    assert cifar_accuracy(shared, "cifar_resnet56", images, labels) > 0.76


@pytest.mark.slow
def test_cifar_resnets_reach_the_stated_accuracy_on_all_test_photos(shared):
    images, labels = cifar_test_photos(shared, 1000)
    assert cifar_accuracy(shared, "cifar_resnet20", images, labels) == pytest.approx(0.821, abs=0.015)
    assert cifar_accuracy(shared, "cifar_resnet56", images, labels) == pytest.approx(0.840, abs=0.015)


def place_photos(shared):
    """Pairs of place and photo out of the archive."""
    with tarfile.open(shared / "data" / "places" / "places-640px.tar") as archive:
        for member in archive:
            if member.isfile() and member.name.lower().endswith(".jpg"):
                yield member.name, Image.open(io.BytesIO(archive.extractfile(member).read()))


def squeezenet_classes(shared, images):
    """The five likeliest ImageNet classes of each image; a ReLU lies between conv10 and its mean."""
    path = shared / "data" / "weights" / "squeezenet_v1.0.npz"
    net, report = import_weights(path, NetSpec(backbone="squeezenet1_0"))
    assert report.classifier == ["conv10.weight", "conv10.bias"]
    tensors = read_checkpoint(path)
    index = json.loads((shared / "data" / "hierarchies" / "ilsvrc" / "imagenet_class_index.json").read_text())
    with torch.inference_mode():
        features = net.eval().backbone(
            torch.stack([preprocessed(image, "squeezenet1_0") for image in images])
        )
        logits = F.conv2d(features, tensors["conv10.weight"], tensors["conv10.bias"]).relu().mean((2, 3))
    return [{index[str(i.item())][1] for i in row} for row in logits.topk(5).indices]


def test_squeezenet_knows_churches_and_palaces(shared):
    wanted = ("sacre_coeur/", "castle-P30/", "kn_church/", "st_pauls_cathedral/", "united_states_capitol/")
    photos = [image for name, image in place_photos(shared) if name.removeprefix("./").startswith(wanted)][
        ::3
    ]
    buildings = {"church", "castle", "palace", "monastery", "mosque", "dome", "bell cote", "library", "vault"}
    hits = [bool(classes & buildings) for classes in squeezenet_classes(shared, photos)]
    assert len(hits) > 10
    assert np.mean(hits) >= 0.7

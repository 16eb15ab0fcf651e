import json
import os

import numpy as np
import pytest
import torch
from drawn import picture
from published_names import as_published

from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.change import change
from perisphere.encoder.from_checkpoint import encoder_from
from perisphere.encoder.wikiscenes_form import FORMS
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import SegmentationSpec, build_segmentation, input_spec
from perisphere.tags.architecture import CONCEPTS

SPEC = SegmentationSpec(
    backbone="squeezenet1_0", classes=("tower", "Fenêtre"), width=16, dilations=(1, 2, 3), psi=0.2
)


@pytest.fixture(scope="module")
def segmenting():
    preprocessing = Preprocessing.for_architecture(input_spec("squeezenet1_0"), size=64)
    return Encoder(build_segmentation(SPEC, seed=3).eval(), preprocessing, name="tiny")


# --- as an Encoder ---


def test_it_comes_back_whole(segmenting, tmp_path):
    segmenting.save(tmp_path / "encoder")
    loaded = Encoder.load(tmp_path / "encoder")
    assert loaded.segmentation.spec == SPEC
    assert loaded.identity == segmenting.identity
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        for ours, theirs in zip(
            loaded.segmentation.run(images), segmenting.segmentation.run(images), strict=True
        ):
            assert torch.equal(ours, theirs)
    described = json.loads((tmp_path / "encoder" / "encoder.json").read_text("utf-8"))["net"]
    assert (described["kind"], described["classes"]) == ("segmentation", ["tower", "Fenêtre"])


def test_it_embeds_as_any_encoder_does(segmenting):
    pictures = [picture(number) for number in range(3)]
    rows = segmenting.encode(pictures)
    assert rows.shape == (3, 16)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.allclose(rows, segmenting.encode(pictures, batch_size=1), atol=1e-5)
    scaled = change(segmenting, factors=(1.0, 0.5))
    assert scaled.scales.power == 1
    assert scaled.segmentation is segmenting.segmentation


def test_another_net_is_another_space(segmenting):
    weights = build_segmentation(SPEC, seed=4).eval()
    assert Encoder(weights, segmenting.preprocessing, name="tiny").identity != segmenting.identity
    other = build_segmentation(SPEC.model_copy(update={"psi": 0.4}), seed=3).eval()
    assert Encoder(other, segmenting.preprocessing, name="tiny").identity != segmenting.identity


def test_an_encoder_that_cannot_segment_says_so(encoder):
    with pytest.raises(PerisphereError, match=r"'tiny' cannot segment.*method: segmentation"):
        encoder.segmentation  # noqa: B018


def test_it_pools_no_other_way(segmenting):
    with pytest.raises(UsageError, match="no other pooling"):
        change(segmenting, net={"pooling": "gem"})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"backbone": "../../etc/passwd"}, "no backbone"),
        ({"width": 10**9}, "width"),
        ({"classes": ["x"] * 5000}, "classes"),
        ({"classes": ["x", "y", "z"]}, "does not fit"),
        ({"kind": "segmentations"}, "kind"),
        ({"output_stride": 7}, "output_stride"),
    ],
)
def test_a_damaged_description_is_refused(segmenting, tmp_path, changes, says):
    folder = segmenting.save(tmp_path / "encoder")
    described = json.loads((folder / "encoder.json").read_text("utf-8"))
    described["net"] |= changes
    (folder / "encoder.json").write_text(json.dumps(described), "utf-8")
    with pytest.raises(PerisphereError, match=says) as raised:
        Encoder.load(folder)
    assert "\n" not in str(raised.value)


# --- from published weights ---


def published(head, classes=10, seed=0, backbone="resnet18"):
    fields = {"output_stride": 32} if head == "classifier" else {}
    spec = SegmentationSpec(
        backbone=backbone, head=head, classes=tuple(f"c{k}" for k in range(classes)), **fields
    )
    net = build_segmentation(spec, seed=seed).eval()
    state = as_published(net.state_dict(), head)
    if head == "classifier":
        state["model_ft.fc.weight"] = state["model_ft.fc.weight"][:, :, 0, 0]
    return net, state


@pytest.mark.parametrize("head", ["single-stage", "cam", "classifier"])
def test_published_weights_become_an_encoder(tmp_path, head):
    net, state = published(head)
    torch.save(state, tmp_path / "model_enc_e024Xs-0.800.pth")
    form = next(form for form, made in FORMS.items() if made == ("resnet18", head))
    made, report = encoder_from(tmp_path / "model_enc_e024Xs-0.800.pth", {"backbone": form})
    assert report.missing == report.unexpected == report.shape_differs == report.classifier == []
    assert made.segmentation.spec.classes == CONCEPTS
    assert made.name == "model_enc_e024Xs-0.800"
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        for ours, theirs in zip(made.segmentation.run(images), net.run(images), strict=True):
            assert torch.equal(ours, theirs)
    assert made.preprocessing == Preprocessing.for_architecture(input_spec("resnet18"))


def test_the_published_mobilenet_classifier(tmp_path):
    net, state = published("classifier", backbone="mobilenet_v2")
    state = {name.replace("model_ft.fc", "model_ft.classifier.1"): tensor for name, tensor in state.items()}
    torch.save(state, tmp_path / "w.pth")
    made, report = encoder_from(tmp_path / "w.pth", {"backbone": "wikiscenes-mobilenet_v2-cls"})
    assert report.missing == report.unexpected == []
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(made.segmentation.run(images).scores, net.run(images).scores)


def test_the_single_stage_head_says_itself_what_it_is(tmp_path):
    _, state = published("single-stage", classes=20)
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "w.pth")
    made, _ = encoder_from(tmp_path / "w.pth", {}, size=96, name="voc")
    assert made.segmentation.spec.classes[:2] == ("class 1", "class 2")
    assert (made.name, made.preprocessing.size) == ("voc", (96, 96))


def refused(tmp_path, state, fields=None, **options):
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(PerisphereError) as raised:
        encoder_from(
            tmp_path / "w.pth", {"backbone": "wikiscenes-resnet18"} if fields is None else fields, **options
        )
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_options_that_contradict_the_file(tmp_path):
    _, state = published("cam")
    assert "holds wikiscenes-resnet18-cam. Name it so." in refused(tmp_path, state)
    assert "Did you mean" in refused(tmp_path, state, {"backbone": "wikiscenes-resnet5"})
    fields = {"backbone": "wikiscenes-resnet18-cam", "gem_p": 2.0}
    assert refused(tmp_path, state, fields).startswith("--gem-p")
    assert "--whitening" in refused(
        tmp_path, state, {"backbone": "wikiscenes-resnet18-cam"}, whitening="a/ss"
    )


def test_a_file_that_lacks_parts_or_has_more(tmp_path):
    _, state = published("single-stage")
    short = {name: tensor for name, tensor in state.items() if name != "decoder.4.weight"}
    assert "'decoder.4.weight'" in refused(tmp_path, short)
    _, report = encoder_from(tmp_path / "w.pth", {"backbone": "wikiscenes-resnet18"}, partial=True)
    assert report.missing == ["decoder.4.weight"]
    assert "'extra.weight'" in refused(tmp_path, state | {"extra.weight": torch.ones(2)})
    assert "backbone is none of" in refused(
        tmp_path, {name: tensor for name, tensor in state.items() if "layer4.1" not in name}
    )
    plain = {name: tensor for name, tensor in state.items() if name.startswith(("conv1", "bn1", "layer"))}
    assert "holds no network that segments" in refused(tmp_path, plain)


@pytest.mark.parametrize(
    "weight", [torch.ones(()), torch.ones(3), torch.ones(0, 256, 1, 1), torch.ones(5000, 256, 1, 1)]
)
def test_a_layer_of_classes_that_cannot_be(tmp_path, weight):
    _, state = published("single-stage")
    assert "its layer of classes is" in refused(tmp_path, state | {"last_conv.0.weight": weight})


def test_damaged_numbers_are_refused(tmp_path):
    _, state = published("cam")
    state["fc8.weight"] = torch.full_like(state["fc8.weight"], float("nan"))
    assert "NaN" in refused(tmp_path, state, {"backbone": "wikiscenes-resnet18-cam"})


class _Calls:
    def __reduce__(self):
        return os.system, ("touch OWNED",)


def test_a_hostile_file_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, state = published("cam")
    assert "system" in refused(tmp_path, state | {"about": _Calls()})
    assert not (tmp_path / "OWNED").exists()

"""Checkpoints of the centroid triplet program become Encoders that compute what the program computed."""

import pickle

import numpy as np
import pytest
import torch
from centroid_program import checkpoint, features, state_dict
from drawn import picture
from PIL import Image

from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.from_checkpoint import encoder_from
from perisphere.encoder.loading import batches
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build


@pytest.fixture
def saved(monkeypatch, tmp_path):
    def save(backbone="resnet18", **options):
        torch.save(checkpoint(monkeypatch, backbone, **options), tmp_path / "epoch=119.ckpt")
        monkeypatch.undo()  # the classes of its settings are not there when it is read
        return tmp_path / "epoch=119.ckpt"

    return save


@pytest.mark.parametrize(
    ("backbone", "size"), [("resnet50", (256, 128)), ("resnet50_ibn_a", (320, 320)), ("resnet18", (256, 128))]
)
def test_a_checkpoint_gives_the_programs_features(saved, backbone, size) -> None:
    file = saved(backbone)
    encoder, report = encoder_from(file, {"backbone": f"ctl-{backbone.replace('_', '-')}"})
    assert encoder.preprocessing.size == size
    assert encoder.preprocessing.resize == "squash"
    assert [report.missing, report.unexpected, report.shape_differs] == [[], [], []]
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        given = encoder.net.eval()(images)
    expected = features(state_dict(backbone), backbone, images)
    assert torch.allclose(given, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_the_stem_of_the_plain_networks_has_no_relu(saved) -> None:
    file = saved()
    encoder, _ = encoder_from(file, {})
    assert encoder.net.spec == NetSpec(backbone="resnet18", last_stride=1, stem_relu=False, bnneck=True)
    usual = build(NetSpec(backbone="resnet18", last_stride=1, bnneck=True))
    usual.load_state_dict(encoder.net.state_dict())
    images = torch.randn(1, 3, 64, 32)
    with torch.no_grad():
        given, with_relu = encoder.net.eval()(images), usual.eval()(images)
    assert float((given - with_relu).norm() / given.norm()) > 0.01


def test_what_the_encoder_leaves_out_is_said_and_where_it_comes_from_is_kept(saved, tmp_path) -> None:
    encoder, report = encoder_from(saved("resnet50_ibn_a"), {})
    left = {"backbone.base.fc.weight", "backbone.base.fc.bias", "center_loss.centers", "fc_query.weight"}
    assert set(report.classifier) == left
    Encoder.load(encoder.save(tmp_path / "e"))
    assert encoder.provenance["trained_on"] == "market1501"
    assert encoder.provenance["identities"] == 5
    assert encoder.provenance["epoch"] == 119


@pytest.mark.parametrize("side", [(128, 64), (400, 300), (1100, 900)])
def test_a_picture_enters_as_it_did_in_the_program(saved, tmp_path, side) -> None:
    """Resized by Pillow's bilinear filter, enlarged or shrunk, then ImageNet's mean and deviation."""
    encoder, _ = encoder_from(saved(), {})
    Image.fromarray(picture(4, *side)).save(tmp_path / "photo.jpg", quality=95)
    with Image.open(tmp_path / "photo.jpg") as opened:
        there = np.asarray(opened.convert("RGB").resize((128, 256), Image.Resampling.BILINEAR))
    (batch,) = batches([tmp_path / "photo.jpg"], encoder.preprocessing, batch_size=1)
    assert np.abs(batch.pictures[0].astype(int) - there).max() <= 3  # two readers of JPEG differ by as much
    decoded = picture(4, *side)
    exactly = np.asarray(Image.fromarray(decoded).resize((128, 256), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(encoder.preprocessing(decoded), exactly)
    mean, std = (torch.tensor(v) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    entered = encoder.preprocessing.normalise(torch.tensor(exactly[None]))[0].permute(1, 2, 0)
    assert torch.allclose(entered, (torch.tensor(exactly).float() / 255 - mean) / std, atol=1e-5)


def test_smooth_is_for_squashing_and_cropping() -> None:
    with pytest.raises(ValueError, match="smooth is for resize: squash or crop, not pad"):
        Preprocessing(size=(8, 8), resize="pad", smooth=True)


def test_without_settings_the_names_or_the_form_tell(saved) -> None:
    for fields in ({}, {"backbone": "ctl-resnet18"}):
        encoder, _ = encoder_from(saved(settings=False), fields)
        assert encoder.net.spec.backbone == "resnet18"
        assert encoder.preprocessing.size == (256, 128)
    square, _ = encoder_from(saved(settings=False), {}, size=96)
    assert square.preprocessing.size == (96, 96)


def test_the_last_stride_of_the_settings_is_taken(saved) -> None:
    assert encoder_from(saved(LAST_STRIDE=2), {})[0].net.spec.last_stride == 2


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"fields": {"backbone": "ctl-resnet50"}},
            PerisphereError,
            r"says that it is ctl-resnet18.*Leave --as",
        ),
        ({"fields": {"backbone": "resnet18"}}, UsageError, r"--as: .* is a checkpoint of ctl-resnet18"),
        ({"fields": {"backbone": "ctl-resnet5"}}, PerisphereError, r"no form 'ctl-resnet5'.* ctl-resnet50"),
        ({"fields": {"pooling": "gem"}}, UsageError, r"--pooling: .*says what its network is made of"),
        ({"fields": {}, "whitening": "a/ss"}, UsageError, r"--whitening: .* has none"),
    ],
)
def test_options_that_contradict_the_file_are_refused(saved, options, kind, message) -> None:
    with pytest.raises(kind, match=message):
        encoder_from(saved(), **options)


def test_an_unknown_backbone_and_another_program_are_named(saved, tmp_path) -> None:
    with pytest.raises(PerisphereError, match=r"its backbone 'vit_b' is not known here"):
        encoder_from(saved(NAME="vit_b"), {})
    plain = build(NetSpec(backbone="resnet18")).backbone.state_dict()
    torch.save(plain, tmp_path / "plain.pth")
    with pytest.raises(
        PerisphereError, match=r"plain\.pth: is no checkpoint of the centroid triplet program"
    ):
        encoder_from(tmp_path / "plain.pth", {"backbone": "ctl-resnet18"})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"SIZE_TEST": [0, 128]}, "size: .*between 1 and 8192"),
        ({"PIXEL_MEAN": [float("nan"), 0, 0]}, "mean: .*finite"),
        ({"PIXEL_MEAN": [10**400, 0, 0]}, "mean: "),
        ({"PIXEL_STD": [0.2, 0, 0.2]}, "std: .*above 0"),
    ],
)
def test_an_input_that_cannot_be_is_an_error_that_names_the_file(
    monkeypatch, tmp_path, wrong, message
) -> None:
    whole = checkpoint(monkeypatch, "resnet18")
    whole["hyper_parameters"]["INPUT"].update(wrong)
    torch.save(whole, tmp_path / "bad.ckpt")
    monkeypatch.undo()
    with pytest.raises(PerisphereError, match=rf"bad\.ckpt: the input in its settings cannot be \({message}"):
        encoder_from(tmp_path / "bad.ckpt", {})


class _Bomb:
    def __reduce__(self):
        return (eval, ("__import__('pathlib').Path('ran').touch()",))


def test_settings_that_want_to_run_code_are_refused_and_not_run(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    whole = {**checkpoint(monkeypatch, "resnet18"), "hyper_parameters": {"MODEL": _Bomb()}}
    torch.save(whole, tmp_path / "bad.ckpt", pickle_module=pickle)
    with pytest.raises(PerisphereError, match=r"bad\.ckpt: asks for 'builtins\.eval'.*Nothing of it was run"):
        encoder_from(tmp_path / "bad.ckpt", {})
    assert not (tmp_path / "ran").exists()


def test_published_ibn_a_weights_fit_by_their_names(tmp_path) -> None:
    """ImageNet's IBN-a weights: wrapped for several devices, with the classifier of 1,000 classes."""
    net = build(NetSpec(backbone="resnet50_ibn_a"), seed=2).eval()
    state = {f"module.{name}": value for name, value in net.backbone.state_dict().items()}
    state |= {"module.fc.weight": torch.zeros(1000, 2048), "module.fc.bias": torch.zeros(1000)}
    torch.save({"state_dict": state}, tmp_path / "r50_ibn_a.pth")
    encoder, report = encoder_from(
        tmp_path / "r50_ibn_a.pth", {"backbone": "resnet50_ibn_a", "last_stride": 1}
    )
    assert report.classifier == ["module.fc.weight", "module.fc.bias"]
    assert not report.missing
    assert any(name.endswith("bn1.IN.weight") for name in report.matched)
    assert encoder.preprocessing == Preprocessing(size=(224, 224))


def test_stem_relu_is_for_resnets() -> None:
    with pytest.raises(ValueError, match="stem_relu is for ResNets; small has no such stem"):
        NetSpec(backbone="small", stem_relu=False)

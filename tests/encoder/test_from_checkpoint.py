import math

import numpy as np
import pytest
import torch
from drawn import picture
from PIL import Image
from pydantic import ValidationError
from torch.nn import functional as F

from perisphere.encoder import Encoder, Preprocessing, Scales
from perisphere.encoder.from_checkpoint import encoder_from
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build, input_spec

NUMBERS = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
MEAN, STD = [0.5, 0.25, 0.125], [0.25, 0.5, 0.75]


def _numbered(net, prefix: str) -> dict:
    parts = {name: name.split(".", 1) for name in net.backbone.state_dict()}
    return {
        f"{prefix}{NUMBERS[first]}.{rest}": net.backbone.state_dict()[name]
        for name, (first, rest) in parts.items()
    }


@pytest.fixture(scope="module")
def net():
    return build(NetSpec(backbone="resnet18"), seed=5).eval()


@pytest.fixture
def retrieval(net, tmp_path):
    """A retrieval checkpoint with GeM (p = 2.5), a whitening inside, and a learned one for after it."""
    rng = np.random.default_rng(0)
    weight, bias = (torch.from_numpy(rng.normal(size=shape)).float() for shape in ((512, 512), 512))
    weights = {"pool.p": torch.tensor([2.5]), "whiten.weight": weight, "whiten.bias": bias}
    learned = {"m": 0.01 * rng.normal(size=(512, 1)), "P": rng.normal(size=(512, 512))}

    def save(whitening: bool):
        state = {**_numbered(net, "features."), "pool.p": weights["pool.p"]}
        meta = {"architecture": "resnet18", "pooling": "gem", "local_whitening": False, "regional": False,
                "whitening": whitening, "outputdim": 512, "mean": MEAN, "std": STD,
                "Lw": {"sfm": {"ss": learned, "ms": learned}}}  # fmt: skip
        torch.save(
            {"epoch": 9, "meta": meta, "state_dict": {**state, **(weights if whitening else {})}},
            tmp_path / "r.pth",
        )
        return tmp_path / "r.pth"

    return save, weights, learned


@pytest.mark.parametrize("prefix", ["module.features.", "module.features.0."])
def test_an_older_classifier_brings_its_input(net, tmp_path, prefix) -> None:
    state = {
        **_numbered(net, prefix),
        "module.fc.weight": torch.ones(3, 512),
        "module.fc.bias": torch.ones(3),
    }
    file = tmp_path / "resnet18model_best.pth.tar"
    torch.save({"epoch": 3, "arch": "resnet18", "state_dict": state, "best_prec1": 90.0}, file)
    encoder, report = encoder_from(file, {"backbone": "resnet18"})
    assert report.missing == []
    assert encoder.preprocessing == Preprocessing.legacy()
    photo = picture(1, 90, 120)
    image = torch.from_numpy(encoder.preprocessing(photo)).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        features = net.backbone(image).mean((2, 3))[0].numpy()
    vector = encoder.encode([photo], precision="float32")[0]
    np.testing.assert_allclose(vector / vector.sum(), features / features.sum(), atol=1e-6)
    usual, _ = encoder_from(file, {"backbone": "resnet18"}, preset="usual")
    assert usual.preprocessing == Preprocessing.for_architecture(input_spec("resnet18"))
    nab, _ = encoder_from(file, {"backbone": "resnet18"}, preset="nab-large", size=112)
    assert nab.preprocessing == Preprocessing.published("nab").at_size(112, 112)
    with pytest.raises(UsageError, match=r"--preset: it is none of auto, usual, legacy, and .* 'nap'"):
        encoder_from(file, {"backbone": "resnet18"}, preset="nap")


def test_a_retrieval_network_gives_what_it_gave(net, retrieval, tmp_path) -> None:
    save, weights, _ = retrieval
    encoder, report = encoder_from(save(True), {}, size=96)
    assert report.missing == report.unexpected == []
    expected = Preprocessing(size=(96, 96), resize="long", interpolation="bicubic", mean=MEAN, std=STD)
    assert encoder.preprocessing == expected
    photo = picture(2, 96, 64)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    image = (torch.tensor(photo).permute(2, 0, 1)[None] / 255 - mean) / std
    with torch.inference_mode():
        features = net.backbone(image)
        pooled = features.clamp(min=1e-6).pow(2.5).mean((2, 3)).pow(1 / 2.5)
        whitened = F.linear(F.normalize(pooled), weights["whiten.weight"], weights["whiten.bias"])
    np.testing.assert_allclose(
        encoder.encode([photo], precision="float32")[0], F.normalize(whitened)[0].numpy(), atol=1e-5
    )
    encoder.save(tmp_path / "e")
    assert Encoder.load(tmp_path / "e").identity == encoder.identity
    assert encoder_from(save(True), {}, preset="usual")[0].preprocessing.resize == "crop"


@pytest.mark.parametrize("kind", ["ss", "ms"])
def test_a_learned_whitening_comes_with_its_scales(retrieval, kind) -> None:
    save, _, learned = retrieval
    file = save(False)
    encoder, _ = encoder_from(file, {}, size=64, whitening=f"sfm/{kind}")
    plain = encoder_from(file, {}, size=64)[0]
    scales = Scales(factors=(1, 1 / math.sqrt(2), 0.5), power=2.5) if kind == "ms" else Scales()
    assert encoder.scales == scales
    before = Encoder(plain.net, plain.preprocessing, name="plain", scales=scales).encode([picture(3)])[0]
    after = learned["P"] @ (before - learned["m"][:, 0])
    np.testing.assert_allclose(encoder.encode([picture(3)])[0], after / np.linalg.norm(after), atol=1e-4)
    with pytest.raises(PerisphereError, match=r"r\.pth: the file has no whitening 'sfm'; it has sfm/ss"):
        encoder_from(file, {}, whitening="sfm")


def test_what_contradicts_the_file_is_refused(retrieval, net, tmp_path) -> None:
    save, _, _ = retrieval
    file = save(False)
    with pytest.raises(UsageError, match=r"--as: .*says that it is resnet18"):
        encoder_from(file, {"backbone": "resnet50"})
    with pytest.raises(UsageError, match=r"--pooling: .*says what its network"):
        encoder_from(file, {"pooling": "mac"})
    torch.save(net.backbone.state_dict(), tmp_path / "plain.pth")
    with pytest.raises(UsageError, match=r"--as: .*does not say what its network is"):
        encoder_from(tmp_path / "plain.pth", {})
    with pytest.raises(PerisphereError, match="it has none"):
        encoder_from(tmp_path / "plain.pth", {"backbone": "resnet18"}, whitening="a/ss")
    with pytest.raises(ValidationError, match="no backbone"):
        encoder_from(tmp_path / "plain.pth", {"backbone": "resnet19"})


def test_the_command_line_imports_it_without_being_told_the_architecture(retrieval, tmp_path) -> None:
    from typer.testing import CliRunner

    from perisphere.cli.main import app

    save, _, _ = retrieval
    words = ["weights", "import", save(False), "-o", tmp_path / "e", "--size", 64, "--whitening", "sfm/ms"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.exception
    Image.fromarray(picture(1)).save(tmp_path / "photo.png")
    assert Encoder.load(tmp_path / "e").encode([tmp_path / "photo.png"]).shape == (1, 512)

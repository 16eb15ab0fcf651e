import json

import pytest
import torch
from typer.testing import CliRunner

import perisphere.cli.show
import perisphere.cli.weights  # noqa: F401
from perisphere.cli.main import app
from perisphere.encoder import Encoder
from perisphere.errors import UsageError
from perisphere.nets import SegmentationSpec, build_segmentation

SPEC = SegmentationSpec(backbone="resnet18", head="cam", classes=tuple(f"c{k}" for k in range(10)))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    net = build_segmentation(SPEC, seed=1)
    state = {name.removeprefix("backbone."): tensor for name, tensor in net.state_dict().items()}
    state["fc8.weight"] = state.pop("scores.weight")
    file = tmp_path_factory.mktemp("weights") / "model_enc_e010Xs-1.800.pth"
    torch.save(state, file)
    return file


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def test_published_weights_are_imported_shown_and_drawn_anew(published, tmp_path):
    out = tmp_path / "segmenting"
    made = run("weights", "import", published, "--as", "wikiscenes-resnet18-cam", "-o", out, "--json")
    assert made.exit_code == 0, made.output
    facts = json.loads(made.stdout)
    assert (facts["dim"], facts["missing"], facts["unexpected"]) == (512, [], [])
    shown = json.loads(run("show", out, "--json").stdout)
    assert shown["net"]["kind"] == "segmentation"
    assert shown["net"]["classes"][0] == "facade"
    assert "net.head" in run("show", out).stdout
    fresh = run("weights", "fresh", out, "-o", tmp_path / "fresh", "--size", 96, "--seed", 4)
    assert fresh.exit_code == 0, fresh.output
    drawn = Encoder.load(tmp_path / "fresh")
    assert drawn.segmentation.spec == Encoder.load(out).segmentation.spec
    assert drawn.preprocessing.size == (96, 96)
    assert drawn.identity not in (facts["identity"], Encoder.load(out).identity)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--as", "wikiscenes-resnet18"], "holds wikiscenes-resnet18-cam. Name it so."),
        (["--as", "wikiscenes-resnet5-cam"], "Did you mean"),
        (["--as", "wikiscenes-resnet18-cam", "--bnneck"], "--bnneck"),
        (["--as", "wikiscenes-resnet18-cam", "--whitening", "x/ss"], "--whitening"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(published, tmp_path, options, says):
    result = run("weights", "import", published, "-o", tmp_path / "out", *options)
    assert isinstance(result.exception, UsageError)
    assert says in str(result.exception)
    assert not (tmp_path / "out").exists()

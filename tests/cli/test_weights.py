import json
import re

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import perisphere.cli.weights  # noqa: F401
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, architectures, build


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def file(tmp_path):
    state = build(NetSpec(backbone="cifar_resnet20"), seed=1).backbone.state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "w.pth")
    return tmp_path / "w.pth"


def test_import_writes_an_encoder_that_loads_with_the_weights(file, tmp_path):
    from perisphere.encoder import Encoder

    result = run("weights", "import", file, "--as", "cifar_resnet20", "-o", tmp_path / "e", "--projection", 8)
    assert result.exit_code == 0, result.exception
    assert "95 parameters matched." in result.stdout
    assert "2 missing in the file (fresh values): projection.weight, projection.bias" in result.stdout
    encoder = Encoder.load(tmp_path / "e")
    assert (encoder.dim, encoder.name, encoder.preprocessing.size) == (8, "w", (32, 32))
    expected = torch.load(file, weights_only=True)["state_dict"]["module.conv1.weight"]
    assert torch.equal(encoder.net.backbone.conv1.weight, expected)


def test_json_has_the_whole_report(file, tmp_path):
    result = run(
        "weights", "import", file, "--as", "cifar_resnet20", "-o", tmp_path / "e", "--json", "--size", 40,
        "--pooling", "gem", "--name", "mine",
    )  # fmt: skip
    report = json.loads(result.stdout)
    assert len(report["matched"]) == 95
    assert report["missing"] == report["unexpected"] == report["shape_differs"] == []
    assert report["name"] == "mine"
    description = json.loads((tmp_path / "e" / "encoder.json").read_text())
    assert description["preprocessing"]["size"] == [40, 40]
    assert "gem" in json.dumps(description)


def test_the_same_seed_gives_the_same_identity(file, tmp_path):
    words = ("weights", "import", file, "--as", "cifar_resnet20", "--projection", 4, "--json")
    first = json.loads(run(*words, "-o", tmp_path / "a").stdout)
    again = json.loads(run(*words, "-o", tmp_path / "b").stdout)
    other = json.loads(run(*words, "-o", tmp_path / "c", "--seed", 1).stdout)
    assert first["identity"] == again["identity"] != other["identity"]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("--as", "resnet51"), UsageError, r"--as: there is no backbone 'resnet51'. Did you mean 'resnet50'"),
        (("--as", "cifar_resnet20", "--last-stride", "1"), UsageError, "last_stride is for ResNets"),
        (("--as", "cifar_resnet20", "--pooling", "gem", "--gem-p", "nan"), UsageError, "--gem-p: "),
        (("--as", "cifar_resnet20", "--gem-p", "3"), UsageError, "--gem-p: means nothing for --pooling spoc"),
        (("--as", "cifar_resnet20", "--projection", "99999999"), UsageError, "--projection: "),
        (("--as", "resnet18"), PerisphereError, r"w.pth: .*fit cifar_resnet20"),
        (("--as", "squeezenet1_0"), PerisphereError, r"none of the .* tensors.*fit cifar_resnet20"),
        (("--as", "pixels"), PerisphereError, "none of the"),
    ],
)
def test_an_error_names_the_option_and_the_mend_and_writes_nothing(file, tmp_path, words, error, message):
    result = run("weights", "import", file, "-o", tmp_path / "e", *words)
    assert isinstance(result.exception, error)
    assert re.search(message, str(result.exception))
    assert not (tmp_path / "e").exists()


def test_an_encoder_is_replaced_only_on_demand(file, tmp_path):
    words = ("weights", "import", file, "--as", "cifar_resnet20", "-o", tmp_path / "e")
    assert run(*words).exit_code == 0
    assert "exists already" in str(run(*words).exception)
    assert run(*words, "--overwrite").exit_code == 0


@pytest.mark.parametrize("like", ["pixels", "small32"])
def test_a_fresh_one_of_another_size(like, tmp_path):
    from perisphere.encoder import Encoder

    assert run("weights", "fresh", like, "-o", tmp_path / "a").exit_code == 0
    words = ("weights", "fresh", tmp_path / "a", "--size", 16, "-o", tmp_path / "b", "--json")
    facts = json.loads(run(*words).stdout)
    encoder = Encoder.load(tmp_path / "b")
    assert encoder.preprocessing.size == (16, 16)
    assert facts == {
        "out": str(tmp_path / "b"),
        "name": f"{like}-untrained",
        "identity": encoder.identity,
        "dim": encoder.dim,
    }
    assert encoder.encode([np.full((20, 20, 3), 9, np.uint8)[:, :, :] + np.arange(3, dtype=np.uint8)]).shape


def test_list_shows_every_architecture():
    rows = json.loads(run("weights", "list", "--json").stdout)
    assert [row["name"] for row in rows] == architectures()
    table = run("weights", "list").stdout
    assert all(name in table for name in architectures())
    assert "23,508,032" in table
    ends = {line.index(" x ") - len(line.split(" x ")[0].split()[-1]) for line in table.splitlines()[1:]}
    assert len(ends) == 1  # the columns stand below each other


def test_squeezenet_becomes_an_encoder_of_real_photos(shared, tmp_path):
    from perisphere.encoder import Encoder

    file = shared / "data" / "weights" / "squeezenet_v1.0.npz"
    result = run("weights", "import", file, "--as", "squeezenet1_0", "-o", tmp_path / "e")
    assert "50 parameters matched." in result.stdout
    encoder = Encoder.load(tmp_path / "e")
    assert encoder.preprocessing.channels == "BGR"
    assert encoder.preprocessing.mean == (104.0, 117.0, 123.0)
    assert encoder.dim == 512

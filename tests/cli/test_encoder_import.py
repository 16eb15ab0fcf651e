"""``perisphere encoder import``, and what the verbs after it make of such an Encoder."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

import perisphere.cli.embed
import perisphere.cli.encoder
import perisphere.cli.search
import perisphere.cli.show  # noqa: F401
from perisphere.catalog import Catalog
from perisphere.cli.main import app
from perisphere.encoder import Encoder
from perisphere.errors import PerisphereError, UsageError

pytest.importorskip("transformers")
sys.path.insert(0, str(Path(__file__).parents[1] / "encoder"))
hub_models = importlib.import_module("hub_models")


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def told(*words) -> dict:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Hub folders `clip` and `dinov2`, the encoder `e` of the first, and a catalog of eight photos."""
    folder = tmp_path_factory.mktemp("import")
    for kind in ("clip", "dinov2"):
        hub_models.save(kind, folder / kind)
    rng = np.random.default_rng(1)
    rows = []
    for row in range(8):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / f"{row}.png")
        rows.append({"path": f"{row}.png", "label": f"c{row % 2}", "split": "train"})
    Catalog(pl.DataFrame(rows), folder).save(folder / "catalog")
    assert run("encoder", "import", folder / "clip", "-o", folder / "e").exit_code == 0
    return folder


def test_import_tells_what_it_made(folder, tmp_path) -> None:
    facts = told("encoder", "import", folder / "clip", "-o", tmp_path / "e", "--name", "mine")
    assert facts["name"] == "mine"
    assert facts["dim"] == 24
    assert facts["text"] is True
    assert facts["provenance"]["hub"] == "clip"
    assert facts["identity"] == Encoder.load(folder / "e").identity
    plain = run("encoder", "import", folder / "dinov2", "-o", tmp_path / "d", "--pool", "mean")
    assert plain.stdout.startswith(f"Wrote {tmp_path / 'd'}: dinov2, 32 numbers an image, identity ")
    assert "text" not in told("encoder", "import", folder / "clip", "-o", tmp_path / "n", "--no-text")


def test_show_tells_of_the_network_and_its_texts(folder) -> None:
    facts = told("show", folder / "e")
    assert facts["net"]["kind"] == "transformers"
    assert facts["net"]["family"] == "clip"
    assert facts["text"]["length"] == 12


def test_wrong_words(folder, tmp_path) -> None:
    result = run("encoder", "import", folder / "dinov2", "-o", tmp_path / "e", "--pool", "projection")
    assert isinstance(result.exception, UsageError)
    assert "--pool projection: dinov2 has cls, mean." in str(result.exception)
    result = run("encoder", "import", folder / "nothing", "-o", tmp_path / "e")
    assert "nothing is downloaded" in str(result.exception)
    result = run("encoder", "import", folder / "clip", "-o", folder / "e")
    assert "exists already" in str(result.exception)
    assert not (tmp_path / "e").exists()


def test_an_index_answers_photos_and_texts(folder, tmp_path) -> None:
    assert run("index", "create", tmp_path / "ix", folder / "catalog", "-e", folder / "e").exit_code == 0
    photo = told("search", tmp_path / "ix", folder / "3.png", "-k", "1")
    assert "3.png" in json.dumps(photo)
    found = told("search", tmp_path / "ix", "--text", "a photo of a portal", "-k", "8")
    (answer,) = found["queries"]
    encoder = Encoder.load(folder / "e")
    (text,) = encoder.encode_texts(["a photo of a portal"])
    rows = encoder.encode([folder / f"{row}.png" for row in range(8)])
    expected = np.sort(rows @ text)[::-1]
    np.testing.assert_allclose([result["score"] for result in answer["results"]], expected, atol=1e-5)


def test_whitening_leaves_the_space_of_texts(folder, tmp_path) -> None:
    assert run("encoder", "whiten", folder / "e", folder / "catalog", "-o", tmp_path / "w").exit_code == 0
    assert Encoder.load(tmp_path / "w").text is None
    assert told("encoder", "change", folder / "e", "-o", tmp_path / "s", "--size", "48")["text"] is True


@pytest.mark.parametrize("resize", ["squash", "crop", "pad", "long"])
def test_another_shape_of_the_input(resize, folder, tmp_path) -> None:
    """Positions are interpolated; `long` gives each photo its own shape."""
    words = ("encoder", "change", folder / "e", "-o", tmp_path / "c", "--resize", resize, "--size", "48")
    assert told(*words)["text"] is True
    changed = Encoder.load(tmp_path / "c")
    assert changed.preprocessing.smooth == (resize in ("squash", "crop"))
    rows = changed.encode([folder / "0.png", np.zeros((30, 80, 3), np.uint8)])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_it_has_its_own_pooling(folder, tmp_path) -> None:
    result = run("encoder", "change", folder / "e", "-o", tmp_path / "c", "--pooling", "gem")
    assert isinstance(result.exception, UsageError)
    assert "encoder import --pool" in str(result.exception)


def test_no_weights_are_drawn_for_it(folder, tmp_path) -> None:
    error = run("weights", "fresh", folder / "e", "-o", tmp_path / "fresh").exception
    assert isinstance(error, UsageError)
    assert "no weights are drawn" in str(error)
    assert not (tmp_path / "fresh").exists()


def test_without_the_library(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    for words in (
        ("encoder", "import", folder / "clip", "-o", tmp_path / "e"),
        ("embed", folder / "catalog", "-e", folder / "e", "-o", tmp_path / "v"),
    ):
        result = run(*words)
        assert isinstance(result.exception, PerisphereError)
        assert "pip install 'perisphere[transformers]'" in str(result.exception)


def test_training_does_not_begin_with_it(folder) -> None:
    from perisphere.training.recipe import Recipe
    from perisphere.training.start import starting_net

    fields = {"name": "tiny", "data": [{"format": "folders", "root": str(folder)}]}
    fields |= {"net": {"backbone": "small32"}, "weights": str(folder / "e"), "epochs": 1, "batch_size": 4}
    fields |= {"optimizer": {"name": "sgd", "lr": 0.02}, "out": str(folder / "run")}
    recipe = Recipe.model_validate(fields)
    with pytest.raises(PerisphereError, match="does not learn here"):
        starting_net(recipe, lambda note: None)

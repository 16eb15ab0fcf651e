import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

import perisphere.cli.embed  # noqa: F401  registers the verb
from perisphere.catalog import Catalog
from perisphere.cli.main import app
from perisphere.encoder import Embeddings, Encoder, Preprocessing
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """``embed CATALOG --encoder E -o OUT`` for seven pictures, the last of which is broken."""
    rng = np.random.default_rng(0)
    for number in range(7):
        image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    (tmp_path / "6.png").write_bytes(b"")
    table = pl.DataFrame({"id": range(7), "path": [f"{number}.png" for number in range(7)]})
    Catalog(table, tmp_path).save(tmp_path / "catalog")
    net = build(NetSpec(backbone="cifar_resnet20"), seed=0)
    Encoder(net, Preprocessing(size=(32, 32)), name="tiny").save(tmp_path / "encoder")
    return [
        "embed",
        str(tmp_path / "catalog"),
        "--encoder",
        str(tmp_path / "encoder"),
        "-o",
        str(tmp_path / "out"),
    ]


def test_embed_writes_a_folder_and_says_what_it_did(words: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.exception
    assert "6 embeddings of 64 numbers" in result.stdout
    assert "images/s on" in result.stdout
    assert "skipped 6.png: empty file" in result.stdout
    embeddings = Embeddings.load(tmp_path / "out")
    assert embeddings.encoder["path"] == str(tmp_path / "encoder")
    np.testing.assert_allclose(np.linalg.norm(embeddings.vectors, axis=1), 1, atol=1e-6)


def test_the_address_of_a_cluster_reaches_the_run(words: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*words, "--ray", "ray://head:10001"])
    assert isinstance(result.exception, UsageError)
    assert "ray job submit" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_every_option_reaches_the_run(words: list[str], tmp_path: Path) -> None:
    options = ["--batch-size", "3", "--workers", "1", "--device", "cpu", "--precision", "float32", "--json"]
    result = CliRunner().invoke(app, words + options)
    assert result.exit_code == 0, result.exception
    summary = json.loads(result.stdout)
    assert (summary["rows"], summary["dim"]) == (6, 64)
    assert summary["skipped"][0]["path"] == "6.png"
    run = summary["run"]
    assert (run["batch_size"], run["device"], run["precision"]) == (3, "cpu", "float32")


def test_overwrite_is_needed_for_an_existing_folder(words: list[str]) -> None:
    assert CliRunner().invoke(app, words).exit_code == 0
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, PerisphereError)
    assert "--overwrite" in str(refused.exception)
    assert CliRunner().invoke(app, [*words, "--overwrite"]).exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--batch-size", "0"],
        ["--batch-size", "many"],
        ["--workers", "-1"],
        ["--precision", "half"],
        ["--bathc-size", "3"],
    ],
)
def test_wrong_words_end_with_2_and_name_the_option(words: list[str], options: list[str]) -> None:
    result = CliRunner().invoke(app, words + options)
    assert result.exit_code == 2
    assert options[0] in result.output


def test_a_missing_encoder_is_named(words: list[str], tmp_path: Path) -> None:
    words[3] = str(tmp_path / "nowhere")
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, PerisphereError)
    assert "nowhere" in str(result.exception)

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from perisphere.catalog import Catalog
from perisphere.cli.main import app
from perisphere.encoder import Encoder, Preprocessing
from perisphere.nets import NetSpec, build

OPENVINO = ["--runtime", "openvino"]


def call(*words: str | Path) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    return done.stdout


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An encoder of pixels alone, which is exported in no time, and a catalog of 30 photos of 3 places."""
    preprocessing = Preprocessing(size=(8, 8), resize="squash", mean=(0.5,) * 3, std=(0.2,) * 3)
    net = build(NetSpec(backbone="pixels", input_size=8, projection=12), seed=0)
    Encoder(net, preprocessing, name="px").save(tmp_path / "encoder")
    rng = np.random.default_rng(0)
    bases = rng.integers(0, 200, (3, 20, 24, 3), dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    for number in range(30):
        noisy = bases[number % 3] + rng.integers(0, 55, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(noisy).save(tmp_path / f"photos/{number:02}.png")
    names = [f"{number:02}.png" for number in range(30)]
    split = ["train"] * 24 + ["test"] * 6
    labels = [f"place {number % 3}" for number in range(30)]
    table = pl.DataFrame({"id": list(range(30)), "path": names, "split": split, "label": labels})
    Catalog(table, tmp_path / "photos").save(tmp_path / "catalog")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_from_export_to_search(work: Path) -> None:
    said = call("encoder", "export", "encoder", *OPENVINO, "--check", "catalog", "--split", "test")
    assert "6 photos (catalog) as torch embeds them" in said
    words = ["--calibrate", "catalog", "--split", "train", "--images", "10", "--seed", "4"]
    told = json.loads(call("encoder", "export", "encoder", *OPENVINO, "--int8", *words, "--json"))
    assert told["int8"]["calibration"] == 10
    assert told["int8"]["measured"] == 14
    assert told["int8"]["seed"] == 4
    assert 0.9 < told["int8"]["map_int8"] <= 1
    shown = json.loads(call("show", "encoder", "--json"))["runtimes"]
    assert shown["openvino-int8"]["int8"] == told["int8"]
    assert shown["openvino"]["agreement"]["difference"] <= 1e-3
    assert "runtimes.openvino-int8.int8.map_float32" in call("show", "encoder")

    made = json.loads(call("embed", "catalog", "-e", "encoder", "-o", "v", *OPENVINO, "--int8", "--json"))
    assert (made["run"]["runtime"], made["run"]["precision"]) == ("openvino", "int8")
    call("index", "create", "index", "v")
    found = json.loads(call("search", "index", "photos/04.png", "-k", "1", "--json", *OPENVINO))
    assert found["queries"][0]["results"][0]["path"] == "04.png"
    assert found["queries"][0]["results"][0]["score"] == pytest.approx(1, abs=1e-6)
    named = call("search", "index", "photos/04.png", "-k", "1", "--json", "-e", "encoder")
    assert json.loads(named)["queries"] == found["queries"]
    kept = Encoder.load("index/encoder")
    assert kept.identity == made["encoder"]["identity"] != Encoder.load("encoder").identity
    added = json.loads(call("index", "add", "index", "photos", "--json"))
    assert (added["added"], added["images"]) == (30, 60)


def test_an_index_made_and_asked_by_runtimes(work: Path) -> None:
    call("index", "create", "index", "catalog", "-e", "encoder", *OPENVINO)
    asked = ["search", "index", "photos/07.png", "-k", "3", "--json"]
    by_torch, other = json.loads(call(*asked)), json.loads(call(*asked, *OPENVINO))
    paths = [[row["path"] for row in answer["queries"][0]["results"]] for answer in (by_torch, other)]
    assert paths[0] == paths[1]
    assert paths[0][0] == "07.png"
    call("index", "add", "index", "photos", *OPENVINO)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--int8"], "Add --calibrate CATALOG"),
        (["--int8", "--calibrate", "catalog", "--check", "catalog"], "--check: int8 is measured"),
        (["--calibrate", "catalog"], "--calibrate catalog: goes with --int8"),
        (["--images", "3"], "--images 3: goes with --int8"),
        (["--measure", "0"], "--measure 0: goes with --int8"),
        (["--split", "test"], "--split test: goes with --check"),
    ],
)
def test_words_that_do_not_go_together(words: list[str], said: str, work: Path) -> None:
    done = CliRunner().invoke(app, ["encoder", "export", "encoder", *OPENVINO, *words])
    assert said in str(done.exception)
    assert not (work / "encoder/runtimes").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["embed", "catalog", "-e", "encoder", "-o", "v", "--int8"], "torch runs no such model"),
        (["embed", "catalog", "-e", "encoder", "-o", "v", "--int8", *OPENVINO], "has no int8 model"),
        (["index", "create", "i", "vectors", *OPENVINO], "holds embeddings"),
        (["index", "create", "i", "vectors", "--int8"], "holds embeddings"),
    ],
)
def test_runtimes_that_cannot_be_had(words: list[str], said: str, work: Path) -> None:
    call("embed", "catalog", "-e", "encoder", "-o", "vectors")
    done = CliRunner().invoke(app, words)
    assert said in str(done.exception)
    assert not (work / "i").exists()
    assert not (work / "v").exists()


def test_an_int8_encoder_is_not_exported_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Encoder.load("encoder")
    loaded.int8 = True  # type: ignore[assignment]
    monkeypatch.setattr(Encoder, "load", lambda folder: loaded)
    done = CliRunner().invoke(app, ["encoder", "export", "encoder", *OPENVINO])
    assert "is int8 already" in str(done.exception)


def test_commands_that_embed_take_a_runtime() -> None:
    for command in (["embed"], ["index", "create"], ["index", "add"], ["search"], ["serve"]):
        assert "--runtime" in call(*command, "--help")

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import perisphere.cli.show  # noqa: F401
from perisphere.catalog.readers import read
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["show", *map(str, words)])


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    (tmp_path / "photos/dome").mkdir(parents=True)
    for number in range(3):
        Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / f"photos/dome/{number}.png")
    (tmp_path / "photos/notes.txt").write_text("x")
    read("folders", tmp_path / "photos").save(tmp_path / "catalog")
    return tmp_path / "catalog"


def test_a_catalog(catalog: Path, tmp_path: Path) -> None:
    result = run(catalog, "--sheet", tmp_path / "sheet.png")
    assert result.exit_code == 0, result.exception
    assert "3 images, 1 class\n" in result.stdout
    assert "1 x not an image file (.txt)" in result.stdout
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1000
    facts = json.loads(run(catalog, "--json").stdout)
    assert (facts["images"], facts["classes"], facts["height"]["max"]) == (3, 1, 8)


def test_an_encoder(tmp_path: Path) -> None:
    facts = {"name": "small", "dim": 64, "net": {"backbone": "small"}, "metrics": {}}
    (tmp_path / "encoder.json").write_text(json.dumps(facts))
    text = run(tmp_path).stdout
    assert ["net.backbone", "small"] in [line.split() for line in text.splitlines()]
    assert json.loads(run(tmp_path, "--json").stdout) == facts


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_broken_encoder(content: str, tmp_path: Path) -> None:
    (tmp_path / "encoder.json").write_text(content)
    assert isinstance(run(tmp_path).exception, PerisphereError)


def test_an_index(tmp_path: Path) -> None:
    from perisphere.index import Index

    with Index.create(tmp_path / "index", 8) as index:
        index.add(np.eye(8, dtype=np.float32))
        info = index.info()
    shown = json.loads(run(tmp_path / "index", "--json").stdout)
    assert set(shown) == set(info)
    assert "8" in run(tmp_path / "index").stdout


def test_embeddings(catalog: Path, tmp_path: Path) -> None:
    from perisphere.catalog import Catalog
    from perisphere.encoder import Embeddings

    rows = Catalog.load(catalog).table
    Embeddings(np.eye(3, 4, dtype=np.float32), rows, root=tmp_path, encoder={"name": "tiny", "dim": 4}).save(
        tmp_path / "vectors"
    )
    facts = json.loads(run(tmp_path / "vectors", "--json").stdout)
    assert (facts["rows"], facts["dim"], facts["classes"], facts["encoder"]["name"]) == (3, 4, 1, "tiny")
    assert ["encoder.name", "tiny"] in [
        line.split() for line in run(tmp_path / "vectors").stdout.splitlines()
    ]


@pytest.mark.parametrize("option", ["--classes", "--seed"])
def test_options_of_the_sheet_need_one(option: str, catalog: Path) -> None:
    result = run(catalog, option, "3")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith(f"{option} 3: goes with --sheet")


def test_anything_else_is_an_error(catalog: Path, tmp_path: Path) -> None:
    for path, complaint in (
        (tmp_path / "none", "no such folder"),
        (tmp_path, "neither a catalog, an encoder, embeddings nor an index"),
        (tmp_path / "photos/notes.txt", "neither a catalog, an encoder, embeddings nor an index"),
    ):
        result = run(path)
        assert isinstance(result.exception, PerisphereError)
        assert complaint in str(result.exception)
    assert "sheet is .jpg" in str(run(catalog, "--sheet", tmp_path / "sheet.bmp").exception)


def test_a_sheet_is_for_catalogs(tmp_path: Path) -> None:
    (tmp_path / "encoder.json").write_text("{}")
    result = run(tmp_path, "--sheet", tmp_path / "sheet.png")
    assert isinstance(result.exception, UsageError)
    assert "a contact sheet shows a catalog" in str(result.exception)

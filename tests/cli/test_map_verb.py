import numpy as np
import polars as pl
from PIL import Image
from typer.testing import CliRunner

from perisphere.cli import map  # noqa: F401  (registers the verb)
from perisphere.cli.main import app
from perisphere.encoder.embeddings import Embeddings


def test_a_map_of_one_split(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = {"id": range(6), "path": [f"{n}.png" for n in range(6)], "split": ["index", "query"] * 3}
    rows = pl.DataFrame(table | {"label": ["a", None, "b"] * 2})
    for n in range(6):
        Image.new("RGB", (30, 30), (40 * n, 0, 0)).save(tmp_path / f"{n}.png")
    encoder = {"name": "e", "identity": "0" * 16, "dim": 4, "path": ""}
    Embeddings(vectors, rows, root=tmp_path, encoder=encoder).save(tmp_path / "vectors")
    words = ["--split", "index", "--method", "pca", "--side", "400", "--thumbnail", "30"]
    result = CliRunner().invoke(
        app, ["map", str(tmp_path / "vectors"), "-o", str(tmp_path / "m.png"), *words]
    )
    assert result.exit_code == 0, result.exception
    assert "3 of 3 photos" in result.stdout
    with Image.open(tmp_path / "m.png") as sheet:
        assert sheet.size == (400, 400)


def test_help_has_examples():
    assert "perisphere map photos.index" in CliRunner().invoke(app, ["map", "--help"]).stdout

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from perisphere.cli.main import app
from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.features import Features
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build
from perisphere.search.similar_files import read_results
from perisphere.search.similar_sheet import similar_answers

COLOURS = {"brick": (190, 70, 50), "grass": (60, 170, 70), "sky": (80, 130, 220)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Three identities of four photos, a query of each, a broken query, and the raw-pixel encoder."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for number in range(5):
            folder = tmp_path / ("queries" if number == 4 else "gallery") / name
            folder.mkdir(parents=True, exist_ok=True)
            noisy = np.array(colour) + rng.normal(scale=30, size=(30, 20, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{name}_{number}.png")
    (tmp_path / "queries" / "broken.jpg").write_bytes(b"")
    net = build(NetSpec(backbone="pixels", input_size=8))
    Encoder(net, Preprocessing(size=(8, 8), resize="squash"), name="pixels").save(tmp_path / "encoder")
    return tmp_path


def _run(*words: object) -> str:
    result = CliRunner().invoke(app, ["inference", *map(str, words)])
    assert result.exit_code == 0, result.exception
    return result.stdout


def _error(*words: object) -> str:
    result = CliRunner().invoke(app, ["inference", *map(str, words)])
    assert isinstance(result.exception, PerisphereError), result.output
    return str(result.exception)


def test_photos_to_features_to_similar_photos(place: Path) -> None:
    said = _run("embed", place / "gallery", "-e", place / "encoder", "-o", place / "g")
    assert "12 photos as 192 numbers each" in said
    words = ["similar", place / "queries", "-g", place / "g", "-e", place / "encoder", "--topk", 12]
    said = _run(*words, "-o", place / "r", "--sheet", place / "top.png", "--by", "folder")
    assert "3 queries against 12 photos" in said
    assert "skipped" in said
    assert "broken.jpg" in said
    found = read_results(place / "r" / "results.parquet")
    for row in found.iter_rows(named=True):
        assert len(row["paths"]) == 12
        assert {Path(path).parent.name for path in row["paths"][:4]} == {Path(row["query"]).parent.name}
    assert Image.open(place / "top.png").width > 2000
    left = sorted(path.name for path in place.iterdir())
    assert left == ["encoder", "g", "gallery", "queries", "r", "top.png"]


def test_centroids_and_features_as_queries(place: Path) -> None:
    words = ["--encoder", place / "encoder", "--json", "-o"]
    made = json.loads(_run("embed", place / "gallery", "--centroids", "--by", "name", *words, place / "c"))
    assert (made["rows"], made["photos"], made["centroids"]) == (3, 12, "name")
    assert Features.load(place / "c").names == ["brick", "grass", "sky"]
    asked = json.loads(_run("embed", place / "queries", *words, place / "q"))
    assert [Path(one["path"]).name for one in asked["skipped"]] == ["broken.jpg"]
    said = _run("similar", place / "q", "-g", place / "c", "--metric", "euclidean", "--normalize", "--format",
                "json", "--json", "-o", place / "r")  # fmt: skip
    assert json.loads(said)["queries"] == 3
    found = read_results(place / "r" / "results.json")
    assert [paths[0] for paths in found["paths"]] == ["brick", "grass", "sky"]
    answers = similar_answers(found, Features.load(place / "c"), distance="euclidean")
    assert all(answer.right(answer.results[0]) and answer.results[0].count == 4 for answer in answers)


def test_a_killed_search_takes_the_queries_that_were_embedded(place: Path, monkeypatch) -> None:
    _run("embed", place / "gallery", "-e", place / "encoder", "-o", place / "g")
    words = ["similar", place / "queries", "-g", place / "g", "-e", place / "encoder", "-o", place / "r"]
    with monkeypatch.context() as patch:
        patch.setattr("perisphere.search.similar.top_k", None)
        assert CliRunner().invoke(app, ["inference", *map(str, words)]).exit_code == 1
    assert (place / ".r.queries" / "embeddings.npy").exists()
    with monkeypatch.context() as patch:
        patch.setattr("perisphere.encoder.inference.Inference.__call__", None)
        _run(*words)
    assert not (place / ".r.queries").exists()


def test_published_arrays_are_a_gallery_and_its_results_convert(place: Path) -> None:
    _run("embed", place / "queries", "-e", place / "encoder", "-o", place / "q")
    (place / "old").mkdir()
    np.save(place / "old" / "embeddings.npy", np.load(place / "q" / "embeddings.npy")[:2])
    np.save(place / "old" / "paths.npy", np.array(["one.jpg", "two.jpg"], object))
    _run("similar", place / "q", "-g", place / "old", "-o", place / "r")
    paths = read_results(place / "r" / "results.parquet")["paths"].to_list()
    assert paths[:2] == [["one.jpg", "two.jpg"], ["two.jpg", "one.jpg"]]
    old = {"q.jpg": {"indices": np.array([0]), "paths": np.array(["a"]), "distances": np.array([0.5], "f4")}}
    np.save(place / "results.npy", old)
    assert "1 query in" in _run("convert", place / "results.npy", "-o", place / "results.json")


def test_wrong_words_are_one_line_and_nothing_is_written(place: Path) -> None:
    _run("embed", place / "gallery", "-e", place / "encoder", "-o", place / "g")
    net = build(NetSpec(backbone="pixels", input_size=4))
    Encoder(net, Preprocessing(size=(4, 4)), name="other").save(place / "other")
    similar = ["similar", place / "queries", "-g", place / "g", "-o", place / "r"]
    cases = [
        (
            ["embed", place / "gallery", "-e", place / "encoder", "-o", place / "x", "--by", "name"],
            "--by name",
        ),
        ([*similar, "-e", place / "encoder", "--by", "name"], "--by name: goes with --sheet"),
        ([*similar, "-e", place / "encoder", "--sheet", place / "a.gif"], "a sheet is a .jpg or .png"),
        (similar, "--encoder: .*queries holds photos; name the encoder"),
        ([*similar, "-e", place / "other"], "--encoder: .*g was embedded with another one"),
        (
            ["similar", place / "g", "-g", place / "g", "-e", place / "encoder", "-o", place / "r"],
            "Leave it out",
        ),
        (
            ["similar", place / "queries", "-g", place / "queries", "-o", place / "r"],
            r"no embeddings\.npy in it",
        ),
    ]
    for words, message in cases:
        with pytest.raises(PerisphereError, match=message):
            raise PerisphereError(_error(*words))
    assert not (place / "r").exists()
    assert issubclass(UsageError, PerisphereError)

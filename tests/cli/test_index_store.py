"""``perisphere index ... --store``: the verbs of an index whose vectors lie in Milvus."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from searchable import make
from typer.testing import CliRunner, Result

from perisphere.cli.main import app
from perisphere.encoder import Encoder, embed
from perisphere.errors import UsageError
from perisphere.index.filling import _catalog

pytest.importorskip("milvus_lite")


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def answer(*words: object) -> dict:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, their embeddings, and an index of them over each store."""
    root = tmp_path_factory.mktemp("world")
    _, encoder = make(root / "made")
    encoder.save(root / "encoder")
    photos = root / "photos"
    for label in ("dark", "light"):
        shutil.copytree(root / "made" / label, photos / label)
    embed(_catalog(photos), Encoder.load(root / "encoder"), root / "vectors")
    for name, store in (("sqlite", []), ("milvus", ["--store", root / "vectors.db"])):
        words = ["create", root / name, root / "vectors", "-e", root / "encoder", "--centroids", *store]
        assert answer("index", *words)["images"] == 8
    return root


def plain(answered: Any) -> Any:
    """An answer without what tells the stores apart: the road, the name of the index, the last digits."""
    if isinstance(answered, dict):
        return {name: plain(value) for name, value in answered.items() if name not in ("road", "index")}
    if isinstance(answered, list):
        return [plain(value) for value in answered]
    return round(answered, 5) if isinstance(answered, float) else answered


def test_the_verbs_answer_as_they_do_without_a_store(world: Path) -> None:
    photo = world / "photos" / "dark" / "0.png"
    for words in (
        ["search", photo, "--filter", "label == 'dark'"],
        ["search", photo, "--among", "centroids"],
        ["search", photo, "--exclude-self", "--metric", "l2", "-k", "3"],
        ["classify", photo, world / "photos" / "light" / "1.png"],
    ):
        ours, theirs = (answer(words[0], world / name, *words[1:]) for name in ("sqlite", "milvus"))
        assert plain(theirs) == plain(ours)


def test_the_index_is_looked_after_as_ever(world: Path, tmp_path: Path) -> None:
    for name in ("milvus", "vectors.db", "encoder", "photos"):
        copy = shutil.copytree if (world / name).is_dir() else shutil.copy
        copy(world / name, tmp_path / name)
    index = tmp_path / "milvus"
    assert answer("index", "info", index)["store"]["address"] == "vectors.db", "both were moved"
    assert answer("index", "add", index, tmp_path / "photos") == {
        "added": 8,
        "ids": [*range(9, 17)],
        "images": 16,
    }
    assert answer("index", "duplicates", index)[0][0]["id"] == 1
    assert answer("index", "calibrate", index)["source"] == "labels"
    assert answer("index", "remove", index, "--filter", "id > 8")["removed"] == 8
    assert answer("index", "compact", index)["reclaimed"] == 8
    assert answer("index", "verify", index) == {"images": 8, "problems": []}
    shown = run("index", "info", index).output
    assert "store          vectors.db, collection perisphere_milvus_" in shown
    assert " KiB, the folder alone\n" in shown
    assert "blocks" not in shown
    assert run("index", "regions", index, tmp_path / "photos").exit_code == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--store", "vectors"], "the store 'vectors' is unknown: give milvus://HOST:PORT"),
        (["--store", "milvus://a:b@host"], "MILVUS_TOKEN"),
        (["--store", "x.db", "--recall", "0.9"], "recall: an index over a store"),
        (["--store", "x.db", "--metric", "l1"], "the metric l1"),
    ],
)
def test_wrong_words(world: Path, words: list[str], message: str) -> None:
    result = run("index", "create", world / "new", world / "vectors", *words)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (world / "new").exists()

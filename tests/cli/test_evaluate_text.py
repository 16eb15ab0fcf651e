import json
import re
import shlex

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from perisphere.cli import evaluate  # noqa: F401  (registers the verb)
from perisphere.cli.evaluate_reid import own
from perisphere.cli.main import app
from perisphere.encoder.embeddings import Embeddings
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.tags import Tags

NAMES = ("beach", "dome", "night")


def run(*words):
    return CliRunner().invoke(app, ["evaluate", "text", *map(str, words)])


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """60 photos, each near the vector of one tag, which every second one carries; 6 are queries."""
    folder = tmp_path_factory.mktemp("text")
    rng = np.random.default_rng(0)
    words = Tags(NAMES, rng.standard_normal((3, 8)), np.ones(3), {name: name for name in NAMES})
    words.save(folder / "tags")
    vectors = words.unit[np.arange(60) % 3] + rng.standard_normal((60, 8)) * 0.1
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    rows = pl.DataFrame(
        {
            "id": range(60),
            "path": [f"{row}.jpg" for row in range(60)],
            "split": ["query" if row < 6 else "gallery" for row in range(60)],
            "label": [NAMES[row % 3] for row in range(60)],
            "tags": [[NAMES[row % 3]] if row % 2 else [] for row in range(60)],
        },
        schema_overrides={"tags": pl.List(pl.String)},
    )
    Embeddings(vectors, rows, root=folder, encoder={"name": "e", "dim": 8}).save(folder / "vectors")
    return folder


def test_the_concepts_ask_by_their_names(album, tmp_path):
    done = run(album / "vectors", "--tags", album / "tags", "--at", "5,10", "--per-text", tmp_path / "t.csv")
    assert done.exit_code == 0, done.exception
    for word in ("vectors", "BM25 merged", "precision@5", "precision@10", "texts without known tag"):
        assert word in done.stdout
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0].startswith("text,right photos,known tags,vectors precision@5")
    assert [line.split(",")[0] for line in lines[1:]] == list(NAMES)


def test_every_example_with_tags_runs(album, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, of in {"vectors": "vectors", "tags": "tags", "encoder": "tags"}.items():
        (tmp_path / name).symlink_to(album / of)
    (tmp_path / "queries.txt").write_text("dome\n")
    help_of = typer.main.get_command(own).commands["text"].help
    examples = re.findall(r"`perisphere evaluate ([^`]+ --tags [^`]*)`", help_of)
    assert len(examples) == 2
    for example in examples:
        done = CliRunner().invoke(app, ["evaluate", *shlex.split(example)])
        assert done.exit_code == 0, (example, done.exception)


def test_json_and_a_file_of_queries(album, tmp_path):
    (tmp_path / "queries.txt").write_text("dome\nthe beach\tbeach\n")
    words = (
        "--tags",
        album / "tags",
        "--queries",
        tmp_path / "queries.txt",
        "--json",
        "-o",
        tmp_path / "r.json",
    )
    done = run(album / "vectors", *words)
    assert done.exit_code == 0, done.exception
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "r.json").read_text())
    assert report["counts"]["gallery"] == 54
    assert report["values"]["vectors precision@10"] == 1
    assert report["values"]["BM25 recall"] == 0.5


def test_an_index_is_judged_like_its_vectors(album, tmp_path):
    made = Embeddings.load(album / "vectors")
    with Index.create(tmp_path / "photos.index", 8) as index:
        index.add(made.vectors, made.rows.drop("id"), root=made.root)
    mine, theirs = (
        json.loads(run(folder, "--tags", album / "tags", "--json").stdout)["values"]
        for folder in (album / "vectors", tmp_path / "photos.index")
    )
    assert mine == pytest.approx(theirs, abs=1e-6)


def test_all_photos_are_searched_on_demand(album):
    done = run(album / "vectors", "--tags", album / "tags", "--gallery", "gallery,query", "--json")
    assert json.loads(done.stdout)["counts"]["gallery"] == 60


def test_bad_words_are_named(album, tmp_path):
    tags = ("--tags", album / "tags")
    for words, error, message in (
        ((), PerisphereError, "name its tags with --tags"),
        (("--tags", tmp_path / "none"), PerisphereError, "none"),
        ((*tags, "--at", "ten"), UsageError, "--at 'ten'"),
        ((*tags, "--per-text", tmp_path / "t.txt"), UsageError, "ends in .csv"),
        ((*tags, "--queries", tmp_path / "none.txt"), PerisphereError, "cannot be read"),
        ((*tags, "--gallery", "test"), PerisphereError, "no row of split 'test'"),
    ):
        done = run(album / "vectors", *words)
        assert isinstance(done.exception, error), (words, done.exception)
        assert message in str(done.exception)

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
from perisphere.codes.codebooks import Codebooks
from perisphere.encoder.embeddings import Embeddings
from perisphere.errors import PerisphereError, UsageError


def run(*words):
    return CliRunner().invoke(app, ["evaluate", "hashing", *map(str, words)])


def figures(*words):
    done = run(*words, "--json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def embeddings(folder, splits, rows):
    """Vectors near one of three directions, the concept of the photo."""
    rng = np.random.default_rng(0)
    of = np.arange(90) % 3
    vectors = rng.standard_normal((3, 8))[of] + rng.standard_normal((90, 8)) * 0.6
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    table = pl.DataFrame(
        {
            "id": range(90),
            "path": [f"{row}.jpg" for row in range(90)],
            "split": splits,
            "label": [None] * 90,
            "concepts": [[f"c{number}"] for number in of],
        },
        schema_overrides={"label": pl.String},
    )
    some = np.array(rows)
    kept = Embeddings(vectors[some], table[some], root=folder.parent, encoder={"name": "e", "dim": 8})
    kept.save(folder)
    return folder, vectors


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hashing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("perisphere.metrics.hashing_figures.TIMED_SECONDS", 0.001)
        splits = ["query", *["gallery"] * 8] * 10
        _, vectors = embeddings(folder / "vectors", splits, range(90))
        embeddings(folder / "asked", [None] * 90, range(0, 90, 9))
        embeddings(folder / "shown", [None] * 90, [row for row in range(90) if row % 9])
        Codebooks(vectors[None, :20], "additive").save(folder / "codebooks.npz")
        yield folder


def test_floats_and_codes_stand_side_by_side(places):
    done = run(places / "vectors", "--codebooks", places / "codebooks.npz", "--at", "5,20")
    assert done.exit_code == 0, done.exception
    for word in ("float", "asymmetric", "symmetric", "MAP@5", "strict MAP@20", "bytes an image", "gallery"):
        assert word in done.stdout
    found = figures(places / "vectors", "--codebooks", places / "codebooks.npz", "--at", "5,20")
    assert found["values"]["asymmetric bytes an image"] == 1
    assert found["counts"]["gallery"] == 80
    assert found["options"]["R"] == [5, 20]


def test_two_folders_are_as_one(places):
    options = ("--codebooks", places / "codebooks.npz", "--at", "10")
    one = figures(places / "vectors", *options)
    two = figures(places / "asked", places / "shown", *options)
    same = [name for name in one["values"] if not name.endswith("second")]
    assert {name: one["values"][name] for name in same} == {name: two["values"][name] for name in same}
    assert two["data"]["gallery_source"] == str(places / "shown")


def test_ties_by_expectation_do_not_change_floats(places):
    options = (places / "vectors", "--codebooks", places / "codebooks.npz", "--at", "10")
    by_order, by_mean = (figures(*options, "--ties", ties)["values"] for ties in ("database", "expected"))
    assert by_order["float MAP@10"] == pytest.approx(by_mean["float MAP@10"])
    assert by_order["symmetric MAP@10"] != by_mean["symmetric MAP@10"]


def test_report_and_curves_are_written(places, tmp_path):
    done = run(places / "vectors", "--at", "10", "-o", tmp_path / "r.json", "--csv", tmp_path / "c.csv")
    assert done.exit_code == 0, done.exception
    assert json.loads((tmp_path / "r.json").read_text())["protocol"] == "hashing"
    assert (tmp_path / "c.csv").read_text().startswith("places,float precision,float recall\n")
    compared = CliRunner().invoke(app, ["evaluate", "compare", str(tmp_path / "r.json")] * 1)
    assert "float MAP@10" in compared.stdout


def test_every_example_of_the_help_runs(places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vectors").symlink_to(places / "vectors")
    (tmp_path / "queries").symlink_to(places / "asked")
    (tmp_path / "database").symlink_to(places / "shown")
    for name in ("codebooks.npz", "pq.npz", "encoder"):
        (tmp_path / name).symlink_to(places / "codebooks.npz")
    words = ["codes", "encode", "vectors", "--codebooks", "pq.npz", "-o", "vectors.codes"]
    assert CliRunner().invoke(app, words).exit_code == 0
    examples = re.findall(
        r"`perisphere evaluate ([^`]+)`", typer.main.get_command(own).commands["hashing"].help
    )
    assert len(examples) == 4
    for example in examples:
        done = CliRunner().invoke(app, ["evaluate", *shlex.split(example)])
        assert done.exit_code == 0, (example, done.exception)


def test_bad_words_are_named(places, tmp_path):
    for words, error, message in (
        (("--at", "many"), UsageError, "--at 'many'"),
        (("--at", "0"), UsageError, "from 1 on"),
        (("--floats", "--codebooks", "codebooks.npz"), UsageError, "give one of --floats"),
        (("--codebooks", tmp_path / "none.npz"), PerisphereError, "not found"),
        (("--codebooks", places / "vectors"), PerisphereError, "name a file of codebooks"),
        (("--query", "test"), PerisphereError, "no row of split 'test'"),
    ):
        done = run(places / "vectors", *words)
        assert isinstance(done.exception, error), words
        assert message in str(done.exception)


def test_a_damaged_file_of_codebooks_is_refused(places, tmp_path):
    bad = tmp_path / "bad.npz"
    bad.write_bytes((places / "codebooks.npz").read_bytes()[:200])
    done = run(places / "vectors", "--codebooks", bad)
    assert isinstance(done.exception, PerisphereError)
    assert str(bad) in str(done.exception)

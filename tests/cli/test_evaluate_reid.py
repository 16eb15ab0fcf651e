import json
import re
import shlex

import numpy as np
import polars as pl
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from perisphere.cli import evaluate  # noqa: F401  (registers the verb)
from perisphere.cli.evaluate_reid import own
from perisphere.cli.main import app
from perisphere.encoder.embeddings import Embeddings
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index


def run(*words):
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def figures(*words):
    done = run(*words, "--json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """Two photos of each of 5 people by each of 3 cameras: a query and one of the gallery; 4 strangers."""
    folder = tmp_path_factory.mktemp("reid")
    rng = np.random.default_rng(0)
    of, by = np.repeat(np.arange(1, 6), 6), np.tile(np.repeat(np.arange(3), 2), 5)
    unscaled = rng.standard_normal((6, 8))[of] + rng.standard_normal((30, 8)) * 0.8
    unscaled = np.concatenate([unscaled, rng.standard_normal((4, 8))]).astype(np.float32)
    labels = [f"{identity:04}" for identity in of] + ["0000"] * 4
    names = [f"{label}_{row}.png" for row, label in enumerate(labels)]
    for row, name in enumerate(names):
        Image.new("RGB", (12, 24), (row * 7 % 256, 90, 60)).save(folder / name)
    rows = pl.DataFrame(
        {
            "id": range(34),
            "path": names,
            "split": ["query", "gallery"] * 15 + ["gallery"] * 4,
            "label": labels,
            "camera": [str(camera) for camera in by] + ["0"] * 4,
            "domain": [["user", "shop"][row % 2] for row in range(34)],
            "box": pl.Series([None] * 34, dtype=pl.List(pl.Int64)),
        }
    )
    unit = unscaled / np.linalg.norm(unscaled, axis=1, keepdims=True)
    Embeddings(unit, rows, root=folder, encoder={"name": "e", "dim": 8}).save(folder / "vectors")
    return folder / "vectors"


def test_reid_shows_figures_and_counts(vectors):
    shown = run("reid", vectors).stdout
    for word in ("mAP", "mINP", "rank-1", "rank-50", "queries skipped", "cameras"):
        assert word in shown
    found = figures("reid", vectors)
    assert found["protocol"] == "reid"
    assert found["counts"]["queries"] == 15
    assert found["values"]["mAP"] < figures("reid", vectors, "--ignore-cameras")["values"]["mAP"]
    assert list(figures("reid", vectors, "-k", "3,1")["values"]) == ["mAP", "mINP", "rank-1", "rank-3"]


def test_centroid_gives_honest_and_published_figures(vectors):
    found = figures("centroid", vectors)
    assert {"mAP", "asked mAP", "published mAP", "published rank-50"} <= set(found["values"])
    assert found["counts"]["photos_by_themselves"] == 4


def test_centroids_are_of_features_whose_lengths_were_kept(vectors, tmp_path):
    unit = Embeddings.load(vectors)
    lengths = np.linspace(0.1, 9, len(unit), dtype=np.float32)
    kept = Embeddings(unit.vectors, unit.rows, root=unit.root, encoder=unit.encoder, lengths=lengths)
    raw, plain = figures("centroid", kept.save(tmp_path / "kept")), figures("centroid", vectors)
    assert "as the network gave them" in raw["conventions"]["centroid"]
    assert "length 1" in plain["conventions"]["centroid"]
    assert raw["values"]["mAP"] != plain["values"]["mAP"]


def test_both_protocols_print_both(vectors, tmp_path):
    report = tmp_path / "report.json"
    one, other = (figures(name, vectors, "--both", "-o", report) for name in ("reid", "centroid"))
    assert one["values"] == other["values"]
    assert json.loads(report.read_text())["values"] == one["values"]
    assert one["values"]["centroid mAP"] == figures("centroid", vectors)["values"]["mAP"]
    assert "centroid mAP" in run("compare", report).stdout


@pytest.mark.parametrize("protocol", ["reid", "centroid"])
def test_files_of_single_queries_and_a_sheet(protocol, vectors, tmp_path):
    table, sheet, plots = tmp_path / "queries.csv", tmp_path / "worst.png", tmp_path / "plots"
    found = figures(protocol, vectors, "--per-query", table, "--worst", sheet, "--plots", plots)
    rows = pl.read_csv(table)
    assert rows["average_precision"].mean() == pytest.approx(found["values"]["mAP"])
    assert rows["average_precision"].is_sorted()
    assert Image.open(sheet).width > 300
    assert (plots / "cmc.svg").is_file()


def test_user_to_shop(vectors):
    found = figures("reid", vectors, "--user-to-shop")
    assert list(found["values"]) == ["mAP", "mINP", "top-1", "top-10", "top-20", "top-50"]
    assert found["options"]["user_to_shop"]
    assert not found["options"]["cameras"]


def test_reranking_by_k_reciprocal_neighbours(vectors):
    found = figures("reid", vectors, "--rerank", "kreciprocal", "--depth", "19")
    assert found["options"]["rerank"].startswith("kreciprocal")
    assert found["values"]["mAP"] != figures("reid", vectors)["values"]["mAP"]


def test_an_index_is_judged_like_its_vectors(vectors, tmp_path):
    folder = tmp_path / "photos.index"
    made = Embeddings.load(vectors)
    with Index.create(folder, 8) as index:
        index.add(made.vectors, made.rows.drop("id"), root=made.root)
    for protocol in ("reid", "centroid"):
        assert figures(protocol, folder)["values"] == pytest.approx(
            figures(protocol, vectors)["values"], abs=1e-6
        )


@pytest.mark.parametrize("protocol", ["reid", "centroid", "retrieval"])
def test_an_index_of_centroids_only_names_what_to_judge_instead(protocol, vectors, tmp_path):
    folder = tmp_path / "small.index"
    made = Embeddings.load(vectors)
    with Index.create(folder, 8, centroids="only") as index:
        index.add(made.vectors, made.rows.drop("id"), root=made.root)
    done = run(protocol, folder)
    assert isinstance(done.exception, PerisphereError)
    assert "keeps centroids only, and no vectors of the photos. Name the embeddings" in str(done.exception)


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["reid", "--per-query", "q.txt"], UsageError, "ends in .parquet or .csv"),
        (["reid", "--worst", "q.txt"], UsageError, "q.txt"),
        (["centroid", "--worst", "q.txt"], UsageError, "q.txt"),
        (["reid", "--user-to-shop", "--ignore-cameras"], UsageError, "leave --ignore-cameras out"),
        (["reid", "--depth", "9"], UsageError, "give --rerank too"),
        (["reid", "--rerank", "kreciprocal", "--block", "3"], UsageError, "--block means nothing"),
        (["reid", "-k", "one"], UsageError, "give whole numbers"),
        (["centroid", "--query", "gallery"], PerisphereError, "in their own centroids"),
        (["centroid", "--gallery", "attic"], PerisphereError, "no row of split 'attic'"),
    ],
)
def test_bad_input_is_one_line_before_the_work(words, kind, message, vectors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(words[0], vectors, *words[1:], "-o", "report.json")
    assert isinstance(done.exception, kind)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "example",
    [
        example
        for protocol in ("reid", "centroid")
        for example in re.findall(
            r"`perisphere evaluate ([^`]+ vectors[^`]*)`", typer.main.get_command(own).commands[protocol].help
        )
    ],
)
def test_every_example_of_the_help_runs(example, vectors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vectors").symlink_to(vectors)
    done = run(*shlex.split(example))
    assert done.exit_code == 0, done.exception


def test_help_has_examples_and_other_protocols_keep_theirs(vectors):
    for protocol in ("reid", "centroid"):
        assert f"perisphere evaluate {protocol} vectors" in run(protocol, "--help").stdout
    assert "evaluate reid --help" in " ".join(run("--help").stdout.split())
    assert run("centroid", vectors, "--rerank", "kreciprocal").exit_code == 2
    assert figures("retrieval", vectors)["protocol"] == "retrieval"

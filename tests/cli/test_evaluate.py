import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from perisphere.cli import evaluate  # noqa: F401  (registers the verb)
from perisphere.cli.main import app
from perisphere.encoder.embeddings import Embeddings
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index


def run(*words):
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def rows(n, labels):
    return pl.DataFrame(
        {
            "id": range(n),
            "path": [f"{i}.jpg" for i in range(n)],
            "split": ["query" if i < 5 else "index" for i in range(n)],
            "label": labels,
        },
        schema={"id": pl.Int64, "path": pl.String, "split": pl.String, "label": pl.String},
    )


@pytest.fixture
def vectors():
    found = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture
def embeddings(vectors, tmp_path):
    labels = [str(i % 3) for i in range(30)]
    encoder = {"name": "e", "identity": "0" * 16, "dim": 8, "path": ""}
    Embeddings(vectors, rows(30, labels), root=tmp_path, encoder=encoder).save(tmp_path / "vectors")
    return tmp_path / "vectors"


def test_an_index_gives_what_its_embeddings_give(embeddings, vectors, tmp_path):
    with Index.create(tmp_path / "photos.index", 8) as index:
        index.add(vectors, Embeddings.load(embeddings).rows.drop("id"), root=tmp_path)
    found = [json.loads(run("retrieval", source, "--json").stdout) for source in (embeddings, index.folder)]
    assert found[0]["values"] == pytest.approx(found[1]["values"])
    assert found[0]["counts"]["queries"] == found[1]["counts"]["queries"] == 30


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_an_index_is_judged_by_its_own_metric(vectors, tmp_path, metric):
    with Index.create(tmp_path / "photos.index", 8, metric=metric) as index:
        index.add(vectors, rows(30, [str(i % 3) for i in range(30)]))

    def judged_by(*words):
        report = json.loads(run("classification", tmp_path / "photos.index", "--json", *words).stdout)
        return report["options"]["metric"]

    assert judged_by() == metric
    assert judged_by("--metric", "l2") == "l2"


def test_retrieval_with_splits_plots_and_report(embeddings, tmp_path):
    out = tmp_path / "report.json"
    words = ["--query", "query", "--gallery", "index", "--k", "1,3", "--metric", "l2", "--block", 2]
    result = run("landmark", embeddings, *words, "-o", out, "--plots", tmp_path / "plots")
    assert result.exit_code == 0, result.exception
    assert "mAP@3" in result.stdout
    report = json.loads(out.read_text())
    assert report["counts"]["queries"] == 5
    assert report["counts"]["gallery"] == 25
    assert report["options"]["metric"] == "l2"
    assert len(list((tmp_path / "plots").glob("*.svg"))) == 3


def test_classification_and_compare(embeddings, tmp_path):
    for name, count in (("few", 1), ("many", 9)):
        result = run(
            "classification", embeddings, "--neighbours", count, "--vote", "majority", "-o", tmp_path / name
        )
        assert result.exit_code == 0, result.exception
        assert "balanced" in result.stdout
    compared = run("compare", tmp_path / "few", tmp_path / "many", "--json", "-o", tmp_path / "both.json")
    values = json.loads(compared.stdout)
    assert set(values) == {"few", "many"}
    assert values == json.loads((tmp_path / "both.json").read_text())
    assert "few" in run("compare", tmp_path / "few", tmp_path / "many").stdout


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["retrieval", "{}", "--k", "1,x"], UsageError, "--k '1,x'"),
        (["retrieval", "{}", "--vote", "majority"], UsageError, "--vote means nothing for retrieval"),
        (["classification", "{}", "--plots", "p"], UsageError, "--plots means nothing for classification"),
        (["compare", "{}", "--metric", "l1"], UsageError, "--metric means nothing for compare"),
        (["retrieval", "{}", "{}"], UsageError, "2 were named"),
        (["retrieval", "{}/nowhere"], PerisphereError, "does not exist"),
        (["retrieval", "{}/.."], PerisphereError, "neither an embeddings folder"),
        (["retrieval", "{}", "--query", "test"], PerisphereError, "splits here are index, query"),
    ],
)
def test_errors_name_the_place_and_the_mend(embeddings, words, kind, said):
    result = run(*[word.replace("{}", str(embeddings)) for word in words])
    assert type(result.exception) is kind
    assert said in str(result.exception)


def test_words_that_the_parser_refuses(embeddings):
    for words in (["beauty", embeddings], ["retrieval"], ["retrieval", embeddings, "--block", 0]):
        assert run(*words).exit_code == 2


def test_help_has_examples():
    assert "perisphere evaluate classification" in run("--help").stdout


def test_a_report_names_the_seeds_behind_it(tmp_path):
    from PIL import Image

    from perisphere.catalog.readers import read
    from perisphere.catalog.split import split
    from perisphere.encoder import Encoder, Preprocessing, embed
    from perisphere.nets import NetSpec, build

    for number in range(8):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (9, 9, 3), np.uint8)).save(path)
    net = build(NetSpec(backbone="pixels", input_size=4))
    encoder = Encoder(net, Preprocessing(size=(4, 4)), name="e", provenance={"seed": 7})
    catalog = split(read("folders", tmp_path / "photos"), seed=5).catalog
    embed(catalog, encoder, tmp_path / "vectors")
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        made = Embeddings.load(tmp_path / "vectors")
        index.add(made.vectors, made.rows.drop("id"), root=made.root)
    for source, seeds in (("vectors", {"encoder": 7, "split": 5}), ("index", {"encoder": 7})):
        for protocol in ("retrieval", "classification"):
            report = json.loads(run(protocol, tmp_path / source, "--query", "train", "--json").stdout)
            assert report["seeds"] == seeds

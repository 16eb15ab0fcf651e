import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import searchable
from typer.testing import CliRunner

from perisphere.cli.main import app
from perisphere.codes import Codebooks
from perisphere.encoder import Encoder, embed
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index


def invoke(*words: object):
    return CliRunner().invoke(app, list(map(str, words)))


def run(*words: object) -> str:
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Photos, their embeddings, an encoder with and one without codebooks, and these in files."""
    from perisphere.catalog.readers import read

    root = tmp_path_factory.mktemp("coded")
    _, encoder = searchable.make(root / "made")
    (root / "photos").mkdir()
    for label in ("dark", "light"):
        (root / "made" / label).rename(root / "photos" / label)
    catalog = read("folders", root / "photos")
    encoder.save(root / "encoder")
    vectors = embed(catalog, encoder, root / "vectors").vectors
    words = np.random.default_rng(0).standard_normal((2, 6, encoder.dim)).astype(np.float32)
    words[0, :2], words[1, :2] = vectors[[0, 4]], 0
    books = Codebooks(words / [[[1]], [[50]]], "residual")
    books.save(root / "books.npz")
    replace(books, unit=False).save(root / "raw.npz")
    Encoder(encoder.net, encoder.preprocessing, name="pixels", codebooks=books).save(root / "coding")
    return root


@pytest.fixture(params=["books.npz", "coding"])
def beside(request, world, tmp_path) -> Path:
    run("index", "create", tmp_path / "index", world / "vectors", "--codes", world / request.param)
    return tmp_path / "index"


def test_codebooks_of_a_file_and_of_an_encoder_make_the_same_codes(world, beside):
    info = json.loads(run("index", "info", beside, "--json"))
    assert info["codes"]["mode"] == "beside"
    assert (info["codes"]["bits"], info["codes"]["bytes"], info["images"]) == (16, 16, 8)
    with Index.open(beside) as index:
        assert index.codebooks.fingerprint == Codebooks.load(world / "books.npz").fingerprint
        assert index.verify() == []
    line = next(line for line in run("index", "info", beside).splitlines() if line.startswith("codes"))
    assert "residual, 16 bits, 2.0 bytes an image, beside the vectors" in line


def test_a_photo_finds_its_kind_by_codes(world, beside):
    photo = world / "photos" / "dark" / "1.png"
    for words, road in (
        ([], "codes of 16 bits, the best 100 by vectors"),
        (["--shortlist", 5], "codes of 16 bits, the best 5 by vectors"),
        (["--shortlist", 0], "codes of 16 bits"),
        (["--symmetric"], "symmetric codes of 16 bits"),
        (["--exact"], "exact"),
        (["--filter", "label is not null"], "codes of 16 bits, the best 100 by vectors + filter"),
    ):
        found = json.loads(run("search", beside, photo, "-k", 4, "--exclude-self", "--json", *words))
        assert found["road"] == road
        results = found["queries"][0]["results"]
        assert [result["label"] for result in results[:3]] == ["dark"] * 3
        assert str(photo) not in [result["path"] for result in results]


def test_codes_instead_of_vectors_answer_too(world, tmp_path):
    folder = tmp_path / "index"
    run("index", "create", folder, world / "vectors", "--codes", world / "books.npz", "--codes-only")
    assert "instead of vectors" in run("index", "info", folder)
    assert "8 images, all whole" in run("index", "verify", folder)
    light = world / "photos" / "light" / "2.png"
    found = json.loads(run("search", folder, light, "-k", 3, "--rerank", "aqe(n=2)", "--json"))
    assert [result["label"] for result in found["queries"][0]["results"]] == ["light"] * 3
    assert "8 images added" in run("index", "add", folder, world / "photos")
    assert "2 images removed; 14 are left" in run("index", "remove", folder, "--ids", "1,9")
    run("index", "compact", folder)
    assert "14 images, all whole" in run("index", "verify", folder)


REFUSED = {
    "raw": (["create", "{0}", "vectors", "--codes", "raw.npz"], PerisphereError, "--start CODEBOOKS"),
    "none": (["create", "{0}", "vectors", "--codes", "encoder"], PerisphereError, "has no codebooks"),
    "missing": (["create", "{0}", "vectors", "--codes", "no.npz"], PerisphereError, "no.npz: not found"),
    "only what": (["create", "{0}", "vectors", "--codes-only"], UsageError, "name the codebooks"),
    "metric": (
        ["create", "{0}", "vectors", "--codes", "books.npz", "--metric", "l2"],
        UsageError,
        "use cosine",
    ),
    "recall": (
        ["create", "{0}", "vectors", "--codes", "books.npz", "--recall", ".9"],
        UsageError,
        "Leave it out",
    ),
    "centroids": (
        ["create", "{0}", "vectors", "--codes", "books.npz", "--centroids-only"],
        UsageError,
        "--centroids-only out",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_made_is_refused_in_a_line(world, tmp_path, monkeypatch, case):
    monkeypatch.chdir(world)
    words, kind, message = REFUSED[case]
    result = invoke("index", *(word.format(tmp_path / "index") for word in words))
    assert type(result.exception) is kind
    assert message in str(result.exception)
    assert not (tmp_path / "index").exists()


MEANINGLESS = {
    "precision": (["--symmetric", "--min-precision", "0.9"], "Cut by a score"),
    "re-ranking": (["--shortlist", "0", "--rerank", "aqe"], "re-ranking goes by"),
    "short": (["--shortlist", "3"], "holds no 5 results"),
    "exact": (["--symmetric", "--exact"], "leave the short list and symmetric out"),
    "centroids": (["--symmetric", "--among", "centroids"], "centroids have no codes"),
}


@pytest.mark.parametrize("case", MEANINGLESS)
def test_a_search_by_codes_that_means_nothing_is_refused(world, tmp_path, case):
    words, message = MEANINGLESS[case]
    folder = tmp_path / "index"
    run("index", "create", folder, world / "vectors", "--codes", world / "books.npz")
    result = invoke("search", folder, world / "photos" / "dark" / "1.png", *words)
    assert type(result.exception) is UsageError
    assert message in str(result.exception)

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

import perisphere.cli.codes  # noqa: F401  registers the verb
from perisphere.catalog import Catalog
from perisphere.cli.main import app
from perisphere.codes import Codebooks
from perisphere.codes.code_folder import CodeFolder
from perisphere.encoder import Embeddings, Encoder, Preprocessing, embed
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build
from perisphere.tags import Tags


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Photos, an encoder of their pixels, its vectors, and tags of as many numbers."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    for number in range(48):
        shade = rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)
        Image.fromarray(shade.repeat(6, axis=0).repeat(6, axis=1)).save(root / f"{number}.png")
    splits = ["train"] * 30 + ["query"] * 8 + ["gallery"] * 10
    table = pl.DataFrame({"id": range(48), "path": [f"{n}.png" for n in range(48)], "split": splits})
    encoder = Encoder(build(NetSpec(backbone="pixels", input_size=2)), Preprocessing(size=(2, 2)), name="p")
    encoder.save(root / "encoder")
    embed(Catalog(table, root), encoder, root / "vectors")
    names = ("red", "green", "blue")
    points = rng.normal(size=(3, encoder.dim)).astype(np.float32)
    Tags(names, points, np.ones(3, np.int64), {name: name for name in names}, {}).save(root / "tags")
    return root


def _run(*words: object) -> str:
    result = CliRunner().invoke(app, ["codes", *map(str, words)])
    assert result.exit_code == 0, f"{result.output} {result.exception!r}"
    return result.stdout


def _refused(*words: object) -> str:
    result = CliRunner().invoke(app, ["codes", *map(str, words)])
    assert isinstance(result.exception, PerisphereError), result.output
    assert "\n" not in str(result.exception)
    return f"{type(result.exception).__name__}: {result.exception}"


@pytest.fixture
def books(world, tmp_path) -> Path:
    _run("fit", world / "vectors", "-o", tmp_path / "books.npz", "--words", 8, "--bits", 16)
    return tmp_path / "books.npz"


@pytest.mark.parametrize("kind", ["pq", "opq", "rq", "additive"])
def test_from_vectors_to_answers(world, tmp_path, kind) -> None:
    fit = ["fit", world / "vectors", "-o", tmp_path / "b.npz", "--kind", kind, "--words", 8, "--bits", 24]
    facts = json.loads(_run(*fit, "--json"))
    assert (facts["books"], facts["words"], facts["bits"]) == (3, 8, 24)
    assert facts["about"]["vectors"] == 30  # of the split train
    assert facts["about"]["encoder"] == Encoder.load(world / "encoder").identity
    encode = ["encode", world / "vectors", "-c", tmp_path / "b.npz", "-o", tmp_path / "codes", "--json"]
    assert json.loads(_run(*encode))["images"] == 48
    assert 0 < json.loads(_run("info", tmp_path / "codes", "--json"))["run"]["lost"] < 0.5
    answers = json.loads(
        _run("search", tmp_path / "codes", world / "vectors", "--split", "query", "-k", 3, "--json")
    )["answers"]
    assert [answer["query"] for answer in answers] == [f"{number}.png" for number in range(30, 38)]
    found, made = CodeFolder.load(tmp_path / "codes"), Embeddings.load(world / "vectors")
    scores = made.vectors[30:38] @ found.codebooks.decode(found.codes).T
    for answer, row in zip(answers, scores, strict=True):
        assert [hit["score"] for hit in answer["results"]] == pytest.approx(sorted(row)[:-4:-1], abs=1e-5)


def test_what_is_printed(world, books, tmp_path) -> None:
    assert "16 bits an image, 2 x 8 additive words of 12 numbers for unit rows" in _run("info", books)
    said = _run("encode", world / "vectors", "-c", books, "-o", tmp_path / "c", "--split", "gallery,query")
    assert "18 images" in said
    assert "% of the squared lengths lost" in said
    said = _run("search", tmp_path / "c", world / "31.png", "-e", world / "encoder", "-k", 2)
    assert said.splitlines()[0].endswith("31.png")
    assert len(said.splitlines()) == 3


def test_a_photo_is_found_by_its_own_code(world, books, tmp_path) -> None:
    _run("encode", world / "vectors", "-c", books, "-o", tmp_path / "c", "--restarts", 2, "--seed", 4)
    found = CodeFolder.load(tmp_path / "c")
    assert (found.run["restarts"], found.run["sweeps"], found.run["seed"]) == (2, None, 4)
    words = ["search", tmp_path / "c", world / "3.png", "-e", world / "encoder", "-k", 48, "--json"]
    for symmetric in ([], ["--symmetric"]):
        answer = json.loads(_run(*words, *symmetric))
        assert answer["symmetric"] == bool(symmetric)
        (found_rows,) = answer["answers"]
        assert len(found_rows["results"]) == 48
        assert "3.png" in [hit["path"] for hit in found_rows["results"][:5]]


def test_tags_make_the_metric_and_start_brings_books(world, books, tmp_path) -> None:
    tagged = tmp_path / "tagged.npz"
    said = _run("fit", world / "vectors", "-o", tagged, "--start", books, "--tags", world / "tags")
    assert "as tags see them" in said
    made = Codebooks.load(tagged)
    points = Tags.load(world / "tags").unit
    np.testing.assert_allclose(made.metric @ made.metric, points.T @ points, atol=1e-4)
    assert made.about["start"] == Codebooks.load(books).fingerprint
    raw = tmp_path / "raw.npz"
    _run("fit", world / "vectors", "-o", raw, "--start", tagged, "--raw", "--rounds", 1)
    assert not Codebooks.load(raw).unit
    assert Codebooks.load(raw).about["rounds"] == 1
    _run("encode", world / "vectors", "-c", raw, "-o", tmp_path / "codes")
    refused = _refused("search", tmp_path / "codes", world / "3.png", "-e", world / "encoder", "--symmetric")
    assert refused.startswith("UsageError: --symmetric")
    assert len(_run("search", tmp_path / "codes", world / "vectors", "--symmetric").splitlines()) == 48 * 6


def test_codebooks_of_an_encoder(world, books, tmp_path) -> None:
    encoder = Encoder.load(world / "encoder")
    encoder.codebooks = Codebooks.load(books)
    encoder.save(tmp_path / "carrying")
    assert (
        json.loads(_run("info", tmp_path / "carrying", "--json"))["fingerprint"]
        == encoder.codebooks.fingerprint
    )
    _run("encode", world / "vectors", "-c", tmp_path / "carrying", "-o", tmp_path / "codes")


def test_files_are_replaced_on_request_alone(world, books, tmp_path) -> None:
    before = books.read_bytes()
    fit = ["fit", world / "vectors", "-o", books, "--words", 8, "--bits", 8]
    assert "--overwrite" in _refused(*fit)
    assert books.read_bytes() == before
    _run(*fit, "--overwrite")
    assert Codebooks.load(books).books == 1
    encode = ["encode", world / "vectors", "-c", books, "-o", tmp_path / "codes"]
    _run(*encode)
    assert "--overwrite" in _refused(*encode)
    _run(*encode, "--overwrite")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bits", "12"], "--bits 12"),
        (["--kind", "pq", "--tags", "t"], "--tags"),
        (["--kind", "rq", "--start", "t"], "--start"),
        (["--kind", "opq", "--rounds", "3"], "--rounds"),
        (["--start", "t", "--bits", "8"], "--bits"),
        (["--start", "t", "--words", "8"], "--words"),
        (["--kind", "opq", "--words", "8", "--bits", "40"], "5 equal slices"),
        (["--kind", "rq", "--words", "12"], "power of two"),
    ],
)
def test_options_that_do_not_go_together(world, tmp_path, options, said) -> None:
    refused = _refused("fit", world / "vectors", "-o", tmp_path / "b.npz", *options)
    assert refused.startswith(UsageError.__name__)
    assert said in refused
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_done_is_said(world, books, tmp_path) -> None:
    assert "30 vectors for books of 256 words" in _refused("fit", world / "vectors", "-o", tmp_path / "b.npz")
    assert ".npz" in _refused("fit", world / "vectors", "-o", tmp_path / "b.npy")
    product = tmp_path / "pq.npz"
    _run("fit", world / "vectors", "-o", product, "--words", 8, "--kind", "pq")
    encode = ["encode", world / "vectors", "-c", product, "-o", tmp_path / "codes"]
    assert "--beam: a product code is exact" in _refused(*encode, "--beam", 4)
    _run(*encode)
    search = ["search", tmp_path / "codes"]
    assert "--encoder" in _refused(*search, world / "3.png")
    assert "--split" in _refused(*search, world / "3.png", "-e", world / "encoder", "--split", "train")
    other = Encoder(build(NetSpec(backbone="pixels", input_size=2)), Preprocessing(size=(3, 3)), name="o")
    other.save(tmp_path / "other")
    assert "identity" in _refused(*search, world / "3.png", "-e", tmp_path / "other")
    assert "no codebooks" in _refused("info", world / "encoder")

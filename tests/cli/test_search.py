"""``perisphere search`` from the outside."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from searchable import make
from typer.testing import CliRunner, Result

from perisphere.cli.main import app
from perisphere.cli.search import table
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.taxonomy import ClassPoints, Taxonomy


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("search"))[0]


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["search", *map(str, words)])


def answer(*words: object) -> Any:
    result = call(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_table(index: Path) -> None:
    photo = index.parent / "dark" / "0.png"
    result = call(index, photo, "-k", 3)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"{photo} (dark)"
    assert lines[1].split() == ["rank", "score", "precision", "id", "label", "path"]
    first = lines[2].split()
    assert (first[0], first[1], first[4], first[5]) == ("1", "1.0000", "dark", "dark/0.png")
    assert [line.split()[0] for line in lines[2:5]] == ["1", "2", "3"]
    assert lines[-1] == "8 images, cosine, exact"


def test_json(index: Path) -> None:
    queries = [index.parent / "dark" / "0.png", index.parent / "light" / "1.png"]
    found = answer(index, *queries, "--each", "-k", 2, "--exclude-self")
    assert (found["images"], found["metric"], found["road"], found["min_score"]) == (
        8,
        "cosine",
        "exact",
        None,
    )
    assert [query["query"] for query in found["queries"]] == [str(query) for query in queries]
    assert [query["photos"] for query in found["queries"]] == [[str(query)] for query in queries]
    assert (found["among"], found["centroids"]) == ("photos", None)
    assert [query["label"] for query in found["queries"]] == ["dark", "light"]
    for query, own in zip(found["queries"], ("dark/0.png", "light/1.png"), strict=True):
        assert [result["rank"] for result in query["results"]] == [1, 2]
        for result in query["results"]:
            assert set(result) == {
                "rank",
                "id",
                "score",
                "precision",
                "label",
                "path",
                "file",
                "right",
                "rerank",
                "count",
                "regions",
            }
            assert result["path"] != own
            assert result["right"] is True
            assert 0 <= result["precision"] <= 1


def test_every_option_counts(index: Path) -> None:
    photo = index.parent / "dark" / "0.png"

    def paths(*words: object) -> list[str]:
        return [result["path"] for result in answer(index, photo, *words)["queries"][0]["results"]]

    everything = paths("-k", 8)
    assert len(everything) == 8
    assert len(paths()) == 5
    assert set(paths("-k", 8, "--filter", "split == 'test'")) == {"dark/0.png", "light/0.png"}
    assert paths("-k", 8, "--exclude-self") == everything[1:]
    assert paths("-k", 8, "--min-score", 0.9999) == ["dark/0.png"]
    assert {path[:4] for path in paths("-k", 8, "--min-precision", 0.99)} == {"dark"}
    assert answer(index, photo, "--metric", "l1")["metric"] == "l1"
    assert answer(index, photo, "--exact")["road"] == "exact"
    labelled = answer(index, photo, "--label", "light")["queries"][0]
    assert (labelled["label"], labelled["results"][0]["right"]) == ("light", False)


def test_nothing_above_the_cut_off(index: Path) -> None:
    result = call(index, index.parent / "dark" / "0.png", "--min-score", 2)
    assert result.exit_code == 0
    assert "no result, score at least 2" in result.stdout


def test_the_sheet(index: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "out" / "sheet.jpg"
    result = call(index, index.parent / "dark" / "0.png", "--sheet", sheet)
    assert result.exit_code == 0, result.output
    assert f"sheet: {sheet}" in result.stdout
    with PIL.Image.open(sheet) as picture:
        assert picture.width > 1000


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["missing.jpg"], PerisphereError, "missing.jpg: cannot be read"),
        (["dark/0.png", "broken.jpg"], PerisphereError, "broken.jpg: empty file"),
        (["dark/0.png", "--filter", "lable == 'x'"], UsageError, "Did you mean 'label'?"),
        (["dark/0.png", "--filter", "label == 'x'; drop table images"], UsageError, "character 13"),
        (["dark/0.png", "--metric", "cosin"], UsageError, "cosine"),
        (["dark/0.png", "--sheet", "sheet.pdf"], UsageError, ".jpg or .png"),
        (["dark/0.png", "--min-score", "nan"], UsageError, "least score is nan"),
        (["dark/0.png", "--encoder", "nowhere"], PerisphereError, "nowhere"),
        (["dark/0.png", "-n", "3"], UsageError, "not for photos. Leave -n out"),
        (["dark/0.png", "--label", "a", "--label", "b"], UsageError, "2 labels for 1 queries"),
        (["dark/0.png", "--metric", "l2", "--min-precision", "0.5"], PerisphereError, "--min-score"),
    ],
)
def test_errors_in_one_line(
    index: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], kind: type, message: str
) -> None:
    monkeypatch.chdir(index.parent)
    Path("broken.jpg").write_bytes(b"")
    result = call(index, *words)
    assert type(result.exception) is kind or isinstance(result.exception, kind)
    assert isinstance(result.exception, UsageError) == (kind is UsageError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not Path("sheet.pdf").exists()


def test_an_index_without_encoder(tmp_path: Path) -> None:
    _, encoder = make(tmp_path)
    photo = tmp_path / "dark" / "0.png"
    with Index.create(tmp_path / "bare", encoder.dim) as bare:
        bare.add(encoder.encode([photo]), encoder_identity=encoder.identity)
    assert "Pass --encoder" in str(call(tmp_path / "bare", photo).exception)
    encoder.save(tmp_path / "encoder")
    found = answer(tmp_path / "bare", photo, "--encoder", tmp_path / "encoder")
    assert found["queries"][0]["results"][0]["score"] == pytest.approx(1, abs=1e-5)


def test_a_missing_index() -> None:
    result = call("nowhere", "photo.jpg")
    assert isinstance(result.exception, PerisphereError)
    assert "nowhere" in str(result.exception)


def test_a_label_that_would_break_the_table(tmp_path: Path) -> None:
    lines = table([[" n", "label"], ["1", "two\nlines,\x1b[31m"], ["10", "塔"]])
    assert lines == [" n  label", " 1  two\\nlines,\\x1b[31m", "10  塔"]


def test_help_has_examples() -> None:
    result = call("--help")
    assert result.exit_code == 0
    assert "perisphere search index photo.jpg" in " ".join(result.stdout.split())


def test_a_chain_re_ranks_what_was_found(index: Path) -> None:
    photo = index.parent / "dark" / "0.png"
    plain = answer(index, photo, "-k", 8)
    found = answer(index, photo, "-k", 8, "--rerank", "aqe(n=3)+label")
    assert (plain["rerank"], found["rerank"]) == (None, "aqe(n=3,alpha=0,depth=0)+label(vote=3)")
    assert found["road"] == "exact + aqe(n=3,alpha=0,depth=0) + label(vote=3)"
    results = found["queries"][0]["results"]
    assert [result["label"] for result in results] == ["dark"] * 4 + ["light"] * 4
    scores = {result["id"]: result["score"] for result in plain["queries"][0]["results"]}
    precisions = {result["id"]: result["precision"] for result in plain["queries"][0]["results"]}
    for result in results:  # the score and its precision stay those of the search
        assert result["score"] == pytest.approx(scores[result["id"]], abs=1e-6)
        assert result["precision"] == pytest.approx(precisions[result["id"]], abs=1e-3)
        assert result["rerank"] is not None
    assert all(result["rerank"] is None for result in plain["queries"][0]["results"])


def test_the_score_of_the_re_ranking_has_a_column(index: Path) -> None:
    result = call(index, index.parent / "dark" / "0.png", "--rerank", "softlabel(weight=2)", "-k", 2)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["rank", "re-rank", "score", "precision", "id", "label", "path"]
    assert float(lines[2].split()[1]) > 2
    assert lines[-1].startswith("8 images, cosine, exact + softlabel(")


def test_cut_offs_and_filters_count_under_a_re_ranking(index: Path) -> None:
    photo = index.parent / "dark" / "0.png"

    def paths(*words: object) -> list[str]:
        rerank = ("--rerank", "label(vote=1)+kreciprocal(k1=3,k2=2)")
        return [result["path"] for result in answer(index, photo, *rerank, *words)["queries"][0]["results"]]

    assert len(paths("-k", 3)) == 3
    assert paths("-k", 8, "--min-score", 0.9999) == ["dark/0.png"]
    assert "dark/0.png" not in paths("-k", 8, "--exclude-self")
    assert set(paths("-k", 8, "--filter", "split == 'test'")) == {"dark/0.png", "light/0.png"}
    assert len(paths("-k", 8, "--metric", "l1")) == 8


def test_geometric_verification_finds_the_photo_itself_and_draws_it(index: Path, tmp_path: Path) -> None:
    photo = index.parent / "dark" / "0.png"
    matches = tmp_path / "lines.png"
    chain = "geometric(features=200,min_inliers=4,ratio=0.95,side=64)"
    result = call(index, photo, "-k", 2, "--rerank", chain, "--matches", matches)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[2].split()[5:] == ["dark", "dark/0.png"]
    assert result.stdout.splitlines()[-1] == f"matches: {matches}"
    with PIL.Image.open(matches) as picture:
        assert picture.height > 2 * 420


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rerank", "kreciprocl"], "Did you mean 'kreciprocal'?"),
        (["--rerank", "aqe(n=x)"], "n=x"),
        (["--matches", "lines.pdf"], ".jpg or .png"),
    ],
)
def test_wrong_words_of_a_re_ranking(index: Path, words: list[str], message: str) -> None:
    result = call(index, index.parent / "dark" / "0.png", *words)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


@pytest.fixture
def classes(index: Path, tmp_path: Path) -> Path:
    """Class points of the index's two kinds, where their pictures are."""
    with Index.open(index) as opened:
        ids, vectors = opened.vectors()
        labels = opened.rows(ids.tolist())["label"].to_numpy()
    points = np.array([vectors[labels == kind].mean(0) for kind in ("dark", "light")])
    taxonomy = Taxonomy.from_pairs([("shade", "dark"), ("shade", "light")])
    ClassPoints(points, ("dark", "light"), taxonomy, "test").save(tmp_path / "classes.npz")
    return tmp_path / "classes.npz"


def test_a_class_is_a_query(index: Path, classes: Path, tmp_path: Path) -> None:
    photo, sheet = index.parent / "dark" / "0.png", tmp_path / "sheet.png"
    words = (index, photo, "--class", "light", "--class", "shade", "--classes", classes, "-k", 4)
    found = answer(*words)["queries"]
    assert [query["query"] for query in found] == [str(photo), "light", "shade"]
    assert [query["class"] for query in found] == [None, "light", "shade"]
    assert [result["label"] for result in found[1]["results"]] == ["light"] * 4
    assert [result["right"] for result in found[2]["results"]] == [True] * 4
    result = call(*words, "--sheet", sheet, "--label", "dark")
    assert result.exit_code == 0, result.output
    assert "light (class)" in result.stdout.splitlines()
    assert "shade (class, 2 classes below)" in result.stdout.splitlines()
    assert sheet.is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "there is no query. Name at least one image or class."),
        (["--class", "dark"], "knows no classes"),
        (["--class", "drak", "--classes", "FILE"], "Did you mean 'dark'?"),
        (["dark/0.png", "--classes", "FILE"], "Name a class with --class"),
        (["--class", "dark", "--classes", "nowhere.npz"], "nowhere.npz"),
        (["--class", "dark", "--classes", "FILE", "--min-precision", "0.5"], "Cut by a score"),
        (["--class", "dark", "--classes", "FILE", "--label", "dark"], "1 labels for 0 queries"),
    ],
)
def test_wrong_words_of_a_class_query(index: Path, classes: Path, words: list[str], message: str) -> None:
    result = call(index, *[str(classes) if word == "FILE" else word for word in words])
    assert isinstance(result.exception, PerisphereError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


def test_several_photos_are_one_query(index: Path, tmp_path: Path) -> None:
    photos = [index.parent / "dark" / f"{number}.png" for number in (0, 2)]
    (one,) = answer(index, *photos, "-k", 8, "--exclude-self")["queries"]
    assert (one["photos"], one["label"]) == ([str(photo) for photo in photos], "dark")
    assert {result["path"] for result in one["results"]} == {
        "dark/1.png",
        "dark/3.png",
        *(f"light/{number}.png" for number in range(4)),
    }
    with Index.open(index) as opened:
        point = opened.encoder().encode(photos).mean(0)
        expected = opened.search(point, 1).scores[0, 0]
    found = answer(index, *photos, "--label", "light")["queries"][0]
    assert found["results"][0]["score"] == pytest.approx(float(expected), abs=1e-5)
    assert (found["label"], found["results"][0]["right"]) == ("light", False)
    result = call(index, *photos, "--sheet", tmp_path / "sheet.png")
    assert result.stdout.splitlines()[0] == f"{photos[0]} + {photos[1]} (dark)"
    assert (tmp_path / "sheet.png").is_file()
    assert len(answer(index, *photos, "--each")["queries"]) == 2
    assert "2 labels for 1 queries" in str(call(index, *photos, "--label", "a", "--label", "b").exception)
    two = answer(index, *photos, "--each", "--label", "a", "--label", "b")["queries"]
    assert [query["label"] for query in two] == ["a", "b"]
    assert "not of several photos" in str(call(index, *photos, "--min-precision", 0.5).exception)


def test_centroids_from_the_outside(tmp_path: Path) -> None:
    folder, _ = make(tmp_path)
    photo = tmp_path / "dark" / "0.png"
    assert "keeps no centroids" in str(call(folder, photo, "--among", "centroids").exception)
    with Index.open(folder) as opened:
        opened.keep_centroids()
    result = call(folder, photo, "--among", "centroids", "--sheet", tmp_path / "sheet.png")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["rank", "score", "id", "photos", "label", "path"]
    assert lines[2].split()[2:] == ["1", "4", "dark", "dark/0.png"]
    assert "2 centroids of 8 images, cosine, exact" in lines
    found = answer(folder, photo, "--among", "centroids", "--exclude-self", "-k", 1)
    assert (found["among"], found["centroids"], found["images"]) == ("centroids", 2, 8)
    (first,) = found["queries"][0]["results"]
    assert (first["label"], first["count"], first["path"], first["right"]) == ("dark", 3, "dark/1.png", True)
    then = answer(folder, photo, "--among", "centroids-then-photos", "-n", 1, "-k", 8)["queries"][0][
        "results"
    ]
    assert [result["label"] for result in then] == ["dark"] * 4
    assert "Did you mean 'centroids'?" in str(call(folder, photo, "--among", "centroid").exception)

"""``perisphere search`` with several examples, counter-examples, weights and words beside photos."""

import json
import sys
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from typer.testing import CliRunner

from perisphere.cli.main import app
from perisphere.index import Index
from perisphere.search import Example, Query, Row, search

sys.path.append(str(Path(__file__).parents[1] / "search"))
import painted


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos with captions, and an index of them; no test changes them."""
    root = tmp_path_factory.mktemp("combined")
    photos = painted.photos_at(root / "photos")
    painted.indexed(root / "index", photos, painted.encoder_of()).close()
    return root


def told(root: Path, *words: object) -> list[dict[str, Any]]:
    words = tuple(root / "photos" / word if str(word).endswith(".png") else word for word in words)
    result = CliRunner().invoke(app, ["search", str(root / "index"), *map(str, words), "--json"])
    assert result.exit_code == 0, f"{result.output} {result.exception!r}"
    found: list[dict[str, Any]] = json.loads(result.stdout)["queries"]
    return found


def ids(query: dict[str, Any]) -> list[int]:
    return [result["id"] for result in query["results"]]


def wanted(root: Path, query: Query) -> list[int]:
    with Index.open(root / "index") as index:
        return [result.id for result in search(index, [query]).answers[0].results]


def test_more_like_a_photo_of_the_index(root: Path) -> None:
    (query,) = told(root, "--id", 1, "-k", 9)
    assert sorted(ids(query)) == [2, 3, 4, 5, 6]
    assert (query["query"], query["label"], query["like"]) == ("0.png", "Dom", [{"id": 1, "weight": 1.0}])
    assert query["photos"] == [str(root / "photos" / "0.png")]
    (both,) = told(root, "1.png", "--id", 1, "-k", 9)
    assert [len(thing) for thing in both["like"]] == [2, 2]
    assert 1 not in ids(both)
    assert len(told(root, "1.png", "--id", 1, "--id", 3, "--each")) == 3


def test_counter_examples_by_id_and_by_photo(root: Path) -> None:
    by_id = told(root, "0.png", "--unlike", 4, "--unlike", 5, "-k", 9)[0]
    assert by_id["unlike"] == [{"id": 4, "weight": 1.0}, {"id": 5, "weight": 1.0}]
    assert not {4, 5} & set(ids(by_id))
    query = Query.of(root / "photos" / "0.png", unlike=(Example(Row(4)), Example(Row(5))), k=9)
    assert ids(by_id) == wanted(root, query)
    by_photo = told(root, "0.png", "--unlike", "3.png", "--gamma", 0.9, "-k", 9)[0]
    assert by_photo["unlike"][0]["photo"].endswith("3.png")
    plain = told(root, "0.png", "-k", 9)[0]
    far = next(result for result in by_photo["results"] if result["id"] == 4)
    near = next(result for result in plain["results"] if result["id"] == 4)
    assert far["score"] < near["score"] - 0.1


def test_weights_in_the_order_of_the_examples(root: Path) -> None:
    (query,) = told(root, "0.png", "--id", 4, "--weight", 3, "--weight", 0.5, "-k", 9)
    assert [thing["weight"] for thing in query["like"]] == [3, 0.5]
    examples = (Example(root / "photos" / "0.png", 3), Example(Row(4), 0.5))
    assert ids(query) == wanted(root, Query(examples, k=9))


def test_a_part_of_a_photo_of_the_index(root: Path) -> None:
    """It is the part of the file, and the photo itself is left out."""
    (by_id,) = told(root, "--id", 1, "--region", "0,0,0.5,1", "-k", 9)
    (by_file,) = told(root, "0.png", "--region", "0,0,0.5,1", "--exclude-self", "-k", 9)
    assert by_id["results"] == by_file["results"]
    assert sorted(ids(by_id)) == [2, 3, 4, 5, 6]
    assert by_id["like"] == [{"id": 1, "region": [0, 0, 0.5, 1], "weight": 1.0}]
    assert (by_id["query"], by_id["label"]) == ("0.png [0,0,0.5,1]", "Dom")
    assert by_id["photos"] == by_file["photos"] == [str(root / "photos" / "0.png")]
    apart = told(root, "1.png", "--id", 1, "--region", "0,0,0.5,1", "--region", "0,0,1,0.5", "--each")
    assert [query["region"] for query in apart] == [[0, 0, 48, 64], [0, 0, 96, 32]]


def test_words_beside_a_photo(root: Path) -> None:
    apart = told(root, "--id", 4, "--text", "portal", "-k", 9)
    assert [query["metric"] for query in apart] == ["cosine", "words"]
    (query,) = told(root, "--id", 4, "--text", "portal", "--together", "-k", 9)
    assert (query["metric"], query["words"], query["concepts"]) == ("cosine + words", "portal", ["portal"])
    assert ids(query) == wanted(root, Query.of(Row(4), words="portal", k=9))
    (words,) = told(root, "--id", 4, "--text", "portal", "--together", "--words-weight", 1, "-k", 1)
    assert ids(words) == ids(apart[1])
    (two,) = told(root, "--text", "fog", "--text", "town", "--together")
    assert (two["text"], ids(two)) == ("fog town", [5])


def test_the_table_and_the_sheet_of_a_combination(root: Path, tmp_path: Path) -> None:
    words = ["--id", "1", "--text", "portal zeppelin", "--together", "--unlike", "4"]
    result = CliRunner().invoke(
        app, ["search", str(root / "index"), *words, "--sheet", str(tmp_path / "sheet.png")]
    )
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "0.png + 'portal zeppelin' - 3.png (concepts: portal)"
    assert "6 images, cosine + words, exact, captions and categories and regions" in lines
    assert "no photo has 'zeppelin', it is left out" in result.stderr
    with PIL.Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 500


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--unlike", "4"], "there is no query"),
        (["--together"], "there is no query"),
        (["--id", "1", "--gamma", "1"], "--gamma weighs counter-examples"),
        (["--id", "1", "--words-weight", "1"], "--words-weight is the share of words"),
        (["--text", "portal", "--words-weight", "1"], "--words-weight is the share of words"),
        (["--id", "1", "--id", "2", "--weight", "1"], "1 weights for 2 examples"),
        (["--id", "1", "--id", "2", "--each", "--weight", "1", "--weight", "2"], "make them one"),
        (["--id", "1", "--weight", "-1"], "finite number above 0"),
        (["--id", "1", "--weight", "nan"], "finite number above 0"),
        (["--id", "1", "--unlike", "4", "--gamma", "-1"], "--gamma"),
        (["--id", "1", "--each", "--together"], "choose one"),
        (["--id", "99"], "99"),
        (["--id", "1", "--unlike", "nowhere.jpg"], "nowhere.jpg: cannot be read"),
        (["--id", "1", "--unlike", "1", "--gamma", "1"], "Lower --gamma"),
        (["--id", "1", "--text", "portal", "--by", "words"], "--by words searches with texts alone"),
        (["--text", "portal", "--by", "regions"], "`perisphere index regions INDEX"),
        (["--id", "1", "--id", "2", "--region", "0,0,1,1"], "name one photo"),
        (["--text", "portal", "--region", "0,0,1,1"], "name one photo"),
        (["--text", "portal", "--unlike", "4", "--gamma", "1"], "there are none: leave it out"),
        (["--id", "1", "--text", "portal", "--together", "--symmetric"], "not by codes alone"),
        (["--id", "1", "--id", "2", "--label", "a", "--label", "b"], "2 labels for 1 queries"),
    ],
)
def test_what_does_not_go_together(root: Path, words: list[str], fault: str) -> None:
    result = CliRunner().invoke(app, ["search", str(root / "index"), *words])
    assert result.exit_code != 0
    said = str(result.exception) + result.output
    assert fault in said
    assert "\n" not in str(result.exception)

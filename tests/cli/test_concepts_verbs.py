import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import perisphere.cli.concepts  # noqa: F401
from perisphere.catalog import Catalog
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError

TOWNS = ("ulm", "ely", "york", "reims")
KINDS = (("Portals", "Door"), ("Vitraux", "une rosace"), ("Crypt", "in the crypt"))


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["concepts", *map(str, words)])


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    rows = [
        (
            f"{town}/{number}.jpg",
            town,
            f"{caption} [b]{town}[/b]",
            [town, f"Interior of {town}", f"{kind} of {town}"],
        )
        for town in TOWNS
        for number in range(10)
        for kind, caption in KINDS[number % 3 :][:1]
    ]
    columns = zip(("path", "label", "caption", "categories"), map(list, zip(*rows, strict=True)), strict=True)
    table = pl.DataFrame(dict(columns)).with_columns(
        split=pl.when(pl.col("label") == "ulm").then(pl.lit("test")).otherwise(pl.lit("train"))
    )
    Catalog(table, tmp_path).save(tmp_path / "c")
    return tmp_path / "c"


def test_concepts_are_proposed_chosen_and_given(catalog: Path, tmp_path: Path) -> None:
    file = tmp_path / "concepts.tsv"
    result = run("propose", catalog, "--min-photos", 5, "-o", file)
    assert result.exit_code == 0, result.exception
    assert "3 proposed: portal, crypt, window" in result.stdout
    assert f"written: {file}" in result.stdout
    labelled = run("label", catalog, "-o", tmp_path / "l", "--concepts", file, "--json")
    assert labelled.exit_code == 0, labelled.exception
    facts = json.loads(labelled.stdout)
    assert list(facts["concepts"]) == ["portal", "crypt", "window"]
    assert (facts["photos"], facts["unlabelled"]) == (40, 0)
    assert facts["concepts"]["crypt"]["words"] == {"crypt": 12}
    rows = Catalog.load(tmp_path / "l").table
    assert (
        rows.filter(pl.col("categories").list.last() == "Vitraux of ely")["concepts"].to_list()
        == [["window"]] * 3
    )


def test_proposals_as_json_count_by_landmark(catalog: Path) -> None:
    facts = json.loads(run("propose", catalog, "--min-photos", 5, "--no-built-in", "--json").stdout)
    assert set(facts["concepts"]) == {"portals", "crypt", "vitraux"}
    crypt = next(one for one in facts["words"] if one["word"] == "crypt")
    assert crypt["by_landmark"] == dict.fromkeys(sorted(TOWNS), 3)
    assert (crypt["photos"], crypt["landmarks"], crypt["named_by"]) == (12, 4, 4)
    assert crypt["agreement"] > 2


def test_one_split_is_asked_for(catalog: Path) -> None:
    facts = json.loads(run("propose", catalog, "--min-photos", 2, "--split", "test", "--json").stdout)
    assert all(set(one["by_landmark"]) == {"ulm"} for one in facts["words"])


def test_labels_are_told_and_compared(catalog: Path, tmp_path: Path) -> None:
    result = run("label", catalog, "-o", tmp_path / "l", "--balance", 9)
    assert result.exit_code == 0, result.exception
    assert "25 of 40 photos have concepts" in result.stdout
    assert "3 photos of large concepts were taken out" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert any(row[:3] == ["portal", "13", "13"] for row in rows)  # numbers stay, whatever words leave
    assert "12 photos: their texts name none, 0 of them have no text" in result.stdout
    assert run("label", catalog, "-o", tmp_path / "en", "--languages", "en").exit_code == 0
    told = run("compare", tmp_path / "en", tmp_path / "l")
    assert told.exit_code == 0, told.exception
    assert "window" in told.stdout
    facts = json.loads(run("compare", tmp_path / "en", tmp_path / "l", "--json").stdout)
    assert facts["primary"]["classes"]["portal"]["precision"] is not None
    window = facts["related"]["classes"]["window"]
    assert (window["recall"], window["precision"], window["ours"]) == (0, None, 0)
    test = json.loads(run("compare", tmp_path / "en", tmp_path / "l", "--split", "test", "--json").stdout)
    assert test["photos"] == 7  # of 10, three have no concepts in what is compared with


def test_words_of_ones_own_are_added(catalog: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.tsv"
    mine.write_text("crypt\ten\tcellar\n", "utf-8")
    facts = json.loads(run("label", catalog, "-o", tmp_path / "l", "--mapping", mine, "--json").stdout)
    assert facts["concepts"]["cellar"]["primary"] == 12
    alone = run("label", catalog, "-o", tmp_path / "m", "--mapping", mine, "--no-built-in", "--json")
    assert list(json.loads(alone.stdout)["concepts"]) == ["cellar"]


def test_lists_need_no_catalog(tmp_path: Path) -> None:
    names = ("Organs", "Naves")
    lines = [
        f"WikiScenes/cathedrals/{n % 3}/1/{n % 2}/pictures/{n}.jpg:['organ']:x:Interior, {names[n % 2]}"
        for n in range(30)
    ]
    (tmp_path / "train_a.txt").write_text("\n".join([*lines, "no list"]), "utf-8")
    result = run("propose", "--lists", tmp_path, "--min-photos", 5, "--json")
    assert "lines left out: 1, the first train_a.txt:31: line is not PATH" in result.stderr
    facts = json.loads(result.stdout)
    assert facts["concepts"] == ["nave", "organ"]
    assert isinstance(run("propose", "--lists", tmp_path, "--split", "train").exception, UsageError)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["propose"], UsageError, "one of the two"),
        (["propose", "C", "--lists", "."], UsageError, "one of the two"),
        (["label", "C", "-o", "O", "--no-built-in"], UsageError, "no words are known"),
        (["label", "C", "-o", "O", "--languages", "xx"], UsageError, "language 'xx'"),
        (["label", "C", "-o", "O", "--languages", "fr", "--first", "en"], UsageError, "--first"),
        (["propose", "C", "--no-built-in", "--languages", "en"], UsageError, "--languages"),
        (["label", "C", "-o", "O", "--mapping", "none.tsv"], PerisphereError, "none.tsv"),
        (["label", "C", "-o", "O", "--concepts", "none.tsv"], PerisphereError, "none.tsv"),
        (["label", "C", "-o", "C"], PerisphereError, "--overwrite"),
        (["compare", "C", "C"], PerisphereError, "no photo with concepts"),
    ],
)
def test_wrong_words_name_the_mend(catalog: Path, tmp_path: Path, words, error, message) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    result = run(*({"C": catalog, "O": tmp_path / "o"}.get(word, word) for word in words))
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == before

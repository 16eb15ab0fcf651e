import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import perisphere.cli.split  # noqa: F401
from perisphere.catalog import Catalog
from perisphere.catalog.readers import read
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["split", *map(str, words)])


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    for label, count in (("dome", 10), ("lone", 1)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "photos" / label / f"{number}.png")
    read("folders", tmp_path / "photos").save(tmp_path / "catalog")
    return tmp_path / "catalog"


def test_the_default_division_in_all_three_forms(catalog: Path, tmp_path: Path) -> None:
    out, csv, folders = tmp_path / "out", tmp_path / "out.csv", tmp_path / "folders"
    result = run(catalog, "-o", out, "--csv", csv, "--folders", folders)
    assert result.exit_code == 0, result.exception
    assert "class 'lone': 1 image, none for val, test, index" in result.stdout
    counts = {name: len(Catalog.load(out).select(split=name)) for name in ("train", "val", "test", "index")}
    assert counts == {"train": 7, "val": 1, "test": 2, "index": 1}
    assert len(csv.read_text().splitlines()) == 12
    assert len(list((folders / "train/dome").iterdir())) == 6


def test_named_fractions_and_json(catalog: Path, tmp_path: Path) -> None:
    words = ["--query", ".2", "--gallery", ".5", "--seed", "3", "--json"]
    facts = json.loads(run(catalog, "-o", tmp_path / "out", *words).stdout)
    assert facts["splits"]["query"]["images"] == 2
    assert facts["splits"]["gallery"]["images"] == 6
    assert facts["splits"][""]["images"] == 3
    assert facts["small_classes"] == [{"label": "lone", "images": 1, "without": ["query"]}]


def test_preset_of_and_replace(catalog: Path, tmp_path: Path) -> None:
    assert run(catalog, "-o", tmp_path / "a", "--preset", "coded").exit_code == 0
    assert len(Catalog.load(tmp_path / "a").select(split="index")) == 2
    result = run(tmp_path / "a", "-o", tmp_path / "b")
    assert isinstance(result.exception, UsageError)
    assert "--replace" in str(result.exception)
    assert run(tmp_path / "a", "-o", tmp_path / "b", "--replace").exit_code == 0
    assert run(tmp_path / "a", "-o", tmp_path / "c", "--of", "index", "--query", ".5").exit_code == 0
    assert len(Catalog.load(tmp_path / "c").select(split="query")) == 1


@pytest.mark.parametrize("link", ["symlink", "hard", "copy"])
def test_links_and_copies(link: str, catalog: Path, tmp_path: Path) -> None:
    assert run(catalog, "--folders", tmp_path / "f", "--link", link).exit_code == 0
    assert len(read("folders", tmp_path / "f")) == 11


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "nothing to write"),
        (["-o", "out", "--train", "-0.1"], "train: -0.1"),
        (["-o", "out", "--train", ".9", "--test", ".2"], "more than 1"),
        (["-o", "out", "--preset", "codd"], "Did you mean 'coded'"),
        (["-o", "out", "--preset", "coded", "--train", ".5"], "--preset and --train exclude each other"),
        (["-o", "out", "--link", "copy"], "--link copy: goes with --folders DIR"),
    ],
)
def test_wrong_words(
    words: list[str], complaint: str, catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(catalog.parent)
    before = sorted(catalog.parent.iterdir())
    result = run(catalog, *words)
    assert isinstance(result.exception, UsageError)
    assert complaint in str(result.exception)
    assert sorted(catalog.parent.iterdir()) == before


def test_an_existing_target_stops_all_of_them(catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine")
    result = run(catalog, "-o", tmp_path / "out", "--csv", tmp_path / "out.csv")
    assert type(result.exception) is PerisphereError
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.csv").read_text() == "mine"


def test_a_missing_catalog(tmp_path: Path) -> None:
    result = run(tmp_path / "none", "-o", tmp_path / "out")
    assert isinstance(result.exception, PerisphereError)
    assert "no such catalog" in str(result.exception)


def test_published_rounding_and_the_table_of_pairs(catalog: Path, tmp_path: Path) -> None:
    words = ["--preset", "overlapping", "--rounding", "published", "--csv-style", "pairs"]
    facts = json.loads(run(catalog, "--csv", tmp_path / "pairs.csv", *words, "--json").stdout)
    assert {name: counts["images"] for name, counts in facts["splits"].items()} == {
        "train": 9, "val": 1, "test": 1, "index": 2,
    }  # fmt: skip
    assert facts["small_classes"] == [{"label": "lone", "images": 1, "without": ["val", "test", "index"]}]
    lines = (tmp_path / "pairs.csv").read_text().splitlines()
    assert lines[0] == "image_path,class_image"
    assert len(lines) == 14
    assert "photos/lone/0.png,lone" in lines


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--csv-style", "pairs"], "give that too"),
        (["--rounding", "published", "--train", "1"], "Name one with --preset"),
    ],
)
def test_words_that_say_nothing_are_refused(
    catalog: Path, tmp_path: Path, words: list[str], complaint: str
) -> None:
    result = run(catalog, "-o", tmp_path / "out", *words)
    assert isinstance(result.exception, UsageError)
    assert complaint in str(result.exception)
    assert not (tmp_path / "out").exists()

"""``perisphere classify`` from the outside."""

import json
from pathlib import Path

import PIL.Image
import polars as pl
import pytest
from searchable import make
from typer.testing import CliRunner, Result

import perisphere.cli.classify  # noqa: F401 (registers the verb)
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("classify"))[0]


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["classify", *map(str, words)])


def test_the_vote_is_shown(index: Path) -> None:
    photo = index.parent / "light" / "0.png"
    result = call(index, photo, "-k", 8, "--exclude-self")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"{photo}: light"
    assert lines[1].split() == ["label", "share", "neighbours", "ids"]
    first, second = lines[2].split(), lines[3].split()
    assert set(first[0]) == {"█"}
    assert len(first[0]) > len(second[0])
    assert (first[1], first[3], len(first) - 4) == ("light", "3", 3)
    assert (second[1], second[3]) == ("dark", "4")


def test_a_label_cannot_break_the_heading(tmp_path: Path) -> None:
    folder, encoder = make(tmp_path)
    photo = tmp_path / "light" / "0.png"
    with Index.open(folder) as opened:
        opened.remove(opened.ids())
        opened.add(encoder.encode([photo]), pl.DataFrame({"label": ["two\nlines"]}))
    assert call(folder, photo).stdout.splitlines()[0] == rf"{photo}: two\nlines"


def test_json_of_several_photos(index: Path) -> None:
    photos = [index.parent / "dark" / "0.png", index.parent / "light" / "2.png"]
    result = call(index, *photos, "-k", 3, "--json")
    verdicts = json.loads(result.stdout)["verdicts"]
    assert [verdict["label"] for verdict in verdicts] == ["dark", "light"]
    assert [verdict["known_label"] for verdict in verdicts] == ["dark", "light"]
    for verdict in verdicts:
        assert sum(vote["share"] for vote in verdict["votes"]) == pytest.approx(1)
        assert sorted(i for vote in verdict["votes"] for i in vote["neighbours"]) == sorted(
            neighbour["id"] for neighbour in verdict["neighbours"]
        )
        assert len(verdict["neighbours"]) == 3


def test_options_count(index: Path, tmp_path: Path) -> None:
    photo = index.parent / "light" / "0.png"

    def shares(*words: object) -> dict[str, float]:
        found = json.loads(call(index, photo, "--json", *words).stdout)["verdicts"][0]["votes"]
        return {vote["label"]: vote["share"] for vote in found}

    assert shares("--filter", "label == 'dark'") == {"dark": pytest.approx(1)}
    assert shares("--temperature", "0.01")["light"] > shares("--temperature", "1")["light"]
    assert shares("--metric", "l1")["light"] > 0.5
    sheet = tmp_path / "votes.png"
    assert call(index, photo, "--sheet", sheet).exit_code == 0
    with PIL.Image.open(sheet) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["missing.jpg"], PerisphereError, "missing.jpg"),
        (["dark/0.png", "--filter", "label == 'dome'"], PerisphereError, "loosen --filter"),
        (["dark/0.png", "--temperature", "0"], UsageError, "not above 0"),
        (["dark/0.png", "--sheet", "votes.txt"], UsageError, ".jpg or .png"),
    ],
)
def test_errors_in_one_line(
    index: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], kind: type, message: str
) -> None:
    monkeypatch.chdir(index.parent)
    result = call(index, *words)
    assert isinstance(result.exception, kind)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)

import json
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from perisphere.cli.main import app


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo") / "demo"
    sizes = ["--landmarks", "4", "--photos", "10", "--epochs", "1"]
    done = CliRunner().invoke(app, ["demo", "--out", str(out), *sizes])
    assert done.exit_code == 0, done.output
    return out, done.output


def test_ends_with_a_sheet_a_report_and_an_index(made: tuple[Path, str]) -> None:
    out, _ = made
    with Image.open(out / "result.png") as sheet:
        assert min(sheet.size) > 500
    report = json.loads((out / "report.json").read_text())
    assert report["counts"]["queries"] == 8
    assert report["counts"]["classes"] == 4
    assert (out / "index" / "index.sqlite").is_file()
    assert (out / "plots" / "precision-recall.png").is_file()


def test_the_command_that_it_ends_with_runs(made: tuple[Path, str]) -> None:
    out, text = made
    *_, last, _, _, _, served = text.strip().splitlines()
    assert served.endswith(f" serve {out / 'index'}")
    photo = next((out / "scenes" / "photos").rglob("*.jpg"))
    words = shlex.split(last.replace("YOUR_PHOTO.jpg", str(photo)).replace("mine.png", str(out / "mine.png")))
    start = words.index("search")
    done = CliRunner().invoke(app, words[start:])
    assert done.exit_code == 0, done.output
    assert (out / "mine.png").is_file()


def test_names_the_program_as_it_can_be_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from perisphere.cli.demo import program

    monkeypatch.setattr("sys.argv", [".venv/bin/perisphere", "demo"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("perisphere") is None
    assert program() == ".venv/bin/perisphere"
    monkeypatch.setattr("sys.argv", ["src/perisphere/__main__.py", "demo"])
    assert program().endswith(" -m perisphere")


def test_refuses_a_folder_that_is_not_a_demo(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path), "--overwrite"])
    assert done.exit_code != 0
    assert (tmp_path / "thesis.txt").exists()

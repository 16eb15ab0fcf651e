"""The blocks of README and manual run as they stand, on generated photos, with one epoch of training."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from perisphere.cli.main import app

ROOT = Path(__file__).parents[1]
README, MANUAL = (ROOT / "README.md").read_text(), (ROOT / "docs" / "manual.md").read_text()


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def perisphere(words: list[str]) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"{shlex.join(words)}: {result.output} {result.exception}"
    return result.output


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scenes = ["--landmarks", "3", "--photos", "20", "--size", "64", "--no-truth", "--workers", "1"]
    perisphere(["scenes", "scenes", *scenes])
    shutil.move("scenes/photos", "photos")
    shutil.copy(next(Path("photos").rglob("*.jpg")), "photo.jpg")


def run(lines: list[str]) -> None:
    for line in lines:
        words = shlex.split(line.removeprefix("$ perisphere "))
        perisphere([*words, "epochs=1"] if words[0] == "train" else words)


@pytest.mark.usefixtures("photos")
def test_the_manual_runs_as_written():
    run([line for block in blocks("console", MANUAL) for line in block.splitlines()])
    assert Path("plots").is_dir()


@pytest.mark.usefixtures("photos")
def test_the_main_job_runs_as_written(capsys):
    lines = [line for block in blocks("console", README) for line in block.splitlines()]
    assert len(lines) < 10
    run(lines)
    assert Path("result.jpg").is_file()
    (python,) = blocks("python", README)
    exec(compile(python, "README.md", "exec"), {})
    assert ".jpg" in capsys.readouterr().out


def test_every_command_named_in_the_prose_exists():
    named = re.findall(r"`perisphere ([a-z]+)(?: ([a-z]+))?", README + MANUAL)
    assert named
    for verb, inner in named:
        sub = [inner] if verb in ("encoder", "index", "weights", "recipes") else []
        perisphere([verb, *sub, "--help"])


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)#]+)", README))
def test_every_link_leads_somewhere(path):
    assert (ROOT / path).exists()

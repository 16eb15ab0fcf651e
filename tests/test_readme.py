"""The blocks of README, guide and tutorials run as they stand, on generated photos and with one epoch.

README's console block runs first, in a folder with `photos` and `photo.jpg`. Each page of the guide begins in
a copy of what it left; one that needs more names the pages before it, `<!-- after: datasets, encoders -->`.
Tutorials begin with nothing. A page is walked once in a test run, by whichever process comes first, so that
pages can be run in parallel, in any order and alone.
"""

import contextlib
import fcntl
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from perisphere.cli.main import app

ROOT = Path(__file__).parents[1]
GUIDE = {path.stem: path for path in sorted((ROOT / "docs" / "guide").glob("*.md"))}
TUTORIALS = {path.stem: path for path in sorted((ROOT / "docs" / "tutorials").glob("*.md"))}
PAGES = {"README": ROOT / "README.md"} | GUIDE | TUTORIALS
VERBS_OF_VERBS = (
    "codes",
    "concepts",
    "encoder",
    "index",
    "inference",
    "recipes",
    "segment",
    "tags",
    "taxonomy",
    "weights",
)


def perisphere(words: list[str]) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"perisphere {shlex.join(words)}: {result.output} {result.exception}"
    return result.output


def run_console(block: str) -> None:
    for line in block.replace("\\\n", " ").splitlines():
        assert line.startswith("$ perisphere "), f"no command of ours: {line}"
        words = shlex.split(line.removeprefix("$ perisphere "), comments=True)
        perisphere([*words, "epochs=1"] if words[0] == "train" else words)


def run(page: Path) -> None:
    """All blocks of a page, in their order; its Python blocks share their names."""
    names: dict[str, object] = {"__name__": "__main__"}
    for language, block in re.findall(
        r"^```(console|python)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
    ):
        if language == "console":
            run_console(block)
        else:
            exec(compile(block, page.name, "exec"), names)


def earlier(page: str) -> list[str]:
    if page == "README" or page in TUTORIALS:
        return []
    named = re.search(r"<!-- after: (.*?) -->", PAGES[page].read_text())
    return ["README", *(named[1].split(", ") if named else [])]


def prepare(page: str, folder: Path, workshop: Path) -> None:
    folder.mkdir()
    for name in earlier(page):
        shutil.copytree(walked(name, workshop), folder, dirs_exist_ok=True)
    if page == "README":
        with contextlib.chdir(folder):
            scenes = ["--landmarks", "3", "--photos", "20", "--size", "64", "--no-truth", "--workers", "1"]
            perisphere(["scenes", "scenes", *scenes])
            shutil.move("scenes/photos", "photos")
            shutil.copy(min(Path("photos").rglob("*.jpg")), "photo.jpg")


def walked(page: str, workshop: Path) -> Path:
    """The folder that a page leaves behind."""
    folder, done = workshop / page, workshop / f"{page}.done"
    with Path(workshop / f"{page}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            prepare(page, folder, workshop)
            with contextlib.chdir(folder):
                run(PAGES[page])
            done.touch()
    return folder


@pytest.fixture(scope="session")
def workshop(tmp_path_factory) -> Iterator[Path]:
    """One folder for all processes of a test run."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "pages"
    folder.mkdir(exist_ok=True)
    return folder


def test_the_main_job_is_short_and_leaves_a_picture(workshop):
    commands = re.findall(r"^\$ ", PAGES["README"].read_text(), re.MULTILINE)
    assert 0 < len(commands) < 10
    assert (walked("README", workshop) / "result.jpg").is_file()


@pytest.mark.parametrize("page", GUIDE)
def test_a_page_of_the_guide_runs_as_written(page, workshop):
    assert walked(page, workshop).is_dir()


@pytest.mark.parametrize("page", TUTORIALS)
def test_a_tutorial_runs_as_written(page, workshop):
    assert walked(page, workshop).is_dir()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_named_in_the_prose_exists(page):
    for verb, inner in re.findall(r"`perisphere ([a-z]+)(?: ([a-z]+))?", PAGES[page].read_text()):
        perisphere([verb, *([inner] if verb in VERBS_OF_VERBS and inner else []), "--help"])


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)#]+)", PAGES["README"].read_text()))
def test_every_link_leads_somewhere(path):
    assert (ROOT / path).exists()

"""The blocks of README, guide and tutorials run as they stand, on generated photos and with one epoch.

README's console block runs first, in a folder with `photos` and `photo.jpg`. Each page of the guide begins in
a copy of what it left; one that needs more names the pages before it, `<!-- after: datasets, encoders -->`.
Tutorials begin with nothing, and say how they are made small, `<!-- small: scenes --photos 8 -->`. A page is
walked once in a test run, by whichever process comes first, so that pages can be run in parallel, in any
order and alone.
"""

import contextlib
import fcntl
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from perisphere.cli.main import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GUIDE = [f"guide/{path.stem}" for path in sorted((DOCS / "guide").glob("*.md"))]
TUTORIALS = [f"tutorials/{path.stem}" for path in sorted((DOCS / "tutorials").glob("*.md"))]
PAGES = {"README": ROOT / "README.md"} | {name: DOCS / f"{name}.md" for name in GUIDE + TUTORIALS}
GROUPS = {
    group for group, command in typer.main.get_command(app).commands.items() if hasattr(command, "commands")
}


def perisphere(words: list[str]) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"perisphere {shlex.join(words)}: {result.output} {result.exception}"
    return result.output


def smaller(text: str) -> dict[str, list[str]]:
    """Words to add to the commands of a page, so that it takes seconds: one epoch, and what it asks for."""
    added = {"train": ["epochs=1"], "scenes": ["--workers", "1"]}
    for words in re.findall(r"<!-- small: (.*?) -->", text):
        for command, *more in map(shlex.split, words.split(";")):
            added[command] += more
    return added


def run_console(block: str, added: dict[str, list[str]]) -> None:
    for line in block.replace("\\\n", " ").splitlines():
        assert line.startswith("$ perisphere "), f"no command of ours: {line}"
        words = shlex.split(line.removeprefix("$ perisphere "), comments=True)
        perisphere([*words, *added.get(words[0], [])])


def run(page: str) -> None:
    """All blocks of a page, in their order; its Python blocks share their names."""
    names: dict[str, object] = {"__name__": "__main__"}
    text = PAGES[page].read_text()
    more = smaller(text)
    blocks = re.findall(r"^```(console|python)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for language, block in blocks:
        if language == "console":
            run_console(block, more)
        else:
            exec(compile(block, page, "exec"), names)


def earlier(page: str) -> list[str]:
    if page == "README" or page in TUTORIALS:
        return []
    named = re.search(r"<!-- after: (.*?) -->", PAGES[page].read_text())
    return ["README", *(f"guide/{name}" for name in (named[1].split(", ") if named else []))]


def prepare(page: str, folder: Path, workshop: Path) -> None:
    folder.mkdir(parents=True)
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
    folder = workshop / page
    done, mutex = folder.with_suffix(".done"), folder.with_suffix(".lock")
    mutex.parent.mkdir(parents=True, exist_ok=True)
    with mutex.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            prepare(page, folder, workshop)
            with contextlib.chdir(folder):
                run(page)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def workshop(tmp_path_factory) -> Path:
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
        perisphere([verb, *([inner] if verb in GROUPS and inner else []), "--help"])


def test_the_road_of_the_guide_is_that_of_the_readme():
    block = re.search(r"^```console\n(.*?)^```", PAGES["README"].read_text(), re.DOTALL | re.MULTILINE)
    assert block is not None
    assert block[1].replace("$ ", "") in PAGES["guide/road"].read_text()


@pytest.mark.parametrize("page", GUIDE)
def test_a_page_tells_which_pages_it_goes_on_from(page):
    text = PAGES[page].read_text()
    assert not [name for name in earlier(page)[1:] if f"({Path(name).name}.md)" not in text]


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)#]+)", PAGES["README"].read_text()))
def test_every_link_leads_somewhere(path):
    assert (ROOT / path).exists()

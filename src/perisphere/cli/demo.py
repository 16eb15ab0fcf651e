"""``perisphere demo``: every verb of the main job, one after another, on generated photos."""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from perisphere.cli.main import app
from perisphere.storage import whole_file

QUERIES = 4


@app.command("demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is made.")] = Path("demo"),
    landmarks: Annotated[int, typer.Option(min=2, help="Landmarks to generate.")] = 40,
    photos: Annotated[int, typer.Option(min=10, help="Photos of each; a tenth are the gallery.")] = 40,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's own.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the photos, the split and the training.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in OUT.")] = False,
) -> None:
    """Generate photos, train on them, index, search, evaluate and draw the result: minutes on two cores.

    Each step is an ordinary command, printed before it runs, so that the demo is also the shortest manual.

    Example: `perisphere demo --out demo`
    """
    prepare(out, overwrite)
    started = time.monotonic()
    for words in steps(out, landmarks, photos, epochs, seed):
        typer.secho(f"\n$ perisphere {shlex.join(words)}", bold=True)
        app(words, standalone_mode=False)
    closing(out, time.monotonic() - started)


def prepare(out: Path, overwrite: bool) -> None:
    """Make ``out`` an empty folder that says it is a demo's."""
    from perisphere.storage import check_replaceable

    if out.exists():
        check_replaceable(out, overwrite)
        shutil.rmtree(out)
    with whole_file(out / "demo.json") as part:
        part.write_text(json.dumps({"kind": "perisphere demo"}))


def steps(out: Path, landmarks: int, photos: int, epochs: int | None, seed: int) -> Iterator[list[str]]:
    """Yield the words of each command; the later ones look at what the earlier ones made."""
    yield from learning(out, landmarks, photos, epochs, seed)
    yield from judging(out)
    yield searching(out)


def learning(out: Path, landmarks: int, photos: int, epochs: int | None, seed: int) -> list[list[str]]:
    """The commands from photos to an index; beside the trained encoder, the same net as it began."""
    scenes = ["--landmarks", str(landmarks), "--photos", str(photos), "--seed", str(seed), "--no-truth"]
    split, trained, untrained = (str(out / name) for name in ("split", "training/encoder", "untrained"))
    return [
        ["scenes", str(out / "scenes"), *scenes],
        ["read", "folders", str(out / "scenes" / "photos"), "-o", str(out / "catalog")],
        ["split", str(out / "catalog"), "-o", split, "--seed", str(seed)],
        [
            "train",
            "landmark-small",
            f"data.0.catalog={split}",
            f"seed={seed}",
            *([f"epochs={epochs}"] if epochs else []),
            "-o",
            str(out / "training"),
        ],
        ["weights", "fresh", trained, "-o", untrained, "--seed", str(seed)],
        ["embed", split, "--encoder", trained, "-o", str(out / "vectors")],
        ["embed", split, "--encoder", untrained, "-o", str(out / "untrained-vectors")],
        ["index", "create", str(out / "index"), str(out / "vectors"), "--encoder", trained],
        ["index", "calibrate", str(out / "index")],
    ]


def judging(out: Path) -> list[list[str]]:
    """The commands that score both encoders on test photos, and put the reports side by side."""
    held_out = ["--query", "test", "--gallery", "index"]
    reports = str(out / "report.json"), str(out / "untrained-report.json")
    return [
        [
            "evaluate",
            "retrieval",
            str(out / "vectors"),
            *held_out,
            "-o",
            reports[0],
            "--plots",
            str(out / "plots"),
        ],
        ["evaluate", "retrieval", str(out / "untrained-vectors"), *held_out, "-o", reports[1]],
        ["evaluate", "compare", *reports],
    ]


def searching(out: Path) -> list[str]:
    """The command that searches with the first test photo of a few landmarks."""
    from perisphere.catalog import Catalog

    test = Catalog.load(out / "split").select(split="test")
    first_of_each = dict(zip(reversed(test.labels()), reversed(test.paths()), strict=True))
    labels = sorted(first_of_each, key=str)
    photos = [str(first_of_each[label]) for label in labels[:: max(len(labels) // QUERIES, 1)][:QUERIES]]
    where = "split != 'test'"
    return [
        "search",
        str(out / "index"),
        *photos,
        "--each",
        "--filter",
        where,
        "--sheet",
        str(out / "result.png"),
    ]


def closing(out: Path, seconds: float) -> None:
    """Say where everything lies and what to do next."""
    typer.echo(f"""
Done in {seconds / 60:.1f} minutes.

  result sheet  {out / "result.png"}
  report        {out / "report.json"}, curves in {out / "plots"}
  index         {out / "index"}

Search it with a photo of your own:

  {program()} search {out / "index"} YOUR_PHOTO.jpg --sheet mine.png

or in a browser:

  {program()} serve {out / "index"}""")


def program() -> str:
    """Return what to type to start this program: its path where the shell would not find its name."""
    if shutil.which("perisphere"):
        return "perisphere"
    called = sys.argv[0]
    return f"{sys.executable} -m perisphere" if called.endswith("__main__.py") else shlex.quote(called)

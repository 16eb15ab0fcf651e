"""``perisphere demo``: every verb of the main job, one after another, on generated photos."""

import json
import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from perisphere.cli.main import app
from perisphere.storage import whole_file

LANDMARKS = 40
PHOTOS = 40


@app.command("demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is made.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of the photos, the split and the training.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in OUT.")] = False,
) -> None:
    """Generate photos, train on them, index, search, evaluate and draw the result: minutes on two cores.

    Each step is an ordinary command, printed before it runs, so that the demo is also the shortest manual.

    Example: `perisphere demo --out demo`
    """
    prepare(out, overwrite)
    started = time.monotonic()
    for words in steps(out, seed):
        typer.secho(f"\n$ perisphere {shlex.join(words)}", bold=True)
        app(words, standalone_mode=False)
    closing(out, time.monotonic() - started)


def prepare(out: Path, overwrite: bool) -> None:
    """Make ``out`` an empty folder that says it is a demo's."""
    import shutil

    from perisphere.storage import check_replaceable

    if out.exists():
        check_replaceable(out, overwrite)
        shutil.rmtree(out)
    with whole_file(out / "demo.json") as part:
        part.write_text(json.dumps({"landmarks": LANDMARKS, "photos": PHOTOS}))


def steps(out: Path, seed: int) -> list[list[str]]:
    """The words of each command, in order."""
    at = {name: str(out / name) for name in ("scenes", "catalog", "split", "vectors", "index", "training")}
    encoder = str(out / "training" / "encoder")
    scenes = ["--landmarks", str(LANDMARKS), "--photos", str(PHOTOS), "--seed", str(seed)]
    return [
        ["scenes", at["scenes"], "--layout", "folders", *scenes],
        ["read", "folders", str(out / "scenes" / "photos"), "-o", at["catalog"]],
        ["split", at["catalog"], "-o", at["split"], "--seed", str(seed)],
        ["train", "landmark-demo", f"data.0.catalog={at['split']}", f"seed={seed}", "-o", at["training"]],
        ["embed", at["split"], "--encoder", encoder, "-o", at["vectors"]],
        ["index", "create", at["index"], at["vectors"], "--encoder", encoder],
    ]


def closing(out: Path, seconds: float) -> None:
    """Say where everything lies and what to do next."""
    typer.echo(f"\nDone in {seconds / 60:.1f} minutes.")

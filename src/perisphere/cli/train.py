"""``perisphere train``: from a recipe to an encoder."""

from pathlib import Path
from typing import Annotated

import typer

from perisphere.cli.main import app


@app.command("train")
def train_encoder(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a packaged one.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. optimizer.lr=0.01")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    devices: Annotated[int | None, typer.Option("--devices", help="Processes that share each batch.")] = None,
    nodes: Annotated[
        int, typer.Option("--nodes", min=1, help="Machines that train together; start this on each of them.")
    ] = 1,
    node_rank: Annotated[
        int | None,
        typer.Option("--node-rank", help="Which of the machines this is, from 0."),
    ] = None,
    master: Annotated[
        str | None, typer.Option("--master", metavar="HOST:PORT", help="Machine 0, as the others reach it.")
    ] = None,
    runs: Annotated[
        int | None, typer.Option("--runs", min=2, help="Train so often, with seeds one after another.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder of the run [runs/NAME].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train an encoder as a recipe says.

    OUT/encoder is the result; OUT/history.json and OUT/tensorboard hold the metrics of every epoch.

    **Examples**

        perisphere train landmark-small -o runs/demo

        perisphere train landmark-resnet50 data.0.root=photos epochs=20 optimizer.lr=0.005

        perisphere train landmark-small -o runs/demo --resume

        perisphere train mine.yaml accelerator=gpu precision=bf16-mixed --devices 2

        perisphere train mine.yaml --devices 8 --nodes 2 --node-rank 0 --master first.lan:29500 -o /shared/run

        perisphere train landmark-small -o runs/demo --runs 3

    With `--runs 3` the seeds are the recipe's and the two after it: OUT/run-0, OUT/run-1 and OUT/run-2 are
    runs, and OUT/runs.json holds the mean and the deviation of their figures. `--resume` goes on with them.

    `perisphere recipes list` names the packaged recipes.
    """
    import json
    import time

    from perisphere.errors import UsageError
    from perisphere.training import load, train, train_runs
    from perisphere.training.devices import Nodes, place_from_environment

    words = list(overrides or [])
    if devices is not None:
        words.append(f"devices={devices}")
    if out is not None:
        words.append(f"out={json.dumps(str(out))}")
    checked = load(recipe, words)
    place = place_from_environment(checked)
    together = Nodes.of(nodes, node_rank, master)
    # torchrun starts this command once for each device
    first = together.rank == 0 and (place is None or place.rank == 0)
    tell = _note if first else lambda _: None
    begun = time.monotonic()
    if runs is not None:
        if together.count > 1:
            raise UsageError("--runs: takes one machine; with --nodes start each run by itself, seed=1 ...")
        found = train_runs(checked, runs, resume=resume, tell=tell)
        if first:
            typer.echo(json.dumps(found, indent=1) if as_json else _of_runs(found, checked.folder))
        return
    folder = train(checked, resume=resume, nodes=together, tell=tell)
    if not first:
        return
    summary = _summary(folder, time.monotonic() - begun)
    typer.echo(json.dumps(summary, indent=1) if as_json else _in_words(summary))


def _note(text: str) -> None:
    typer.echo(text, err=True)


def _of_runs(found: dict, folder: Path) -> str:
    from perisphere.training.runs import RUNS

    each = [
        f"seed {run['seed']}: epoch {run['epoch']} is kept: {_figures(run['metrics'])}"
        for run in found["runs"]
    ]
    spread = ", ".join(
        f"{name} {value:.3f} +- {found['deviation'][name]:.3f}"
        for name, value in sorted(found["mean"].items())
    )
    return "\n".join(
        [*each, f"Mean and deviation of {len(each)} runs: {spread}", f"Written: {folder / RUNS}"]
    )


def _figures(metrics: dict) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in sorted(metrics.items()))


def _summary(folder: Path, seconds: float) -> dict:
    import json

    described = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    history = json.loads((folder.parent / "history.json").read_text(encoding="utf-8"))
    provenance = described["provenance"]
    return {
        "encoder": str(folder),
        "identity": described["identity"],
        "dim": described["dim"],
        "photos": provenance["photos"],
        "classes": provenance["classes"],
        **(
            {"tags": provenance["tags"], "bits": described["codebooks"]["bits"]}
            if "tags" in provenance
            else {}
        ),
        "epochs": len(history),
        "best_epoch": provenance["epoch"],
        "metrics": described["metrics"],
        "seconds": round(seconds, 1),
    }


def _in_words(summary: dict) -> str:
    of = f"of {summary['classes']} classes" if summary["classes"] else "that share points"
    of = f"with {summary['tags']} tags" if "tags" in summary else of
    space = f"{summary['dim']} dimensions" + (f", {summary['bits']}-bit codes" if "bits" in summary else "")
    return (
        f"Trained on {summary['photos']} photos {of} in {summary['seconds']:.0f} s; "
        f"epoch {summary['best_epoch']} is kept: {_figures(summary['metrics'])}.\n"
        f"Encoder: {summary['encoder']} ({space}, identity {summary['identity']})\n"
        f"Next: perisphere embed CATALOG --encoder {summary['encoder']} -o VECTORS"
    )

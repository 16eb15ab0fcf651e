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

    `perisphere recipes list` names the packaged recipes.
    """
    import json
    import time

    from perisphere.training import load, train

    words = list(overrides or [])
    if devices is not None:
        words.append(f"devices={devices}")
    if out is not None:
        words.append(f"out={json.dumps(str(out))}")
    checked = load(recipe, words)
    begun = time.monotonic()
    folder = train(checked, resume=resume, tell=lambda note: typer.echo(note, err=True))
    summary = _summary(folder, time.monotonic() - begun)
    typer.echo(json.dumps(summary, indent=1) if as_json else _in_words(summary))


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
        "epochs": len(history),
        "best_epoch": provenance["epoch"],
        "metrics": described["metrics"],
        "seconds": round(seconds, 1),
    }


def _in_words(summary: dict) -> str:
    metrics = summary["metrics"]
    figures = ", ".join(f"{name} {value:.3f}" for name, value in sorted(metrics.items()))
    return (
        f"Trained on {summary['photos']} photos of {summary['classes']} classes "
        f"in {summary['seconds']:.0f} s; "
        f"epoch {summary['best_epoch']} is kept: {figures}.\n"
        f"Encoder: {summary['encoder']} ({summary['dim']} dimensions, identity {summary['identity']})\n"
        f"Next: perisphere embed CATALOG --encoder {summary['encoder']} -o VECTORS"
    )

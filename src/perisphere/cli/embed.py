"""``perisphere embed``: every image of a catalog to a point on the sphere."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from perisphere.cli.main import app
from perisphere.cli.runtimes import INT8, RUNTIME

if TYPE_CHECKING:
    from perisphere.encoder import Embeddings

SHOWN = 5  # skipped images named on the screen; the rest stand in embeddings.json


@app.command("embed")
def embed(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder, from `perisphere read`.")],
    encoder: Annotated[Path, typer.Option("--encoder", "-e", help="An encoder folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    batch_size: Annotated[
        int, typer.Option(min=1, max=65536, help="Images through the network at once.")
    ] = 32,
    workers: Annotated[int, typer.Option(min=0, max=1024, help="Decoding threads; 0: one a core.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps ...")] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option(help="auto: bfloat16 where the device has it in hardware."),
    ] = "auto",
    runtime: RUNTIME = None,
    int8: INT8 = False,
    half: Annotated[
        bool, typer.Option("--half", help="Keep vectors as float16: half the space, 3 digits.")
    ] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Embed images whole although the catalog has boxes.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Embed on a Ray cluster: auto, local or HOST:PORT."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier OUT.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Embed every image of a catalog with an encoder.

    Writes `vectors.npy` (float32, with --half float16; one unit row an image), `lengths.npy`
    (the length that the network gave each), `rows.parquet` (the catalog's
    rows in the same order) and `embeddings.json` (which encoder, the speed, and what was skipped and why). An
    image that cannot be read is skipped. Killed? The same command goes on where it was. Where the
    catalog has a box, what lies in it is embedded. With --ray all machines of a cluster embed; they must see
    the photos under the same paths.

    **Examples**

    `perisphere embed catalog --encoder encoder -o vectors`

    `perisphere embed catalog -e encoder -o vectors --batch-size 64 --device cuda --json`

    `perisphere embed catalog -e encoder -o vectors --ray auto`

    `perisphere embed catalog -e encoder -o vectors --runtime openvino`
    """
    from perisphere.catalog import Catalog
    from perisphere.encoder import Encoder
    from perisphere.encoder import embed as run

    embeddings = run(
        Catalog.load(catalog),
        Encoder.load(encoder).on(runtime, int8=int8),
        out,
        batch_size=batch_size,
        device=device,
        workers=workers,
        precision=precision,
        half=half,
        whole=whole,
        overwrite=overwrite,
        ray=ray,
    )
    if as_json:
        typer.echo(json.dumps(_summary(embeddings, out), indent=2))
    else:
        _show(embeddings, out)


def _summary(embeddings: "Embeddings", out: Path) -> dict[str, object]:
    return {
        "out": str(out),
        "rows": len(embeddings),
        "dim": embeddings.dim,
        "encoder": embeddings.encoder,
        "run": embeddings.run,
        "skipped": embeddings.skipped,
    }


def _show(embeddings: "Embeddings", out: Path) -> None:
    run = embeddings.run
    typer.echo(f"{len(embeddings):,} embeddings of {embeddings.dim} numbers in {out}")
    if run["resumed_at"]:
        typer.echo(f"went on at image {run['resumed_at']:,} of an earlier run")
    if run["images"]:
        by = "" if run.get("runtime", "torch") == "torch" else f" by {run['runtime']}"
        typer.echo(
            f"{run['images_per_second']:,.1f} images/s on {run['device']}{by} in {run['precision']}, "
            f"{run['network_share']:.0%} of the time in the network"
        )
    for skipped in embeddings.skipped[:SHOWN]:
        typer.echo(f"skipped {skipped['path']}: {skipped['reason']}")
    if len(embeddings.skipped) > SHOWN:
        typer.echo(f"... {len(embeddings.skipped):,} skipped in all, listed in {out / 'embeddings.json'}")

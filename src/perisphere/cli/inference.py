"""``perisphere inference``: features and most similar photos as plain files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from perisphere.cli.main import app
from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.encoder.features import Features

SHOWN = 5  # skipped photos named on the screen; the rest stand in features.json

inference = typer.Typer(
    help="Features of a folder, and the most similar photos, as plain files.", no_args_is_help=True
)
app.add_typer(inference, name="inference")

BATCH = Annotated[int, typer.Option(min=1, max=65536, help="Images through the network at once.")]
WORKERS = Annotated[int, typer.Option(min=0, max=1024, help="Decoding threads; 0: one a core.")]
DEVICE = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps ...")]
PRECISION = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="auto: bfloat16 where the device has it in hardware."),
]
OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier OUT.")]


@inference.command("embed")
def embed(
    folder: Annotated[Path, typer.Argument(help="A folder of photos, its folders included, or one photo.")],
    encoder: Annotated[Path, typer.Option("--encoder", "-e", help="An encoder folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    centroids: Annotated[
        bool, typer.Option("--centroids", help="One row an identity, the mean of its photos' features.")
    ] = False,
    by: Annotated[
        Literal["folder", "name"] | None,
        typer.Option(
            help="A photo's identity: its folder's name (the default), or the file's name up to the last "
            "underscore. Goes with --centroids."
        ),
    ] = None,
    batch_size: BATCH = 32,
    workers: WORKERS = 0,
    device: DEVICE = "auto",
    precision: PRECISION = "auto",
    overwrite: OVERWRITE = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Write the features of a folder's photos: `embeddings.npy` and `paths.npy`.

    Features are as the network gives them, not brought to length one. With --centroids the rows are the
    identities, and `paths.npy` holds their names. Photos that cannot be read are skipped; `features.json`
    lists them. Killed? The same command goes on where it was.

    **Examples**

    `perisphere inference embed photos --encoder encoder -o gallery`

    `perisphere inference embed photos --encoder encoder --centroids --by folder -o identities`
    """
    from perisphere.encoder import Encoder
    from perisphere.encoder.embed_folder import embed_folder

    if by is not None and not centroids:
        raise UsageError(f"--by {by}: goes with --centroids, which is missing.")
    features = embed_folder(
        folder,
        Encoder.load(encoder),
        out,
        centroids_by=(by or "folder") if centroids else None,
        batch_size=batch_size,
        device=device,
        workers=workers,
        precision=precision,
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps({"out": str(out), "rows": len(features), **features.about}, indent=2))
    else:
        _show(features, out)


@inference.command("similar")
def similar(
    queries: Annotated[
        Path, typer.Argument(help="Photos (a folder or one), or features written by `inference embed`.")
    ],
    gallery: Annotated[Path, typer.Option("--gallery", "-g", help="Features written by `inference embed`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    encoder: Annotated[
        Path | None, typer.Option("--encoder", "-e", help="An encoder folder, for queries that are photos.")
    ] = None,
    topk: Annotated[int, typer.Option(min=0, help="Results of a query; 0: the whole gallery.")] = 100,
    metric: Annotated[
        Literal["cosine", "euclidean"],
        typer.Option(help="|1 - cosine|, or the squared Euclidean distance."),
    ] = "cosine",
    normalize: Annotated[
        bool, typer.Option("--normalize", "--normalise", help="Bring both sides to length one first.")
    ] = False,
    form: Annotated[Literal["parquet", "json"], typer.Option("--format", help="Of the results.")] = "parquet",
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Draw queries and their top ten (.jpg, .png).")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, max=150, help="Queries of the sheet; 20 if not given.")
    ] = None,
    by: Annotated[
        Literal["folder", "name"] | None,
        typer.Option(help="Where identities stand, for the sheet's green and red frames."),
    ] = None,
    batch_size: BATCH = 32,
    workers: WORKERS = 0,
    device: DEVICE = "auto",
    precision: PRECISION = "auto",
    overwrite: OVERWRITE = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Write the most similar photos or identities of a gallery for each query.

    `results.parquet` has a row a query: `indices`, `paths` and `distances`, nearest first; beside it lie
    `query_embeddings.npy` and `query_paths.npy`. The gallery may also be of the published program. Killed?
    The same command goes on where it was.

    **Examples**

    `perisphere inference similar queries --gallery gallery -e encoder --topk 100 -o similar`

    `perisphere inference similar queries -g identities -e encoder -o similar --by folder --sheet top.jpg`
    """
    from perisphere.encoder.features import Features, is_features
    from perisphere.search.query_features import forget_features, query_features
    from perisphere.search.sheet import sheet_format
    from perisphere.search.similar import write_similar
    from perisphere.storage import check_replaceable

    for option, value in (("--rows", rows), ("--by", by)):
        if value is not None and sheet is None:
            raise UsageError(f"{option} {value}: goes with --sheet FILE, which is missing.")
    if sheet is not None:
        sheet_format(sheet)
    check_replaceable(out, overwrite)
    known = Features.load(gallery)
    if is_features(queries):
        if encoder is not None:
            raise UsageError(f"--encoder: {queries} holds features already. Leave it out.")
        asked = Features.load(queries)
    else:
        if encoder is None:
            raise UsageError(f"--encoder: {queries} holds photos; name the encoder of {gallery}.")
        asked = query_features(
            queries,
            _encoder(encoder, known, gallery),
            out,
            batch_size=batch_size,
            device=device,
            workers=workers,
            precision=precision,
        )
    write_similar(
        asked,
        known,
        out,
        topk=topk,
        distance=metric,
        normalise=normalize,
        format=form,
        overwrite=overwrite,
    )
    forget_features(out)
    if sheet is not None:
        _draw(sheet, out, form, known, metric, by, rows or 20)
    _report(asked, known, out, form, sheet, as_json)


@inference.command("convert")
def convert(
    results: Annotated[Path, typer.Argument(help="results.npy, .parquet or .json.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .parquet or .json file to write.")],
) -> None:
    """Write results in another form, those of the published program (a pickle, which is not run) too.

    **Examples**

    `perisphere inference convert results.npy -o results.parquet`
    """
    from perisphere.search.similar_files import convert_results

    count = convert_results(results, out)
    typer.echo(f"{count:,} quer{'y' if count == 1 else 'ies'} in {out}")


def _encoder(folder: Path, gallery: "Features", named: Path) -> Any:
    """Load the encoder, refusing one that the gallery is not of before anything is embedded."""
    from perisphere.encoder import Encoder

    encoder = Encoder.load(folder)
    made = (gallery.about.get("encoder") or {}).get("identity")
    if made not in (None, encoder.identity):
        raise UsageError(f"--encoder: {named} was embedded with another one ({made}). Name that one.")
    return encoder


def _draw(sheet: Path, out: Path, form: str, gallery: "Features", metric: str, by: Any, rows: int) -> None:
    import polars as pl

    from perisphere.search.sheet import write_sheet
    from perisphere.search.similar_files import RESULTS, read_results
    from perisphere.search.similar_sheet import COLUMNS, similar_answers

    file = out / f"{RESULTS}.{form}"
    first = pl.scan_parquet(file).head(rows).collect() if form == "parquet" else read_results(file).head(rows)
    answers = similar_answers(first, gallery, distance=metric, by=by)
    write_sheet(sheet, answers, title=out.name, columns=COLUMNS)


def _report(
    queries: "Features", gallery: "Features", out: Path, form: str, sheet: Path | None, as_json: bool
) -> None:
    skipped = queries.about.get("skipped", [])
    if as_json:
        facts = {"out": str(out), "queries": len(queries), "gallery": len(gallery), "format": form}
        typer.echo(
            json.dumps({**facts, "sheet": str(sheet) if sheet else None, "skipped": skipped}, indent=2)
        )
        return
    kind = "photos" if gallery.by is None else "identities"
    typer.echo(f"{len(queries):,} queries against {len(gallery):,} {kind}: {out / f'results.{form}'}")
    _name_skipped(skipped, out)
    if sheet is not None:
        typer.echo(f"sheet  {sheet}")


def _show(features: "Features", out: Path) -> None:
    about, run = features.about, features.about["run"]
    kind = "photos" if features.by is None else f"identities of {about['photos']:,} photos, by {features.by},"
    typer.echo(f"{len(features):,} {kind} as {features.vectors.shape[1]:,} numbers each in {out}")
    if run["resumed_at"]:
        typer.echo(f"went on at photo {run['resumed_at']:,} of an earlier run")
    _name_skipped(about["skipped"], out)


def _name_skipped(skipped: list[dict[str, str]], out: Path) -> None:
    for one in skipped[:SHOWN]:
        typer.echo(f"skipped {one['path']}: {one['reason']}")
    if len(skipped) > SHOWN:
        typer.echo(f"... {len(skipped):,} skipped in all, listed in {out}")

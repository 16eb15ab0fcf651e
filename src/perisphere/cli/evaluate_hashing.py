"""``perisphere evaluate hashing``: codes of photos beside the vectors that they stand for."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from perisphere.cli.evaluate_options import show_table, words
from perisphere.cli.evaluate_reid import own
from perisphere.errors import UsageError


class TieOrder(StrEnum):
    """How photos of equal score stand."""

    database = "database"
    expected = "expected"


Plots = Annotated[Path | None, typer.Option(help="Draw curves into this folder, PNG and SVG.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write the report as JSON.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@own.command("hashing")
def hashing(
    source: Annotated[
        Path, typer.Argument(metavar="QUERIES", help="An embeddings folder or an index: the queries.")
    ],
    others: Annotated[
        Path | None,
        typer.Argument(
            metavar="[GALLERY]", help="The gallery, where it is another folder.", show_default=False
        ),
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="Splits that ask (default: query; with GALLERY: all of QUERIES).")
    ] = None,
    gallery: Annotated[
        str | None, typer.Option(help="Splits that are searched (default: gallery; with GALLERY: all of it).")
    ] = None,
    codebooks: Annotated[
        Path | None,
        typer.Option(
            metavar="CODEBOOKS|ENCODER",
            help="What encodes both sides (default: the codebooks of the encoder that made the vectors).",
        ),
    ] = None,
    codes: Annotated[
        Path | None,
        typer.Option(metavar="CODES", help="Codes of the gallery, of `perisphere codes encode`."),
    ] = None,
    only_floats: Annotated[bool, typer.Option("--floats", help="Judge the vectors alone, no codes.")] = False,
    at: Annotated[
        str, typer.Option("--at", help="R: how many of the first photos count, such as 1000,5000.")
    ] = "5000",
    ties: Annotated[
        TieOrder,
        typer.Option(help="Photos of equal score: in the order of the database, or the mean of all."),
    ] = TieOrder.database,
    block: Annotated[int | None, typer.Option(min=1, help="Queries at a time (default: 64 MiB).")] = None,
    seed: Annotated[int, typer.Option(help="Of the code assignment.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="Write precision and recall over places as CSV.")] = None,
    plots: Plots = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Judge codes: do the first R photos share a concept with the query?

    Three rankings stand side by side: **float** (vectors on both sides), **asymmetric** (the query as a
    vector, the gallery as codes) and **symmetric** (both as codes), with the bytes that an image takes and
    the queries that are ranked in a second.

    **MAP@R** counts as published: the average precision is divided by the relevant photos within R, and a
    query with none there is left out. **strict MAP@R** divides by what could be found there.

    Short codes tie in masses. With --ties database their order is that of the gallery, as published; with
    --ties expected every figure is the mean over all orders of photos of equal score.

    **Examples**

    `perisphere evaluate hashing vectors --codebooks codebooks.npz`

    `perisphere evaluate hashing queries database --codebooks encoder --at 1000,5000 --plots plots`

    `perisphere evaluate hashing vectors --codes vectors.codes --json`

    `perisphere evaluate hashing vectors --codebooks pq.npz --ties expected --csv curves.csv --json`
    """
    if sum((only_floats, codebooks is not None, codes is not None)) > 1:
        raise UsageError(
            "--floats judges no codes, and --codes brings its codebooks: give one of --floats, --codebooks, "
            "--codes."
        )
    depths = depths_of(at)
    from perisphere.codes.code_folder import CodeFolder
    from perisphere.evaluation import read_points
    from perisphere.evaluation.hashing import KINDS, judge_hashing, own_codebooks
    from perisphere.evaluation.rankings_table import rankings_table, write_places

    points = read_points(source)
    report = judge_hashing(
        points,
        None if others is None else read_points(others),
        query=words(query),
        gallery=words(gallery),
        codebooks=None if only_floats or codes else own_codebooks(points, codebooks),
        codes=None if codes is None else CodeFolder.load(codes),
        depths=depths,
        ties=ties.value,
        block=block,
        seed=seed,
    )
    if output:
        report.save(output)
    if csv:
        typer.echo(f"wrote {write_places(report, csv)}", err=True)
    if plots:
        from perisphere.evaluation.plots import draw

        for file in draw({source.name: report}, plots):
            typer.echo(f"wrote {file}", err=True)
    if as_json:
        typer.echo(report.to_json(), nl=False)
    else:
        show_table(rankings_table(report, KINDS))


def depths_of(text: str) -> list[int]:
    """Return the whole numbers of ``--at``, each 1 or more."""
    try:
        depths = [int(word) for word in text.split(",")]
    except ValueError:
        depths = [0]
    if min(depths) < 1:
        raise UsageError(f"--at {text!r}: give whole numbers from 1 on, separated by commas, such as 5000.")
    return depths

"""``perisphere evaluate``: how good the vectors of an Embeddings folder or an Index are."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perisphere.cli.main import app
from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.evaluation import Report


class Protocol(StrEnum):
    """What is judged."""

    retrieval = "retrieval"
    landmark = "landmark"
    classification = "classification"
    compare = "compare"


class MetricName(StrEnum):
    """What orders the gallery."""

    cosine = "cosine"
    l2 = "l2"
    l1 = "l1"


class VoteName(StrEnum):
    """How neighbours vote."""

    weighted = "weighted"
    majority = "majority"


class TieName(StrEnum):
    """Where a wrong image of equal score is ranked."""

    pessimistic = "pessimistic"
    optimistic = "optimistic"


ONLY_FOR = {
    "k": (Protocol.retrieval, Protocol.landmark),
    "ties": (Protocol.retrieval, Protocol.landmark),
    "block": (Protocol.retrieval, Protocol.landmark),
    "neighbours": (Protocol.classification,),
    "vote": (Protocol.classification,),
    "plots": (Protocol.retrieval, Protocol.landmark, Protocol.compare),
    "query": (Protocol.retrieval, Protocol.landmark, Protocol.classification),
    "gallery": (Protocol.retrieval, Protocol.landmark, Protocol.classification),
    "metric": (Protocol.retrieval, Protocol.landmark, Protocol.classification),
}
"""Options that mean something for some protocols alone."""


@app.command("evaluate")
def evaluate(
    context: typer.Context,
    protocol: Annotated[
        Protocol,
        typer.Argument(
            metavar="PROTOCOL",
            help="retrieval, classification or compare; landmark is retrieval's other name.",
        ),
    ],
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="An embeddings folder or an index; for compare: reports."),
    ],
    query: Annotated[
        str | None, typer.Option(help="Splits that ask, such as query,val (default: all).")
    ] = None,
    gallery: Annotated[str | None, typer.Option(help="Splits that are searched (default: all).")] = None,
    metric: Annotated[
        MetricName | None,
        typer.Option(help="What orders the gallery; default: an index's own, cosine for embeddings."),
    ] = None,
    k: Annotated[str, typer.Option("--k", "-k", help="retrieval: depths of the metrics at k.")] = "1,5,10",
    ties: Annotated[
        TieName, typer.Option(help="retrieval: where a wrong image of equal score stands.")
    ] = TieName.pessimistic,
    block: Annotated[
        int | None, typer.Option(min=1, help="retrieval: queries at a time (default: 128 MiB of scores).")
    ] = None,
    neighbours: Annotated[int, typer.Option(min=1, help="classification: neighbours that vote.")] = 10,
    vote: Annotated[VoteName, typer.Option(help="classification: how they vote.")] = VoteName.weighted,
    plots: Annotated[Path | None, typer.Option(help="Draw curves into this folder, PNG and SVG.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the report as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Judge vectors by the labels of their neighbours.

    **retrieval** ranks the whole gallery for each query: mAP, mAP@k, recall@k (at least one right image
    among the first k, which is CMC rank-k), precision@k, found@k (share of right images found), R-precision,
    MRR.

    **classification** lets each query's nearest neighbours vote: top-1, top-5 and balanced accuracy.

    **compare** puts reports side by side.

    Without --query and --gallery every labelled image asks and all others are searched (leave-one-out).

    **Examples**

    `perisphere evaluate retrieval vectors`

    `perisphere evaluate retrieval vectors --query query --gallery gallery,index --plots plots -o report.json`

    `perisphere evaluate classification photos.index --neighbours 20 --json`

    `perisphere evaluate compare before.json after.json --plots plots`
    """
    _refuse_foreign(context, protocol)
    splits = {"query": _words(query), "gallery": _words(gallery), "metric": metric and metric.value}
    if protocol is Protocol.compare:
        _compare(sources, plots, output, as_json)
        return
    options: dict[str, Any] = {"neighbours": neighbours, "vote": vote.value}
    if protocol is not Protocol.classification:
        options = {"ks": _numbers(k), "ties": ties.value, "block": block}
    report = _judge(protocol, sources, splits | options)
    if output:
        report.save(output)
    if plots:
        _draw({sources[0].name: report}, plots)
    _show(report, as_json)


def _refuse_foreign(context: typer.Context, protocol: Protocol) -> None:
    """Refuse an option that the protocol would not look at."""
    for option, protocols in ONLY_FOR.items():
        source = context.get_parameter_source(option)
        if source is not None and source.name == "COMMANDLINE" and protocol not in protocols:
            names = ", ".join(name.value for name in protocols)
            raise UsageError(
                f"--{option} means nothing for {protocol.value} (only for {names}); leave it out."
            )


def _judge(protocol: Protocol, sources: list[Path], options: dict[str, Any]) -> "Report":
    from perisphere.evaluation import classification, read_points, retrieval

    if len(sources) != 1:
        raise UsageError(
            f"{protocol.value} judges one folder, but {len(sources)} were named; judge them in turn."
        )
    options["metric"] = options["metric"] or _own_metric(sources[0])
    judge = classification if protocol is Protocol.classification else retrieval
    return judge(read_points(sources[0]), **options)


def _own_metric(folder: Path) -> str:
    """Return the metric that an index searches by; cosine for embeddings."""
    if (folder / "embeddings.json").is_file() or not (folder / "index.sqlite").is_file():
        return MetricName.cosine.value
    from perisphere.index import Index

    with Index.open(folder) as index:
        return index.metric


def _compare(files: list[Path], plots: Path | None, output: Path | None, as_json: bool) -> None:
    import json

    from perisphere.evaluation import Report, compare
    from perisphere.storage import whole_file

    reports = {_name(file, files): Report.load(file) for file in files}
    table = compare(reports)
    text = json.dumps({name: report.values for name, report in reports.items()}, indent=2, ensure_ascii=False)
    if output:
        with whole_file(output) as part:
            part.write_text(text + "\n", encoding="utf-8")
    if plots:
        _draw(reports, plots)
    if as_json:
        typer.echo(text)
    else:
        _print(table)


def _name(file: Path, files: list[Path]) -> str:
    """Return the shortest name that tells ``file`` from the others."""
    return file.stem if sum(other.stem == file.stem for other in files) == 1 else str(file)


def _draw(reports: "dict[str, Report]", folder: Path) -> None:
    from perisphere.evaluation.plots import draw

    for file in draw(reports, folder):
        typer.echo(f"wrote {file}", err=True)


def _show(report: "Report", as_json: bool) -> None:
    if as_json:
        typer.echo(report.to_json(), nl=False)
    else:
        _print(report.table())


def _print(table: object) -> None:
    from rich.console import Console

    Console().print(table)


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"--k {text!r}: give whole numbers separated by commas, such as 1,5,10.") from None

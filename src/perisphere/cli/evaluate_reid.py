"""``perisphere evaluate reid`` and ``evaluate centroid``: re-identification, by photos and by centroids."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from perisphere.cli.evaluate_options import (
    MetricName,
    TieName,
    check_picture,
    draw_worst,
    numbers,
    own_metric,
    reranking,
    show_report,
    words,
)
from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.evaluation import Points, Report
    from perisphere.evaluation.reid import JudgedReid

own = typer.Typer(
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
)
"""The protocols with options of their own, which :class:`ByProtocol` finds here."""


class ByProtocol(TyperCommand):
    """A command whose first word may be a protocol with options of its own."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Return the context of the protocol that ``args`` begin with, if it is one of :data:`own`."""
        protocols = typer.main.get_command(own).commands  # type: ignore[attr-defined]
        if args and args[0] in protocols:
            return protocols[args[0]].make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


Source = Annotated[Path, typer.Argument(metavar="SOURCE", help="An embeddings folder or an index of photos.")]
Query = Annotated[str, typer.Option(help="Splits that ask, such as query,val.")]
Gallery = Annotated[str, typer.Option(help="Splits that are searched.")]
IgnoreCameras = Annotated[
    bool, typer.Option("--ignore-cameras", help="Photos by the query's own camera count, too.")
]
UserToShop = Annotated[
    bool, typer.Option("--user-to-shop", help="Users' photos ask, the shop's are searched; no cameras.")
]
Metric = Annotated[
    MetricName | None,
    typer.Option(help="What orders the gallery; default: an index's own, cosine for embeddings."),
]
Depths = Annotated[
    str | None,
    typer.Option("--k", "-k", help="Depths of rank-k (default: 1,5,10,20,50; user-to-shop: 1,10,20,50)."),
]
Ties = Annotated[TieName, typer.Option(help="Where a wrong answer of equal score stands.")]
Block = Annotated[int | None, typer.Option(min=1, help="Queries at a time (default: 128 MiB of scores).")]
Both = Annotated[bool, typer.Option("--both", help="Judge by the other protocol, too.")]
PerQuery = Annotated[
    Path | None, typer.Option(help="Write what each query found, worst first: .parquet or .csv.")
]
Worst = Annotated[
    Path | None, typer.Option(help="Draw the 20 queries of lowest average precision, .jpg or .png.")
]
Plots = Annotated[Path | None, typer.Option(help="Draw curves over k into this folder, PNG and SVG.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write the report as JSON.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@own.command("reid")
def reid(
    context: typer.Context,
    source: Source,
    query: Query = "query",
    gallery: Gallery = "gallery",
    ignore_cameras: IgnoreCameras = False,
    user_to_shop: UserToShop = False,
    metric: Metric = None,
    k: Depths = None,
    ties: Ties = TieName.pessimistic,
    block: Block = None,
    rerank: Annotated[
        str | None, typer.Option(metavar="CHAIN", help="Re-rank before judging: kreciprocal.")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Length of the lists that are re-ranked (default: 1000).")
    ] = None,
    both: Both = False,
    per_query: PerQuery = None,
    worst: Worst = None,
    plots: Plots = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Judge re-identification: does a query find photos of its identity by other cameras?

    The label is the identity. For each query the photos of its identity by its own camera are left out;
    rank-k (CMC) is the share of queries with a right photo among the first k, mAP and mINP tell how soon all
    of them are found. Queries without a right photo are skipped and counted. With --user-to-shop the photos
    of the domain user ask for those of the domain shop.

    **Examples**

    `perisphere evaluate reid vectors`

    `perisphere evaluate reid vectors --both --per-query queries.parquet --worst worst.jpg -o report.json`

    `perisphere evaluate reid vectors --user-to-shop --metric l2`

    `perisphere evaluate reid vectors --rerank kreciprocal`
    """
    _refuse_of_whole_rankings(context, rerank)
    chain = reranking(rerank, depth)
    options = _options(query, gallery, ignore_cameras, user_to_shop, k)
    exact: dict[str, Any] = {"ties": ties.value, "block": block}
    _check_files(worst, per_query)
    points, shared = _opened(source, metric, options)
    from perisphere.evaluation import judge_centroid, judge_reid

    judged = judge_reid(points, **shared, **exact, reranking=chain)
    centroids = judge_centroid(points, **shared, **exact).report if both else None
    _tell(judged, _joined(judged.report, centroids), per_query, worst, plots, output, as_json)


@own.command("centroid")
def centroid(
    source: Source,
    query: Query = "query",
    gallery: Gallery = "gallery",
    ignore_cameras: IgnoreCameras = False,
    user_to_shop: UserToShop = False,
    metric: Metric = None,
    k: Depths = None,
    ties: Ties = TieName.pessimistic,
    block: Block = None,
    both: Both = False,
    per_query: PerQuery = None,
    worst: Worst = None,
    plots: Plots = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Judge re-identification in a gallery of centroids: one point for each identity, not all its photos.

    Plain figures are honest: every identity of the gallery is one centroid of all its photos, and the query's
    own of its photos by other cameras. Photos without an identity (label 0000 or none) stand by themselves.

    **asked** figures are those of the protocol as it is described: identities that no query asks for have no
    centroid, which flatters. **published** figures are those of the published program, which reads the
    gallery's cameras from the wrong rows; they are for comparison with its figures alone.

    A centroid is the mean of the features as the network gave them, whose lengths embeddings keep beside the
    vectors; of an index, which keeps none, it is the mean of the vectors of length 1.

    **Examples**

    `perisphere evaluate centroid vectors`

    `perisphere evaluate centroid vectors --both --json`

    `perisphere evaluate centroid vectors --user-to-shop --per-query queries.csv`
    """
    options = _options(query, gallery, ignore_cameras, user_to_shop, k)
    exact: dict[str, Any] = {"ties": ties.value, "block": block}
    _check_files(worst, per_query)
    points, shared = _opened(source, metric, options)
    from perisphere.evaluation import judge_centroid, judge_reid

    judged = judge_centroid(points, **shared, **exact)
    photos = judge_reid(points, **shared, **exact).report if both else None
    report = judged.report if photos is None else _joined(photos, judged.report)
    _tell(judged, report, per_query, worst, plots, output, as_json)


def _options(
    query: str, gallery: str, ignore_cameras: bool, user_to_shop: bool, k: str | None
) -> dict[str, Any]:
    """Return what both protocols are told, before anything is read."""
    if ignore_cameras and user_to_shop:
        raise UsageError("--user-to-shop ignores cameras by itself; leave --ignore-cameras out.")
    return {
        "query": words(query),
        "gallery": words(gallery),
        "cameras": not (ignore_cameras or user_to_shop),
        "user_to_shop": user_to_shop,
        "ks": None if k is None else numbers(k),
    }


def _refuse_of_whole_rankings(context: typer.Context, rerank: str | None) -> None:
    """Refuse an option that means nothing for re-ranked lists."""
    for option in ("ties", "block") if rerank is not None else ():
        given = context.get_parameter_source(option)
        if given is not None and given.name == "COMMANDLINE":
            raise UsageError(f"--{option} means nothing for re-ranked lists; leave it or --rerank out.")


def _check_files(worst: Path | None, per_query: Path | None) -> None:
    """Refuse the names of files before the work rather than after it."""
    check_picture(worst)
    if per_query:
        from perisphere.evaluation.per_query import check_table

        check_table(per_query)


def _opened(
    source: Path, metric: MetricName | None, options: dict[str, Any]
) -> "tuple[Points, dict[str, Any]]":
    """Return the points, and the options with the metric."""
    from perisphere.evaluation import read_points

    return read_points(source), options | {"metric": metric.value if metric else own_metric(source)}


def _joined(photos: "Report", centroids: "Report | None") -> "Report":
    """Return one report of both protocols, or that of photos alone."""
    from perisphere.evaluation.centroid import both

    return photos if centroids is None else both(photos, centroids)


def _tell(
    judged: "JudgedReid",
    report: "Report",
    per_query: Path | None,
    worst: Path | None,
    plots: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Write the files that are asked for, and show the report."""
    if per_query:
        from perisphere.evaluation.per_query import write_per_query

        typer.echo(f"wrote {write_per_query(judged, per_query)}", err=True)
    draw_worst(judged, worst)
    if output:
        report.save(output)
    if plots:
        from perisphere.evaluation.plots import draw

        for file in draw({report.data["source"]: report}, plots):
            typer.echo(f"wrote {file}", err=True)
    show_report(report, as_json)

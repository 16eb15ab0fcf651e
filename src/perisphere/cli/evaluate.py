"""``perisphere evaluate``: how good the vectors of an Embeddings folder or an Index are."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perisphere.cli import (  # have options of their own
    evaluate_correspondence,  # noqa: F401
    evaluate_hashing,  # noqa: F401
    evaluate_segmentation,  # noqa: F401
    evaluate_text,  # noqa: F401
)
from perisphere.cli.evaluate_hierarchy import (
    ScalingName,
    SimilarityName,
    judge_by_taxonomy,
    svm_options,
    write_csv,
)
from perisphere.cli.evaluate_options import (
    MetricName,
    TieName,
    check_picture,
    draw_worst,
    numbers,
    own_metric,
    reranking,
    show_report,
    show_table,
    words,
)
from perisphere.cli.evaluate_reid import ByProtocol
from perisphere.cli.main import app
from perisphere.cli.taxonomies import IsA, Names, StringIds, TaxonomyOption, optional_taxonomy
from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.evaluation import Judged, Report
    from perisphere.evaluation.revisited import Benchmark


class Protocol(StrEnum):
    """What is judged."""

    retrieval = "retrieval"
    landmark = "landmark"
    classification = "classification"
    revisited = "revisited"
    oxford = "oxford"
    gldv2 = "gldv2"
    hierarchy = "hierarchy"
    compare = "compare"


class VoteName(StrEnum):
    """How neighbours vote."""

    weighted = "weighted"
    majority = "majority"
    legacy = "legacy"


LABELS = (Protocol.retrieval, Protocol.landmark)
TRUTHS = (Protocol.revisited, Protocol.oxford, Protocol.gldv2)
RANKED = (*LABELS, *TRUTHS, Protocol.hierarchy)
HIERARCHY = (Protocol.hierarchy,)

ONLY_FOR = {
    "k": (*LABELS, Protocol.revisited, Protocol.oxford, Protocol.hierarchy),
    "ties": LABELS,
    "block": RANKED,
    "neighbours": (Protocol.classification, Protocol.landmark),
    "vote": (Protocol.classification,),
    "truth": TRUTHS,
    "distractors": TRUTHS,
    "rerank": RANKED,
    "depth": RANKED,
    "worst": RANKED,
    "plots": (*LABELS, Protocol.revisited, Protocol.oxford, Protocol.hierarchy, Protocol.compare),
    "query": (*RANKED, Protocol.classification),
    "gallery": (*RANKED, Protocol.classification),
    "metric": (*RANKED, Protocol.classification),
    "taxonomy": HIERARCHY,
    "is_a": HIERARCHY,
    "string_ids": HIERARCHY,
    "names": HIERARCHY,
    "ahp": HIERARCHY,
    "whole": HIERARCHY,
    "keep_query": HIERARCHY,
    "classes": HIERARCHY,
    "classifier": HIERARCHY,
    "svm": HIERARCHY,
    "svm_from": HIERARCHY,
    "svm_scaling": HIERARCHY,
    "svm_c": HIERARCHY,
    "csv": (Protocol.hierarchy, Protocol.compare),
    "similarity": (Protocol.hierarchy, Protocol.compare),
}
"""Options that mean something for some protocols alone."""

GOES_WITH = {"similarity": ("csv",), "svm_scaling": ("svm", "svm_from"), "svm_c": ("svm", "svm_from")}
"""Options that mean nothing without one of some others."""

VOTERS = {Protocol.classification: 10, Protocol.landmark: 3}


@app.command("evaluate", cls=ByProtocol)
def evaluate(
    context: typer.Context,
    protocol: Annotated[
        Protocol,
        typer.Argument(
            metavar="PROTOCOL",
            help="retrieval, landmark, classification, revisited, oxford, gldv2, hierarchy, compare; "
            "reid, centroid, hashing, text, segmentation and correspondence have options of their own.",
        ),
    ],
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="An embeddings folder or an index; for compare: reports."),
    ],
    query: Annotated[
        str | None,
        typer.Option(help="Splits that ask, such as query,val (default: all; benchmarks: query)."),
    ] = None,
    gallery: Annotated[
        str | None,
        typer.Option(help="Splits that are searched (default: all; benchmarks: all but query, train, val)."),
    ] = None,
    metric: Annotated[
        MetricName | None,
        typer.Option(help="What orders the gallery; default: an index's own, cosine for embeddings."),
    ] = None,
    k: Annotated[
        str, typer.Option("--k", "-k", help="Depths of the metrics at k (hierarchy: 1,10,50,100).")
    ] = "1,5,10",
    ties: Annotated[
        TieName, typer.Option(help="retrieval, landmark: where a wrong image of equal score stands.")
    ] = TieName.pessimistic,
    block: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="retrieval, landmark: queries at a time (default: 128 MiB of scores); "
            "benchmarks: gallery rows at a time (default: 64 MiB).",
        ),
    ] = None,
    neighbours: Annotated[
        int | None,
        typer.Option(min=1, help="Neighbours that vote (default: classification 10, landmark 3)."),
    ] = None,
    vote: Annotated[VoteName, typer.Option(help="classification: how they vote.")] = VoteName.weighted,
    truth: Annotated[
        Path | None,
        typer.Option(help="Benchmarks: gnd_NAME.pkl or .json, the folder of text files, the solution CSV."),
    ] = None,
    distractors: Annotated[
        list[Path] | None,
        typer.Option(help="Benchmarks: embeddings that are searched too, wrong for all. Repeatable."),
    ] = None,
    rerank: Annotated[
        str | None, typer.Option(metavar="CHAIN", help="Re-rank before judging: aqe(n=10)+kreciprocal.")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Length of the lists that are re-ranked (default: 1000).")
    ] = None,
    worst: Annotated[
        Path | None, typer.Option(help="Draw the 20 queries of lowest average precision, .jpg or .png.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(help="Draw curves into this folder, PNG and SVG.")] = None,
    taxonomy: TaxonomyOption = None,
    is_a: IsA = False,
    string_ids: StringIds = False,
    names: Names = None,
    ahp: Annotated[int, typer.Option(min=2, help="hierarchy: depth of AHP@k.")] = 250,
    whole: Annotated[bool, typer.Option("--whole", help="hierarchy: AHP of the whole ranking too.")] = False,
    keep_query: Annotated[
        bool, typer.Option("--keep-query", help="hierarchy: a query's own image counts as found.")
    ] = False,
    classes: Annotated[
        Path | None,
        typer.Option(help="hierarchy: class points that predict (default: the encoder's, if it has any)."),
    ] = None,
    classifier: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="hierarchy: folder of a training run whose classifier predicts."),
    ] = None,
    svm: Annotated[str | None, typer.Option(help="hierarchy: splits that a linear SVM learns from.")] = None,
    svm_from: Annotated[
        list[Path] | None,
        typer.Option(help="hierarchy: embeddings to learn from, one for each augmented copy. Repeatable."),
    ] = None,
    svm_scaling: Annotated[
        ScalingName,
        typer.Option(help="hierarchy: unit vectors, or divide each dimension by its largest value."),
    ] = ScalingName.unit,
    svm_c: Annotated[float, typer.Option(help="hierarchy: weight of the SVM's errors.")] = 1.0,
    csv: Annotated[
        Path | None, typer.Option(help="hierarchy, compare: write HP@k for each k, one column a report.")
    ] = None,
    similarity: Annotated[
        SimilarityName, typer.Option(help="hierarchy, compare: of classes, for --csv.")
    ] = SimilarityName.lcs_height,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the report as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Judge vectors by the labels of their neighbours, or by a benchmark's ground truth.

    **retrieval** ranks the whole gallery for each query: mAP, mAP@k, recall@k (at least one right image
    among the first k, which is CMC rank-k), precision@k, found@k (share of right images found), R-precision,
    MRR.

    **landmark** adds the figures of the landmark retrieval system, landmark_ap@5 and landmark_accuracy, and
    the correct ones beside them.

    **classification** lets each query's nearest neighbours vote: top-1, top-5 and balanced accuracy.

    **revisited** (ROxford, RParis: easy, medium, hard), **oxford** (classic Oxford 5k, Paris 6k) and
    **gldv2** (Google Landmarks v2, mAP@100) take what is right from --truth, by the files' names. The gallery
    may be larger than memory.

    **hierarchy** judges by a taxonomy of the classes: HP@k, AHP@k, mAP, and the accuracies of the classes
    that class points or a linear SVM predict.

    **reid** and **centroid** judge re-identification, by photos and by one point for each identity; they have
    options of their own, which `evaluate reid --help` tells.

    **hashing** judges codes beside the vectors that they stand for, **text** search by words beside BM25;
    they have options of their own, too.

    **segmentation** judges masks and scores of concepts, **correspondence** matched points between photos;
    they have options of their own, too.

    **compare** puts reports side by side.

    Without --query and --gallery every labelled image asks and all others are searched (leave-one-out).

    **Examples**

    `perisphere evaluate retrieval vectors`

    `perisphere evaluate retrieval vectors --query query --gallery gallery,index --plots plots -o report.json`

    `perisphere evaluate landmark vectors --query test --gallery index --rerank label --worst worst.jpg`

    `perisphere evaluate classification photos.index --neighbours 20 --json`

    `perisphere evaluate revisited vectors --truth gnd_roxford5k.pkl --distractors million`

    `perisphere evaluate hierarchy vectors --query test --taxonomy tree.txt --names names.txt --svm train`

    `perisphere evaluate reid vectors --both`

    `perisphere evaluate compare before.json after.json --plots plots --csv curves.csv`
    """
    _refuse_foreign(context, protocol)
    _refuse_alone(context)
    if rerank is not None:
        _refuse_of_whole_rankings(context)
    if protocol is Protocol.compare:
        _compare(sources, plots, csv, similarity, output, as_json)
        return
    source = _single(sources, protocol)
    check_picture(worst)
    options: dict[str, Any] = {"query": words(query), "gallery": words(gallery)}
    options["metric"] = metric.value if metric else own_metric(source)
    depths = None if protocol is Protocol.hierarchy and not _given(context, "k") else numbers(k)
    ranking = options | {"ks": depths, "block": block, "reranking": reranking(rerank, depth)}
    voters = {"neighbours": neighbours or VOTERS.get(protocol)}
    if protocol is Protocol.classification:
        judged = None
        report = _classify(source, options | voters | {"vote": vote.value})
    elif protocol is Protocol.hierarchy:
        known = optional_taxonomy(taxonomy, is_a, string_ids, names)
        learnt = svm_options(words(svm), svm_from, svm_scaling, svm_c)
        ranking |= {"area": ahp, "whole": whole, "keep_query": keep_query}
        judged = judge_by_taxonomy(source, known, classes, learnt, classifier, ranking)
    elif protocol in TRUTHS:
        judged = _judge_by_truth(protocol, source, truth, distractors or [], ranking)
    else:
        voting = voters if protocol is Protocol.landmark else {}
        judged = _judge_by_labels(protocol, source, ranking | voting | {"ties": ties.value})
    if judged is not None:
        report = judged.report
        draw_worst(judged, worst)
    if output:
        report.save(output)
    _draw_curves({source.name: report}, plots, csv, similarity)
    show_report(report, as_json)


def _single(sources: list[Path], protocol: Protocol) -> Path:
    if len(sources) != 1:
        raise UsageError(
            f"{protocol.value} judges one folder, but {len(sources)} were named; judge them in turn."
        )
    return sources[0]


def _refuse_foreign(context: typer.Context, protocol: Protocol) -> None:
    """Refuse an option that the protocol would not look at."""
    for option, protocols in ONLY_FOR.items():
        if _given(context, option) and protocol not in protocols:
            names = ", ".join(name.value for name in protocols)
            shown = option.replace("_", "-")
            raise UsageError(
                f"--{shown} means nothing for {protocol.value} (only for {names}); leave it out."
            )


def _refuse_alone(context: typer.Context) -> None:
    """Refuse an option that means nothing without another."""
    for option, others in GOES_WITH.items():
        if _given(context, option) and not any(_given(context, other) for other in others):
            shown, needed = (
                " or ".join(f"--{name.replace('_', '-')}" for name in names) for names in ((option,), others)
            )
            raise UsageError(f"{shown} means nothing without {needed}; give that too, or leave it out.")


def _refuse_of_whole_rankings(context: typer.Context) -> None:
    """Refuse an option that means nothing for re-ranked lists."""
    for option in ("ties", "block"):
        if _given(context, option):
            raise UsageError(f"--{option} means nothing for re-ranked lists; leave it or --rerank out.")


def _given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _classify(source: Path, options: dict[str, Any]) -> "Report":
    from perisphere.evaluation import classification, read_points

    return classification(read_points(source), **options)


def _judge_by_labels(protocol: Protocol, source: Path, options: dict[str, Any]) -> "Judged":
    from perisphere.evaluation import judge_landmark, judge_retrieval, read_points

    judge = judge_landmark if protocol is Protocol.landmark else judge_retrieval
    return judge(read_points(source), **options)


def _judge_by_truth(
    protocol: Protocol, source: Path, truth: Path | None, distractors: list[Path], options: dict[str, Any]
) -> "Judged":
    from perisphere.catalog.ground_truth import read_ground_truth
    from perisphere.evaluation import annotate, check_kind, judge, read_points

    if truth is None:
        raise UsageError(f"{protocol.value} needs a ground truth; name its file or folder with --truth.")
    benchmark: Benchmark = protocol.value  # type: ignore[assignment]
    known = read_ground_truth(truth)
    check_kind(benchmark, known)
    sides = {name: options.pop(name) for name in ("query", "gallery")}
    others = [read_points(folder) for folder in distractors]
    annotated = annotate(read_points(source), known, distractors=others, **sides)
    judged = judge(benchmark, annotated, **options)
    return judged.with_report(data=judged.report.data | {"truth": str(truth)})


def _compare(
    files: list[Path],
    plots: Path | None,
    csv: Path | None,
    similarity: SimilarityName,
    output: Path | None,
    as_json: bool,
) -> None:
    import json

    from perisphere.evaluation import Report, compare
    from perisphere.storage import whole_file

    reports = {_name(file, files): Report.load(file) for file in files}
    table = compare(reports)
    text = json.dumps({name: report.values for name, report in reports.items()}, indent=2, ensure_ascii=False)
    if output:
        with whole_file(output) as part:
            part.write_text(text + "\n", encoding="utf-8")
    _draw_curves(reports, plots, csv, similarity)
    if as_json:
        typer.echo(text)
    else:
        show_table(table)


def _name(file: Path, files: list[Path]) -> str:
    """Return the shortest name that tells ``file`` from the others."""
    return file.stem if sum(other.stem == file.stem for other in files) == 1 else str(file)


def _draw_curves(
    reports: "dict[str, Report]", plots: Path | None, csv: Path | None, similarity: SimilarityName
) -> None:
    """Write the curves of reports as CSV and as plots, where asked for."""
    if csv:
        write_csv(reports, csv, similarity)
    if plots:
        from perisphere.evaluation.plots import draw

        for file in draw(reports, plots):
            typer.echo(f"wrote {file}", err=True)

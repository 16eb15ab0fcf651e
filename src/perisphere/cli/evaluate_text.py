"""``perisphere evaluate text``: do the photos that a text finds show what it asks for?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perisphere.cli.evaluate_hashing import AsJson, Output, TieOrder, depths_of
from perisphere.cli.evaluate_options import show_table, words
from perisphere.cli.evaluate_reid import own
from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.evaluation import Points
    from perisphere.evaluation.text_queries import TextQuery


@own.command("text")
def text(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="An embeddings folder or an index of photos with tags.")
    ],
    tags: Annotated[
        Path | None,
        typer.Option(
            metavar="TAGS|ENCODER", help="Words (default: the tags of the encoder that made the vectors)."
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A text a line, then a tab and concepts (default: each concept's name)."
        ),
    ] = None,
    gallery: Annotated[
        str | None, typer.Option(help="Splits that are searched (default: gallery, or all where none is).")
    ] = None,
    at: Annotated[str, typer.Option("--at", help="k of precision@k, such as 10,100.")] = "10",
    ties: Annotated[
        TieOrder, typer.Option(help="Photos of equal score: the mean of all orders, or that of the gallery.")
    ] = TieOrder.expected,
    block: Annotated[int | None, typer.Option(min=1, help="Texts at a time (default: 64 MiB).")] = None,
    per_text: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Write what each text found, as CSV.")
    ] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Judge search by text: precision among the first photos, beside BM25 over the photos' tags.

    Each concept that photos of the gallery show is asked for by its name; --queries asks with texts of a
    file. A right photo shows all the concepts of the query. **vectors** ranks by the cosine with the text's
    tags, tagged or not; **BM25** searches the tags that people typed, and **BM25 merged** the merged tags.

    **Examples**

    `perisphere evaluate text vectors --tags encoder`

    `perisphere evaluate text photos.index --at 10,100 --per-text texts.csv --json`

    `perisphere evaluate text vectors --tags tags --queries queries.txt`
    """
    depths = depths_of(at)
    if per_text and per_text.suffix.lower() != ".csv":
        raise UsageError(f"--per-text {per_text}: a table of texts ends in .csv; name it so.")
    from perisphere.evaluation import read_points
    from perisphere.evaluation.rankings_table import rankings_table, write_classes
    from perisphere.evaluation.text import KINDS, judge_text, own_tags

    points = read_points(source)
    splits = words(gallery) or _usual(points)
    report = judge_text(
        points,
        own_tags(points, tags),
        queries=_asked(queries, points, splits),
        gallery=splits,
        depths=depths,
        ties=ties.value,
        block=block,
    )
    if output:
        report.save(output)
    if per_text:
        typer.echo(f"wrote {write_classes(report, 'text', per_text)}", err=True)
    if as_json:
        typer.echo(report.to_json(), nl=False)
    else:
        show_table(rankings_table(report, KINDS))


def _usual(points: "Points") -> list[str] | None:
    """Return the gallery where there is one; ``None`` stands for all photos."""
    return ["gallery"] if "gallery" in points.rows["split"].to_list() else None


def _asked(queries: Path | None, points: "Points", splits: list[str] | None) -> "list[TextQuery] | None":
    """Return the texts of a file, ``None`` where the concepts themselves ask."""
    if queries is None:
        return None
    from perisphere.evaluation.concepts import concepts_of
    from perisphere.evaluation.text_queries import read_queries
    from perisphere.metrics.concepts import vocabulary

    return read_queries(queries, vocabulary(concepts_of(points.of_split(splits))))

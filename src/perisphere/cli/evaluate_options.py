"""Options that several protocols of ``perisphere evaluate`` share, and what becomes of them."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.evaluation import Judged, Report, Reranking


class MetricName(StrEnum):
    """What orders the gallery."""

    cosine = "cosine"
    l2 = "l2"
    l1 = "l1"


class TieName(StrEnum):
    """Where a wrong image of equal score is ranked."""

    pessimistic = "pessimistic"
    optimistic = "optimistic"


def reranking(chain: str | None, depth: int | None) -> "Reranking | None":
    """Return the re-ranking of lists of a depth; ``None`` where none is asked for."""
    if chain is None:
        if depth is not None:
            raise UsageError("--depth is the length of the lists that are re-ranked; give --rerank too.")
        return None
    from perisphere.evaluation import Reranking
    from perisphere.evaluation.reranking import DEPTH
    from perisphere.search.rerank import parse_chain

    return Reranking(parse_chain(chain), depth or DEPTH)


def check_picture(worst: Path | None) -> None:
    """Refuse the name of a picture before the work rather than after it."""
    if worst:
        from perisphere.search.sheet import sheet_format

        sheet_format(worst)


def draw_worst(judged: "Judged", worst: Path | None) -> None:
    """Draw the worst queries where a picture is named, and say so."""
    if worst:
        from perisphere.evaluation import worst as sheet

        typer.echo(f"wrote {sheet.draw_worst(judged, worst)}", err=True)


def own_metric(folder: Path) -> str:
    """Return the metric that an index searches by; cosine for embeddings."""
    if (folder / "embeddings.json").is_file() or not (folder / "index.sqlite").is_file():
        return MetricName.cosine.value
    from perisphere.index import Index

    with Index.open(folder) as index:
        return index.metric


def show_report(report: "Report", as_json: bool) -> None:
    """Print a report, as JSON or as a table."""
    if as_json:
        typer.echo(report.to_json(), nl=False)
    else:
        show_table(report.table())


def show_table(table: object) -> None:
    """Print a table on the screen."""
    from rich.console import Console

    Console().print(table)


def words(text: str | None) -> list[str] | None:
    """Return the words between commas; ``None`` stays."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def numbers(text: str) -> list[int]:
    """Return the whole numbers between commas."""
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"--k {text!r}: give whole numbers separated by commas, such as 1,5,10.") from None

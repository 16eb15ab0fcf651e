"""A report of several rankings of the same photos as one table: a column a ranking, a row a figure."""

import csv
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from perisphere.evaluation.report import Report
from perisphere.storage import whole_file

if TYPE_CHECKING:
    from rich.table import Table

WHOLE = ("bytes an image", "queries a second")
"""Figures that are no shares: told without decimals."""


def rankings_table(report: Report, kinds: Sequence[str]) -> "Table":
    """Return the figures, those of each of ``kinds`` in a column of its own, and the counts below.

    Args:
        report: whose values are called ``KIND FIGURE``.
        kinds: names of the rankings; those that the report lacks have no column.
    """
    from rich.table import Table

    held = [kind for kind in kinds if any(name.startswith(f"{kind} ") for name in report.values)]
    table = Table(title=f"{report.protocol}: {report.data.get('source', '')}", title_justify="left")
    table.add_column("figure")
    for kind in held:
        table.add_column(kind, justify="right")
    longest_first = sorted(held, key=len, reverse=True)  # one ranking's name may begin another's
    figures = [
        next(name.removeprefix(f"{kind} ") for kind in longest_first if name.startswith(f"{kind} "))
        for name in report.values
        if name.startswith(tuple(f"{kind} " for kind in held))
    ]
    for figure in dict.fromkeys(figures):
        cells = [_cell(figure, report.values.get(f"{kind} {figure}")) for kind in held]
        table.add_row(figure, *cells, style="bold" if figure.startswith("MAP@") else "")
    table.add_section()
    for name, count in report.counts.items():
        table.add_row(name.replace("_", " "), f"{count:,}", *[""] * (len(held) - 1), style="dim")
    return table


def write_places(report: Report, path: Path) -> Path:
    """Write precision and recall over the first places as CSV, a line a place, whole or not at all."""
    names = [name for name in report.curves if name.endswith(" at places")]
    with whole_file(Path(path)) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["places", *(name.removesuffix(" at places") for name in names)])
        table.writerows(zip(report.curves["places"], *(report.curves[name] for name in names), strict=True))
    return Path(path)


def _cell(figure: str, value: float | None) -> str:
    if value is None:
        return ""
    if isnan(value):
        return "undefined"
    return f"{value:,.0f}" if figure in WHOLE else f"{value:,.1f}" if "counted" in figure else f"{value:.4f}"


def write_classes(report: Report, first: str, path: Path) -> Path:
    """Write the figures of each class of a report as CSV, the class's name under ``first``."""
    names = list(dict.fromkeys(name for figures in report.classes.values() for name in figures))
    with whole_file(Path(path)) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([first, *names])
        for name, figures in report.classes.items():
            table.writerow([name, *(figures.get(figure, "") for figure in names)])
    return Path(path)

"""The figures of each class of a report as a table for the screen."""

from typing import TYPE_CHECKING

from perisphere.evaluation.report import Report

if TYPE_CHECKING:
    from rich.table import Table

WHOLE = ("pixels", "photos")
"""Figures that are no shares."""


def class_table(report: Report, first: str = "class") -> "Table":
    """Return a row a class, a column a figure; a figure that is not defined is left empty."""
    from rich.table import Table

    names = list(dict.fromkeys(name for figures in report.classes.values() for name in figures))
    table = Table(title=f"{report.protocol}: {report.data.get('source', '')}", title_justify="left")
    table.add_column(first)
    for name in names:
        table.add_column(name, justify="right")
    for title, figures in report.classes.items():
        table.add_row(title, *[_cell(name, figures.get(name)) for name in names])
    return table


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if name in WHOLE else f"{value:.4f}"

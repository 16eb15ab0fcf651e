"""The figures of each class of a report as a table for the screen."""

from typing import TYPE_CHECKING

from perisphere.evaluation.report import Report

if TYPE_CHECKING:
    from rich.table import Table

WHOLE = ("pixels", "photos")
"""Figures that are no shares."""

SHORT = {"iou": "IoU", "precision": "prec.", "AP related": "AP rel.", "accuracy": "acc."}
"""How columns are headed, so that a table fits a line of 80 characters."""


def class_table(report: Report, first: str = "class") -> "Table":
    """Return a row a class, a column a figure; a figure that is not defined is left empty."""
    from rich import box
    from rich.table import Table

    names = list(dict.fromkeys(name for figures in report.classes.values() for name in figures))
    title = f"{report.protocol}: {report.data.get('source', '')}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first)
    for name in names:
        table.add_column(SHORT.get(name, name), justify="right", no_wrap=True)
    for title, figures in report.classes.items():
        table.add_row(title, *[_cell(name, figures.get(name)) for name in names])
    return table


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if name in WHOLE else f"{value:.3f}"

"""What an evaluation found, with everything that is needed to judge and to repeat it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perisphere import __version__
from perisphere.errors import PerisphereError
from perisphere.storage import whole_file

if TYPE_CHECKING:
    from rich.table import Table


MAIN = (
    "mAP",
    "top-1",
    "landmark_ap@5",
    "easy mAP",
    "medium mAP",
    "hard mAP",
    "mAP@100",
    "centroid mAP",
    "mAHP@250 (LCS height)",
    "mean IoU",
    "PCK@5 %",
)
"""Figures that stand out in the table."""


@dataclass(frozen=True)
class Report:
    """Metrics of one evaluation.

    Attributes:
        protocol: its name.
        values: metric name to value; NaN where it is not defined (null in JSON).
        counts: of queries, gallery rows, classes and so on.
        conventions: what each metric means where the field knows more than one meaning.
        options: the protocol's options, as they were used.
        data: the source and which of its rows were queries and gallery.
        encoder: what made the vectors.
        seeds: of everything that was drawn at random; empty where nothing was.
        curves: for plots, name to list of numbers.
        classes: class to its figures, where the protocol tells them.
        version: of Perisphere.
    """

    protocol: str
    values: dict[str, float]
    counts: dict[str, int]
    conventions: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    encoder: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    classes: dict[str, dict[str, float]] = field(default_factory=dict)
    version: str = __version__

    def to_json(self) -> str:
        """Return the report as indented JSON text."""
        values = {name: None if isnan(value) else value for name, value in self.values.items()}
        plain = asdict(self) | {"values": values}
        return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, path: Path) -> Path:
        """Write the report as JSON, whole or not at all."""
        with whole_file(Path(path)) as part:
            part.write_text(self.to_json(), encoding="utf-8", errors="surrogateescape")
        return Path(path)

    @classmethod
    def load(cls, path: Path) -> "Report":
        """Read a report written by :meth:`save`.

        Raises:
            PerisphereError: the file is missing, not JSON, or not a report.
        """
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8", errors="surrogateescape"))
        except OSError as error:
            raise PerisphereError(
                f"{path}: cannot be read ({error.strerror}). Name a report's file."
            ) from error
        except ValueError as error:
            raise PerisphereError(
                f"{path}: is not JSON ({error}). Run `perisphere evaluate` again."
            ) from error
        names = {item.name for item in fields(cls)}
        if not isinstance(found, dict) or not {"protocol", "values", "counts"} <= set(found) <= names:
            raise PerisphereError(f"{path}: is JSON, but not a report of `perisphere evaluate -o`.")
        if not all(_fits(item.name, found.get(item.name)) for item in fields(cls)):
            raise PerisphereError(f"{path}: is damaged. Run `perisphere evaluate` again.")
        values = {name: nan if value is None else value for name, value in found["values"].items()}
        return cls(**found | {"values": values})

    def table(self) -> "Table":
        """Return the values and the counts as a table for the screen."""
        from rich.table import Table

        table = Table(title=f"{self.protocol}: {self.data.get('source', '')}", title_justify="left")
        table.add_column("metric")
        table.add_column("value", justify="right")
        for name, value in self.values.items():
            table.add_row(name, _number(value), style="bold" if name in MAIN else "")
        table.add_section()
        for name, count in self.counts.items():
            table.add_row(name.replace("_", " "), f"{count:,}", style="dim")
        return table


def _fits(name: str, found: Any) -> bool:
    """Tell whether a field of a report file holds what belongs there; most may be left out."""
    if name in ("protocol", "version"):
        return found is None or isinstance(found, str)
    if not isinstance(found, dict):
        return found is None
    if name == "values":  # an undefined one is null
        return all(value is None or isinstance(value, int | float) for value in found.values())
    if name in ("counts", "seeds"):
        return all(isinstance(value, int | float) for value in found.values())
    return name != "curves" or all(isinstance(value, list) for value in found.values())


def compare(reports: Mapping[str, Report]) -> "Table":
    """Return a table with one column a report; the best value of each row is bold.

    Raises:
        PerisphereError: the reports are of different protocols, so that their values mean different things.
    """
    from rich.table import Table

    protocols = {report.protocol for report in reports.values()}
    if len(protocols) > 1:
        raise PerisphereError(
            f"reports of different protocols ({', '.join(sorted(protocols))}) cannot be compared; "
            "evaluate both with the same one."
        )
    table = Table(title=next(iter(protocols), ""), title_justify="left")
    table.add_column("metric")
    for name in reports:
        table.add_column(name, justify="right")
    for metric in dict.fromkeys(metric for report in reports.values() for metric in report.values):
        row = [report.values.get(metric) for report in reports.values()]
        best = max((value for value in row if value is not None and not isnan(value)), default=None)
        table.add_row(metric, *[_cell(value, value == best) for value in row])
    table.add_section()
    for count in dict.fromkeys(count for report in reports.values() for count in report.counts):
        cells = [f"{report.counts[count]:,}" if count in report.counts else "" for report in reports.values()]
        table.add_row(count.replace("_", " "), *cells, style="dim")
    return table


def _cell(value: float | None, best: bool) -> str:
    if value is None:
        return ""
    return f"[bold]{_number(value)}[/bold]" if best else _number(value)


def _number(value: float) -> str:
    return "undefined" if isnan(value) else f"{value:.4f}"

"""Hierarchical precision over k of several reports as one CSV file, for other programs' plots."""

import csv
from collections.abc import Mapping
from pathlib import Path

from perisphere.errors import PerisphereError
from perisphere.evaluation.report import Report
from perisphere.storage import whole_file


def write_curves(reports: Mapping[str, Report], path: Path, similarity: str = "LCS height") -> Path:
    """Write a line ``k;HP@k;HP@k ...`` for each k, with the reports' names in the first line.

    A report whose curve is shorter than another's has empty cells at its end.

    Args:
        reports: name in the first line to report.
        path: of the file, written whole or not at all.
        similarity: of classes, ``"LCS height"`` or ``"WUP"``.

    Raises:
        PerisphereError: a report has no such curve, or the file cannot be written.
    """
    curve = f"HP ({similarity})"
    for name, report in reports.items():
        if not report.curves.get(curve):
            raise PerisphereError(
                f"{name}: the report has no curve {curve!r}; CSV files are written of `evaluate hierarchy`."
            )
    curves = [report.curves[curve] for report in reports.values()]
    with whole_file(Path(path)) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter=";", lineterminator="\n")
        table.writerow(["k", *reports])
        for k in range(max(map(len, curves))):
            table.writerow([k + 1, *(values[k] if k < len(values) else "" for values in curves)])
    return Path(path)

"""Curves of one report or several, as PNG and SVG."""

import math
from collections.abc import Callable, Mapping, Sized
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from perisphere.errors import PerisphereError
from perisphere.evaluation.report import Report
from perisphere.storage import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Reports = Mapping[str, Report]

INK, GRID = "#22303c", "#e4e8ec"
COLOURS = ("#1f6f8b", "#d1603d", "#6a994e", "#8e5572", "#e0a030", "#4059ad")
"""Told apart by people who do not see red and green apart, too."""

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa5b1",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    # The same report gives the same file.
    "svg.hashsalt": "perisphere",
}


def draw(reports: Reports, folder: Path) -> list[Path]:
    """Write every curve that the reports hold into ``folder``, as PNG and SVG, and return the files.

    Args:
        reports: name in the legend to report.
        folder: made where it is missing.

    Raises:
        PerisphereError: no report holds curves (those of ``retrieval`` do), or the folder cannot be written.
    """
    for name, report in reports.items():
        _check(name, report)
    files = []
    for name, curve, axes_of in (
        ("precision-recall", "recall", _precision_recall),
        ("cmc", "cmc", _cmc),
        ("found", "found", _found),
        ("hierarchical-precision", "HP (LCS height)", partial(_hierarchical, similarity="LCS height")),
        ("hierarchical-precision-wup", "HP (WUP)", partial(_hierarchical, similarity="WUP")),
        ("mahp", "HP (LCS height)", _area_bars),
        ("precision-at-places", "places", _precision_at_places),
        ("precision-recall-at-places", "places", _precision_recall_at_places),
        ("pck", "PCK", _matched_points),
    ):
        having = {legend: report for legend, report in reports.items() if curve in report.curves}
        for suffix in (".png", ".svg") if having else ():
            files.append(_save(having, axes_of, Path(folder) / f"{name}{suffix}"))
    if not files:
        raise PerisphereError("these reports hold no curves; plots are drawn of protocols that rank images.")
    return files


def _check(name: str, report: Report) -> None:
    """Refuse a report that lacks what its curves need."""
    curves = report.curves
    over_recall = [curve for curve in curves if curve.endswith("precision")]
    over_k = [curve for curve in ("cmc", "found") if curve in curves]
    families = {"recall": over_recall, "k": ["cmc", "found"] if over_k or "k" in curves else []}
    for axis, family in families.items():
        for curve in [axis, *family] if family else ():
            if not curves.get(curve):
                _lacks(name, f"curve {curve!r}")
            if len(curves[curve]) != len(curves[axis]):
                _lacks(name, "points of a curve")
    for curve in ("distance", "PCK", "PCK same position") if "PCK" in curves else ():
        if not curves.get(curve) or len(curves[curve]) != len(curves["PCK"]):
            _lacks(name, f"points of the curve {curve!r}")
    _check_places(name, curves)
    if any(not values for curve, values in curves.items() if curve.startswith("HP")):
        _lacks(name, "points of a curve")
    for curve in over_recall:
        if curve.removesuffix("precision") + "mAP" not in report.values:
            _lacks(name, "mAP")


def _check_places(name: str, curves: Mapping[str, list[float]]) -> None:
    """Refuse curves over places that lack points, or their other half."""
    for kind in {curve.rsplit(" ", 3)[0] for curve in curves if curve.endswith(" at places")}:
        for curve in ("places", f"{kind} precision at places", f"{kind} recall at places"):
            if not curves.get(curve) or len(curves[curve]) != len(curves["places"]):
                _lacks(name, f"points of the curve {curve!r}")


def _lacks(name: str, what: str) -> NoReturn:
    raise PerisphereError(
        f"{name}: the report lacks the {what}; run `perisphere evaluate` again, or leave --plots out."
    )


def _save(reports: Reports, fill: Callable[["Axes", Reports], None], path: Path) -> Path:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE), whole_file(path) as part:
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set_ylim(0, 1.02)
        fill(axes, reports)
        axes.tick_params(length=0)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, loc="best")
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(part, format=path.suffix[1:], dpi=160, metadata=metadata)
    return path


def _precision_recall(axes: "Axes", reports: Reports) -> None:
    lines = _precisions(reports)
    for colour, (name, recall, precision) in zip(_cycle(lines), lines, strict=True):
        axes.plot(recall, precision, color=colour, lw=2.2, label=name)
        if len(lines) == 1:
            axes.fill_between(recall, precision, color=colour, alpha=0.1, lw=0)
    axes.set(xlim=(0, 1.005), xlabel="recall", ylabel="precision (interpolated)")
    axes.set_title("Precision and recall, mean over queries", loc="left", fontsize=12, fontweight="bold")


def _precisions(reports: Reports) -> list[tuple[str, list[float], list[float]]]:
    """Return legend, recall and precision of each line: one a report, or one for each of its settings."""
    return [
        (
            f"{name} {setting}".strip() + f"   mAP {report.values[f'{setting} mAP'.strip()]:.3f}",
            report.curves["recall"],
            precision,
        )
        for name, report in reports.items()
        for curve, precision in report.curves.items()
        if (setting := curve.removesuffix("precision").strip()) != curve
    ]


def _cmc(axes: "Axes", reports: Reports) -> None:
    _over_k(axes, reports, "cmc", "recall@1", "share of queries with a right image")
    axes.set_title("At least one right image among the first k", loc="left", fontsize=12, fontweight="bold")


def _found(axes: "Axes", reports: Reports) -> None:
    _over_k(axes, reports, "found", "R-precision", "share of right images that are found")
    axes.set_title("Right images found among the first k", loc="left", fontsize=12, fontweight="bold")


def _over_k(axes: "Axes", reports: Reports, curve: str, summary: str, label: str) -> None:
    for colour, (name, report) in zip(_cycle(reports), reports.items(), strict=True):
        value = report.values.get(summary)
        text = name if value is None else f"{name}   {summary} {value:.3f}"
        axes.plot(report.curves["k"], report.curves[curve], color=colour, lw=2.2, label=text)
        axes.plot(
            report.curves["k"][:1], report.curves[curve][:1], "o", ms=6, color=colour, clip_on=False, zorder=5
        )
    longest = max(len(report.curves["k"]) for report in reports.values())
    axes.set(xlim=(1, longest), xlabel="k", ylabel=label)
    axes.set_xticks([1, *range(10, longest + 1, 10)])


def _hierarchical(axes: "Axes", reports: Reports, similarity: str) -> None:
    lowest, longest = 1.0, 2
    for colour, (name, report) in zip(_cycle(reports), reports.items(), strict=True):
        curve = report.curves[f"HP ({similarity})"]
        figure, area = _area(name, report, similarity)
        places = range(1, len(curve) + 1)
        axes.plot(places, curve, color=colour, lw=2.2, label=f"{name}   {figure} {area:.3f}")
        lowest, longest = min(lowest, *curve), max(longest, len(curve))
    # As the published plots: what lies far below all curves is left out.
    axes.set_ylim(math.floor(lowest * 20) / 20 if lowest >= 0.3 else 0, 1.005)
    axes.set(xlim=(1, longest), xlabel="k", ylabel=f"hierarchical precision ({similarity})")
    axes.set_title("Similarity of the first k images' classes", loc="left", fontsize=12, fontweight="bold")


def _area_bars(axes: "Axes", reports: Reports) -> None:
    areas = [_area(name, report, "LCS height") for name, report in reports.items()]
    for place, (colour, (_, area)) in enumerate(zip(_cycle(areas), areas, strict=True)):
        axes.barh(place, area, 0.72, color=colour)
        end, side = (area - 0.012, "right") if area > 0.15 else (area + 0.012, "left")
        ink = "white" if side == "right" else INK
        axes.text(end, place, f"{area:.1%}", va="center", ha=side, color=ink, fontweight="bold")
    figures = ", ".join(dict.fromkeys(figure for figure, _ in areas))
    axes.set(xlim=(0, 1), xlabel=f"{figures} (LCS height)")
    axes.set_yticks(range(len(areas)), list(reports))
    axes.set_ylim(len(areas) - 0.5, -0.5)  # the first report on top
    axes.grid(False, axis="y")
    axes.set_title("Mean average hierarchical precision", loc="left", fontsize=12, fontweight="bold")


def _precision_at_places(axes: "Axes", reports: Reports) -> None:
    lines = _rankings(reports)
    for colour, (name, report, kind) in zip(_cycle(lines), lines, strict=True):
        precision = report.curves[f"{kind} precision at places"]
        axes.plot(report.curves["places"], precision, color=colour, lw=2.2, label=name)
    axes.set(xscale="log", xlabel="places", ylabel="precision")
    axes.set_title("Precision among the first places", loc="left", fontsize=12, fontweight="bold")


def _precision_recall_at_places(axes: "Axes", reports: Reports) -> None:
    lines = _rankings(reports)
    for colour, (name, report, kind) in zip(_cycle(lines), lines, strict=True):
        recall, precision = (
            report.curves[f"{kind} {figure} at places"] for figure in ("recall", "precision")
        )
        axes.plot(recall, precision, color=colour, lw=2.2, label=name)
    axes.set(xlabel="recall", ylabel="precision")
    axes.set_xlim(left=0)
    axes.set_title("Precision and recall over places", loc="left", fontsize=12, fontweight="bold")


def _matched_points(axes: "Axes", reports: Reports) -> None:
    for colour, (name, report) in zip(_cycle(reports), reports.items(), strict=True):
        axes.plot(report.curves["distance"], report.curves["PCK"], color=colour, lw=2.2, label=name)
    guessed = next(iter(reports.values()))
    axes.plot(
        guessed.curves["distance"],
        guessed.curves["PCK same position"],
        color=INK,
        ls=":",
        label="same position",
    )
    axes.set(xlim=(0, 0.25), xlabel="distance / larger side of the photo", ylabel="share of points")
    axes.set_title("Points found by the nearest feature", loc="left", fontsize=12, fontweight="bold")


def _rankings(reports: Reports) -> list[tuple[str, Report, str]]:
    """Return legend, report and ranking of each line of reports of several rankings."""
    ending = " precision at places"
    return [
        (f"{name} {kind}" if len(reports) > 1 else kind, report, kind)
        for name, report in reports.items()
        for kind in (curve.removesuffix(ending) for curve in report.curves if curve.endswith(ending))
    ]


def _area(name: str, report: Report, similarity: str) -> tuple[str, float]:
    """Return the name and the value of a report's mAHP@k."""
    for figure, value in report.values.items():
        if figure.startswith("mAHP@") and figure.endswith(f" ({similarity})") and "normalised" not in figure:
            return figure.split(" ")[0], value
    _lacks(name, f"mAHP ({similarity})")


def _cycle(lines: Sized) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(len(lines))]

"""A taxonomy as a picture: a tree from left to right, or a circle with the root in the middle."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError
from perisphere.storage import whole_file
from perisphere.taxonomy.layout import Layout, lay_out
from perisphere.taxonomy.relations import Id
from perisphere.taxonomy.taxonomy import Taxonomy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

Shape = Literal["tree", "circle"]
MOST_ROWS = 3000
CIRCLE_FROM = 150  # rows from which a circle shows more at a glance than a long page

INK, PALE, OTHER = "#22303c", "#9aa5b1", "#c9b37c"
COLOURS = (
    *("#1f6f8b", "#d1603d", "#6a994e", "#8e5572", "#b07d1a", "#4059ad"),
    *("#a44a6b", "#3c8d7f", "#7a5c3e", "#5b6b2f"),
)
DPI = 100
FONT = 8.5
LETTER = 0.6 / 72  # inches: the width of a letter for each point of the font's size
ROW, PAD, TURN = 0.17, 0.05, 0.4  # inches: height of a row, around labels, in which an edge changes its row
EASE: NDArray[np.float64] = np.linspace(0, 1, 24) ** 2 * (3 - 2 * np.linspace(0, 1, 24))
"""From 0 to 1, level at both ends."""

Line = NDArray[np.float64]


def draw(
    taxonomy: Taxonomy,
    path: Path,
    *,
    node: Id | None = None,
    levels: int | None = None,
    shape: Shape | None = None,
) -> Path:
    """Write the picture of a taxonomy, SVG or PNG by the suffix.

    All leaves lie on one line. A node stands as far from them as its height: where the ways of two classes
    meet is their similarity by LCS height. Branches have colours; edges to further parents are dashed.

    Args:
        taxonomy: what to draw.
        path: the file; written whole or not at all.
        node: draw only what is below this node.
        levels: draw at most so many levels of edges; nodes cut off say how many classes are below.
        shape: ``tree`` or ``circle``; by the number of rows if not given.

    Raises:
        UsageError: the suffix is neither, or there are more than 3,000 rows.
        PerisphereError: the node is unknown, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".svg", ".png"):
        raise UsageError(f"{path}: a taxonomy is drawn as .svg or .png. Name such a file.")
    roots = taxonomy.roots if node is None else (node,)
    taxonomy.height_of(roots[0])
    layout = lay_out(taxonomy, roots, levels)
    if layout.rows > MOST_ROWS:
        raise UsageError(
            f"{path}: {layout.rows:,} rows are too many to read; draw fewer levels (--levels) or one branch."
        )
    import matplotlib as mpl

    style = {
        "font.family": "DejaVu Sans",
        "svg.hashsalt": "perisphere",
        "svg.fonttype": "none",
        "path.simplify": False,
    }
    with mpl.rc_context(style), whole_file(path) as part:
        round_one = shape == "circle" or (shape is None and layout.rows >= CIRCLE_FROM)
        figure = _circle(taxonomy, layout) if round_one else _tree(taxonomy, layout)
        _title(figure, taxonomy, layout)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
        figure.savefig(part, format=path.suffix.lower()[1:], metadata=metadata, dpi=DPI)
    return path


def _tree(taxonomy: Taxonomy, layout: Layout) -> "Figure":
    """Draw from left to right, each column as wide as its widest label."""
    columns = max(layout.column.values()) + 1
    text = {
        node: _label(taxonomy, layout, node, 60 if _is_leaf(taxonomy, node) else 26) for node in layout.nodes
    }
    long = {node: _inches(text[node]) for node in layout.nodes}
    wide = [0.35] * columns
    for node in layout.nodes:
        if not _is_leaf(taxonomy, node):
            wide[layout.column[node]] = max(wide[layout.column[node]], 0.55 + long[node])
    left = np.concatenate([[0.0], np.cumsum(wide)])
    width, height = left[columns - 1] + max(long.values()) + 0.6, layout.rows * ROW + 0.8
    axes = _axes(width, height)
    axes.set_xlim(-0.3, width - 0.3)
    axes.set_ylim(layout.rows - 1 + 0.25 / ROW, -0.55 / ROW)

    def way(parent: Id, child: Id) -> Line:
        begin, end = left[layout.column[parent]] + long[parent] + PAD, left[layout.column[child]] - PAD
        turned = begin + TURN * np.linspace(0, 1, 24) * min(1, (end - begin) / TURN)
        y = layout.row[parent] + EASE * (layout.row[child] - layout.row[parent])
        return np.column_stack([np.append(turned, end), np.append(y, layout.row[child])])

    _edges(axes, layout, way)
    for node in layout.nodes:
        place = (float(left[layout.column[node]]), layout.row[node])
        _tree_label(axes, text[node], place, _colour(layout, node), _is_leaf(taxonomy, node))
    return axes.figure  # type: ignore[return-value]


def _tree_label(axes: "Axes", text: str, place: tuple[float, float], colour: str, leaf: bool) -> None:
    box = {"boxstyle": "round,pad=0.18", "fc": "white", "ec": colour, "lw": 0.8}
    axes.text(
        *place,
        text,
        fontsize=FONT,
        va="center_baseline",
        color=INK if leaf else colour,
        zorder=3,
        bbox=None if leaf else box,
        parse_math=False,
    )


def _circle(taxonomy: Taxonomy, layout: Layout) -> "Figure":
    """Draw around the root, the leaves on a circle wide enough for a row each."""
    columns = max(layout.column.values()) or 1
    longest = max(_inches(_label(taxonomy, layout, node, 34)) for node in layout.nodes)
    radius = max(layout.rows * ROW * 0.8 / (2 * np.pi), 2.2, 0.42 * columns)
    side = 2 * (radius + 0.85 * longest + 0.5)
    axes = _axes(side, side)
    axes.set_xlim(-side / 2, side / 2)
    axes.set_ylim(-side / 2, side / 2)
    turn = {node: np.pi / 2 - 2 * np.pi * (row + 0.5) / layout.rows for node, row in layout.row.items()}
    step = radius / columns
    out = {node: step * column for node, column in layout.column.items()}

    def way(parent: Id, child: Id) -> Line:
        angle = np.append(turn[parent] + EASE * (turn[child] - turn[parent]), turn[child])
        turned = out[parent] + 0.9 * step * np.linspace(0, 1, 24)
        reach = np.append(turned, out[child])
        return np.column_stack([reach * np.cos(angle), reach * np.sin(angle)])

    _edges(axes, layout, way)
    for node in layout.nodes:
        leaf = _is_leaf(taxonomy, node)
        text = _label(taxonomy, layout, node, 34 if leaf else max(6, int(step / (0.6 * FONT * LETTER))))
        _circle_label(axes, text, (turn[node], out[node]), _colour(layout, node), leaf)
    return axes.figure  # type: ignore[return-value]


def _circle_label(axes: "Axes", text: str, place: tuple[float, float], colour: str, leaf: bool) -> None:
    turn, out = place
    degrees = np.degrees(turn) % 360
    flipped = 90 < degrees < 270
    if not leaf:
        axes.plot(out * np.cos(turn), out * np.sin(turn), "o", ms=3.2, color=colour, zorder=3)
    axes.text(
        (out + 0.06) * np.cos(turn),
        (out + 0.06) * np.sin(turn),
        text,
        fontsize=FONT * (0.85 if leaf else 0.68),
        rotation=degrees - 180 if flipped else degrees,
        rotation_mode="anchor",
        ha="right" if flipped else "left",
        va="center_baseline",
        color=INK if leaf else colour,
        zorder=4,
        bbox=None if leaf else {"fc": "white", "ec": "none", "pad": 0.4},
        parse_math=False,
    )


def _axes(width: float, height: float) -> "Axes":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if max(width, height) * DPI >= 1 << 16:
        raise PerisphereError("the picture is too large to draw; draw fewer levels or one branch.")
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    return axes


def _edges(axes: "Axes", layout: Layout, way: Callable[[Id, Id], Line]) -> None:
    from matplotlib.collections import LineCollection

    colours = [_colour(layout, child) for _, child in layout.tree]
    lines = [way(parent, child) for parent, child in layout.tree]
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=1.0, alpha=0.65, zorder=2))
    others = [way(parent, child) for parent, child in layout.others]
    axes.add_collection(LineCollection(others, colors=OTHER, linewidths=0.8, linestyles="--", zorder=1))


def _inches(text: str) -> float:
    """Return how wide a label is, in inches."""
    from matplotlib.textpath import text_to_path  # type: ignore[attr-defined]

    width, _, _ = text_to_path.get_text_width_height_descent(text, _font(), ismath=False)
    return float(width) / 72


@cache
def _font() -> "FontProperties":
    from matplotlib.font_manager import FontProperties

    return FontProperties(family="DejaVu Sans", size=FONT)


def _is_leaf(taxonomy: Taxonomy, node: Id) -> bool:
    return not taxonomy.children(node)


def _label(taxonomy: Taxonomy, layout: Layout, node: Id, most: int) -> str:
    name = " ".join(taxonomy.name_of(node).replace("_", " ").split())
    short = name if len(name) <= most else name[: most - 1] + "…"
    return f"{short} (+{layout.cut[node]:,})" if node in layout.cut else short


def _colour(layout: Layout, node: Id) -> str:
    group = layout.group[node]
    return PALE if group < 0 else COLOURS[group % len(COLOURS)]


def _title(figure: "Figure", taxonomy: Taxonomy, layout: Layout) -> None:
    leaves = sum(not taxonomy.children(node) for node in layout.nodes) + sum(layout.cut.values())
    inner = sum(bool(taxonomy.children(node)) for node in layout.nodes)
    text = f"{leaves:,} classes under {inner:,} inner nodes, height {max(layout.column.values())}"
    figure.text(
        0.12 / figure.get_figwidth(),
        1 - 0.12 / figure.get_figheight(),
        text,
        fontsize=max(FONT, 0.4 * min(figure.get_size_inches())),
        color=PALE,
        va="top",
    )

"""Where the nodes of a drawn taxonomy stand: leaves one to a row, parents in the middle of their children."""

from collections.abc import Sequence
from dataclasses import dataclass

from perisphere.taxonomy.relations import Id
from perisphere.taxonomy.taxonomy import Taxonomy

BRANCHES = 10
"""How many branches are told apart, where there are so many."""


@dataclass(frozen=True)
class Layout:
    """Places in columns and rows.

    Attributes:
        nodes: what is drawn, parents before children.
        column: from 0 at the left; by the height of a node, so that all leaves are in the last column, and
            the column where two classes meet is their similarity by LCS height.
        row: from 0 at the top; the bottom nodes that are drawn have one each.
        tree: the edge to each node that has a parent in the drawing: the one that the rows follow.
        others: the remaining edges, which only a DAG has.
        rows: how many rows there are.
        cut: how many leaves hang below each node whose children are not drawn.
        group: which branch of the taxonomy a node belongs to, from 0; -1 above the branches.
    """

    nodes: list[Id]
    column: dict[Id, int]
    row: dict[Id, float]
    tree: list[tuple[Id, Id]]
    others: list[tuple[Id, Id]]
    rows: int
    cut: dict[Id, int]
    group: dict[Id, int]


def lay_out(taxonomy: Taxonomy, roots: Sequence[Id], levels: int | None = None) -> Layout:
    """Place what is below ``roots``, at most ``levels`` edges deep.

    A node of several parents hangs under the first that the walk meets.
    """
    nodes, tree = _walk(taxonomy, roots, levels)
    hanging: dict[Id, list[Id]] = {node: [] for node in nodes}
    for parent, child in tree:
        hanging[parent].append(child)
    row: dict[Id, float] = {}
    rows = 0
    for node in nodes:
        if not hanging[node]:
            row[node] = rows
            rows += 1
    for node in reversed(nodes):
        if hanging[node]:
            row[node] = (row[hanging[node][0]] + row[hanging[node][-1]]) / 2
    top = max(taxonomy.height_of(root) for root in roots)
    drawn, followed = set(nodes), set(tree)
    others = [
        (node, child)
        for node in nodes
        for child in taxonomy.children(node)
        if child in drawn and (node, child) not in followed
    ]
    cut = {
        node: len(taxonomy.leaves_under(node))
        for node in nodes
        if not hanging[node] and any(child not in drawn for child in taxonomy.children(node))
    }
    column = {node: top - taxonomy.height_of(node) for node in nodes}
    return Layout(nodes, column, row, tree, others, rows, cut, _groups(nodes, roots, hanging, rows))


def _walk(
    taxonomy: Taxonomy, roots: Sequence[Id], levels: int | None
) -> tuple[list[Id], list[tuple[Id, Id]]]:
    """Return the nodes in depth-first order, and the edge by which each was reached."""
    nodes: list[Id] = []
    edges: list[tuple[Id, Id]] = []
    waiting: list[tuple[Id | None, Id, int]] = [(None, root, 0) for root in reversed(roots)]
    seen: set[Id] = set()
    while waiting:
        parent, node, level = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        nodes.append(node)
        if parent is not None:
            edges.append((parent, node))
        if levels is None or level < levels:
            waiting.extend((node, child, level + 1) for child in reversed(taxonomy.children(node)))
    return nodes, edges


def _groups(nodes: list[Id], roots: Sequence[Id], hanging: dict[Id, list[Id]], rows: int) -> dict[Id, int]:
    """Return which branch each node is of; the largest is divided until there are enough of no great size."""
    size = _rows_below(nodes, hanging)
    branches = list(roots)
    trunk: list[Id] = []
    while len(branches) < BRANCHES or max(size[node] for node in branches) > rows / 4:
        largest = max(branches, key=lambda node: size[node])
        if len(branches) > 1 and size[largest] <= max(1, rows / (2 * BRANCHES)):
            break
        if not any(hanging[child] for child in hanging[largest]):
            break
        place = branches.index(largest)
        branches[place : place + 1] = hanging[largest]
        trunk.append(largest)
    group = dict.fromkeys(trunk, -1)
    group.update({branch: number for number, branch in enumerate(branches)})
    for node in nodes:  # parents come first
        for child in hanging[node]:
            group.setdefault(child, group[node])
    return group


def _rows_below(nodes: list[Id], hanging: dict[Id, list[Id]]) -> dict[Id, int]:
    size: dict[Id, int] = {}
    for node in reversed(nodes):
        size[node] = sum(size[child] for child in hanging[node]) or 1
    return size

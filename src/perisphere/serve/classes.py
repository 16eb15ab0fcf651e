"""The classes of an index as a tree: of its encoder's taxonomy, of its categories, or its labels."""

from collections.abc import Callable
from typing import Any

from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.index.filters import MAX_CHARACTERS, And, Comparison, Contains, Expression, In
from perisphere.taxonomy import ClassPoints, Taxonomy

Node = dict[str, Any]
MOST = 20_000
"""Nodes of a tree: of a graph with many parents, nodes come once under each."""


def class_tree(index: Index, classes: ClassPoints | None) -> list[Node]:
    """Return the roots of the tree, plain values.

    Args:
        index: whose images are counted.
        classes: the classes that its encoder knows.

    Each node has ``name``, ``title``, ``count`` (images), ``where`` (a filter that chooses these, ``None``
    where there are none, or it would be longer than filters may be), ``query`` (whether the class has a point
    to search by) and ``children``.
    """
    labels = dict(index.counts("label"))
    if classes is not None:
        return _of_points(classes, labels)
    categories = index.category_paths()
    if categories:
        return _of_categories(categories)
    return [_leaf(label, count) for label, count in sorted(labels.items())]


def _of_points(classes: ClassPoints, labels: dict[str, int]) -> list[Node]:
    """Return the taxonomy of class points, or the classes alone where there is none."""
    if classes.taxonomy is None:
        return [
            _node(name, name, labels.get(name, 0), _labelled([name], labels), query=True)
            for name in classes.classes
        ]
    return _TaxonomyTree(classes, classes.taxonomy, labels).roots()


class _TaxonomyTree:
    """Nodes of a taxonomy with the labels below each; what has neither images nor a point is left out."""

    def __init__(self, classes: ClassPoints, taxonomy: Taxonomy, labels: dict[str, int]) -> None:
        self._taxonomy, self._labels = taxonomy, labels
        self._pointed = set(classes.classes)
        self._labels_of: dict[Any, list[str]] = {}
        for label in labels:
            node = _looked_up(taxonomy, label)
            if node is not None:
                self._labels_of.setdefault(node, []).append(label)
        self._left = MOST

    def roots(self) -> list[Node]:
        made = (self._made(node)[0] for node in self._taxonomy.roots)
        return [node for node in made if node is not None]

    def _made(self, node: Any) -> tuple[Node | None, list[str], bool]:
        """Return a node, the labels below it, and whether it or one below has a point."""
        if self._left == 0:
            return None, [], False
        self._left -= 1
        made = [self._made(child) for child in self._taxonomy.children(node)]
        below = dict.fromkeys(
            [*self._labels_of.get(node, []), *(label for _, own, _ in made for label in own)]
        )
        pointed = str(node) in self._pointed or any(point for _, _, point in made)
        if not below and not pointed:
            return None, [], False
        count = sum(self._labels[label] for label in below)
        title = self._taxonomy.name_of(node)
        tree = _node(str(node), title, count, _labelled(list(below), self._labels), query=pointed)
        tree["children"] = [child for child, _, _ in made if child is not None]
        return tree, list(below), pointed


def _looked_up(taxonomy: Taxonomy, label: str) -> Any:
    try:
        return taxonomy.lookup(label)
    except PerisphereError:  # several nodes are called so
        return None


def _of_categories(paths: list[tuple[tuple[str, ...], int]]) -> list[Node]:
    """Return the tree of lists of categories, root first."""
    roots: dict[str, Node] = {}
    children: dict[int, dict[str, Node]] = {}
    for path, count in paths:
        level = roots
        for depth, name in enumerate(path, start=1):
            node = level.setdefault(name, _node(name, name, 0, _under(path[:depth])))
            node["count"] += count
            level = children.setdefault(id(node), {})
    return _joined(roots, lambda node: children.get(id(node), {}))


def _under(path: tuple[str, ...]) -> Expression:
    """Return the filter of all categories of a path: one name may stand in several places of the tree."""
    terms: tuple[Expression, ...] = tuple(Contains("categories", name) for name in dict.fromkeys(path))
    return terms[0] if len(terms) == 1 else And(terms)


def _joined(level: dict[str, Node], children: Callable[[Node], dict[str, Node]]) -> list[Node]:
    for node in level.values():
        node["children"] = _joined(children(node), children)
    return [level[name] for name in sorted(level)]


def _leaf(label: str, count: int) -> Node:
    return _node(label, label, count, Comparison("label", "==", label))


def _labelled(labels: list[str], known: dict[str, int]) -> Expression | None:
    there = tuple(label for label in labels if label in known)
    if not there:
        return None
    return Comparison("label", "==", there[0]) if len(there) == 1 else In("label", there)


def _taken(where: Expression | None) -> str | None:
    """Return a filter as text, where there is one and it can be read again."""
    text = "" if where is None else str(where)
    return text if 0 < len(text) <= MAX_CHARACTERS else None


def _node(name: str, title: str, count: int, where: Expression | None, *, query: bool = False) -> Node:
    return {
        "name": name,
        "title": title,
        "count": count,
        "where": _taken(where),
        "query": query,
        "children": [],
    }

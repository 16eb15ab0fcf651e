"""From a DAG to a tree that keeps the classes and changes as little as possible."""

from collections.abc import Mapping, Sequence

from perisphere.errors import PerisphereError
from perisphere.taxonomy.relations import Id
from perisphere.taxonomy.taxonomy import Taxonomy


def restrict(taxonomy: Taxonomy, classes: Sequence[Id]) -> Taxonomy:
    """Return the taxonomy of some classes and everything above them; what hangs below them is cut off."""
    kept = {node for each in classes for node in taxonomy.ancestors(each)}
    lowest = set(classes)
    pairs = [
        (parent, child)
        for parent, child in taxonomy.pairs
        if parent in kept and child in kept and not (parent in lowest and child not in lowest)
    ]
    return Taxonomy.from_pairs(pairs, taxonomy.names)


def reduce_to_tree(taxonomy: Taxonomy, classes: Sequence[Id]) -> Taxonomy:
    """Return a tree of the classes in which each node keeps one of its parents.

    It starts with the paths of all classes that have a single path to a root. Then each other class, in the
    order given, joins the tree by the fewest new nodes; of several ways as short, by the one to the node of
    smallest depth. What was joined before stays where it is. This is the recipe behind the published tree of
    ILSVRC's classes (github.com/cvjena/semantic-embeddings), which leaves order and ties open.

    Raises:
        PerisphereError: no classes, or one that is not in the taxonomy.
    """
    if not classes:
        raise PerisphereError("a tree needs at least one class.")
    for node in classes:
        taxonomy.height_of(node)  # refuses what is not in the taxonomy
    ways = _root_paths(taxonomy)
    parent_of: dict[Id, Id | None] = {}
    for node in sorted(classes, key=lambda each: ways[each] > 1):
        if node not in parent_of:
            _join(parent_of, _way_up(taxonomy, node, parent_of))
    pairs = [(parent, child) for child, parent in parent_of.items() if parent is not None]
    return Taxonomy.from_pairs(pairs, taxonomy.names)


def _root_paths(taxonomy: Taxonomy) -> dict[Id, int]:
    """Return how many paths lead from each node to a root."""
    paths: dict[Id, int] = {}
    for node in sorted(taxonomy.ids, key=taxonomy.depth_of):
        paths[node] = sum(paths[parent] for parent in taxonomy.parents(node)) or 1
    return paths


def _join(parent_of: dict[Id, Id | None], way: Sequence[Id]) -> None:
    for child, parent in zip(way, [*way[1:], None], strict=True):
        parent_of.setdefault(child, parent)


def _way_up(taxonomy: Taxonomy, node: Id, parent_of: Mapping[Id, Id | None]) -> list[Id]:
    """Return the fewest nodes from ``node`` up to one in the tree, or to a root where none of it is above."""
    below: dict[Id, Id | None] = {node: None}
    root: Id | None = None
    level = [node]
    while level:
        joined = [each for each in level if each in parent_of]
        if joined:
            return _unwound(below, min(joined, key=taxonomy.depth_of))
        root = next((each for each in level if not taxonomy.parents(each)), None) if root is None else root
        above = [(parent, each) for each in level for parent in taxonomy.parents(each)]
        level = list(dict.fromkeys(parent for parent, _ in above if parent not in below))
        for parent, each in above:
            below.setdefault(parent, each)
    return _unwound(below, root)


def _unwound(below: Mapping[Id, Id | None], end: Id | None) -> list[Id]:
    way = []
    while end is not None:
        way.append(end)
        end = below[end]
    return way[::-1]

"""A class taxonomy: a rooted tree or DAG of ids, immutable once built."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from perisphere.errors import PerisphereError, nearest
from perisphere.taxonomy.names import read_names
from perisphere.taxonomy.relations import Id, IdKind, as_id, read_relations

DepthPath = Literal["longest", "shortest"]
SHOWN = 5  # ids named in an error


class Taxonomy:
    """Which class is a kind of which: nodes with ids, edges from parents to children, no cycles.

    A node may have several parents (a DAG), and there may be several roots. Everything is computed once, in
    time and memory linear in the number of relations.

    Attributes:
        ids: all nodes, in order: integers by value, texts by text.
        leaves: nodes without children, in the same order.
        roots: nodes without parents, in the same order.
        names: what nodes are called; a node may have no name.
        is_tree: no node has more than one parent.
        height: the largest height of any node.
        repeated: how many relations were given again; they count once.
    """

    ids: tuple[Id, ...]
    leaves: tuple[Id, ...]
    roots: tuple[Id, ...]
    names: Mapping[Id, str]
    is_tree: bool
    height: int
    repeated: int

    def __init__(
        self,
        pairs: Iterable[tuple[Id, Id]],
        names: Mapping[Id, str] | None = None,
        *,
        where: Callable[[int], str] = lambda number: f"relation {number + 1}",
    ) -> None:
        """Build from (parent, child) pairs; ``where`` says where the pair of a number (from 0) was given."""
        given = list(pairs)
        _check_pairs(given, where)
        first = {pair: number for number, pair in reversed(list(enumerate(given)))}
        self.repeated = len(given) - len(first)
        self.ids = tuple(sorted({node for pair in first for node in pair}))  # type: ignore[type-var]
        parents: dict[Id, list[Id]] = {node: [] for node in self.ids}
        children: dict[Id, list[Id]] = {node: [] for node in self.ids}
        for parent, child in sorted(first):  # type: ignore[type-var]
            children[parent].append(child)
            parents[child].append(parent)
        self._parents = {node: tuple(above) for node, above in parents.items()}
        self._children = {node: tuple(below) for node, below in children.items()}
        order = _from_the_roots(self._parents, self._children, first, where)
        self._measure(order)
        self.roots = tuple(node for node in self.ids if not self._parents[node])
        self.leaves = tuple(node for node in self.ids if not self._children[node])
        self.is_tree = all(len(above) <= 1 for above in self._parents.values())
        self.names = {node: name for node, name in (names or {}).items() if node in self._parents}
        self._by_name = (_named(self.names, str), _named(self.names, _folded))

    def _measure(self, order: Sequence[Id]) -> None:
        longest: dict[Id, int] = {}
        shortest: dict[Id, int] = {}
        for node in order:
            above = self._parents[node]
            longest[node] = 1 + max((longest[parent] for parent in above), default=0)
            shortest[node] = 1 + min((shortest[parent] for parent in above), default=0)
        heights: dict[Id, int] = {}
        for node in reversed(order):
            heights[node] = 1 + max((heights[child] for child in self._children[node]), default=-1)
        self._depths: dict[str, dict[Id, int]] = {"longest": longest, "shortest": shortest}
        self._heights = heights
        self.height = max(heights.values())

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[Id, Id]], names: Mapping[Id, str] | None = None) -> "Taxonomy":
        """Build a taxonomy from (parent, child) pairs; names of ids that are no node are left out.

        Raises:
            PerisphereError: there are no pairs, ids of both kinds, a node that is its own parent, or a cycle.
        """
        return cls(pairs, names)

    @classmethod
    def load(
        cls, path: Path, *, child_parent: bool = False, ids: IdKind = "auto", names: Path | None = None
    ) -> "Taxonomy":
        """Read a parent-child file (see ``read_relations``) and a file of names (see ``read_names``).

        Raises:
            PerisphereError: a file cannot be read, or its relations make no taxonomy; the message names the
                line.
        """
        path = Path(path)
        relations = read_relations(path, child_parent=child_parent, ids=ids)
        called = read_names(Path(names), relations.pairs[0][0]) if names is not None else {}
        taxonomy = cls(
            relations.pairs, called, where=lambda number: f"{path}: line {relations.lines[number]}"
        )
        if called and not taxonomy.names:
            raise PerisphereError(f"{names}: names none of the ids of {path}. Is it of another taxonomy?")
        return taxonomy

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, node: object) -> bool:
        return node in self._parents

    def __repr__(self) -> str:
        kind = "tree" if self.is_tree else "DAG"
        return f"Taxonomy({len(self.ids)} nodes, {len(self.leaves)} leaves, a {kind} of height {self.height})"

    @property
    def pairs(self) -> list[tuple[Id, Id]]:
        """All relations (parent, child), in the order of parents, then of children."""
        return [(parent, child) for parent in self.ids for child in self._children[parent]]

    def name_of(self, node: Id) -> str:
        """Return what a node is called, its id as text where it has no name."""
        return self.names.get(node, str(node))

    def parents(self, node: Id) -> tuple[Id, ...]:
        """Return the direct parents, in order."""
        return self._parents[self._known(node)]

    def children(self, node: Id) -> tuple[Id, ...]:
        """Return the direct children, in order."""
        return self._children[self._known(node)]

    def height_of(self, node: Id) -> int:
        """Return 0 for a leaf, else 1 + the largest height of a child."""
        return self._heights[self._known(node)]

    def depth_of(self, node: Id, path: DepthPath = "longest") -> int:
        """Return 1 for a root, else 1 + the largest (or, ``shortest``, smallest) depth of a parent."""
        return self._depths[path][self._known(node)]

    def distances(self, node: Id) -> dict[Id, int]:
        """Return the fewest edges from a node up to itself (0) and each of its ancestors, nearest first."""
        found = {self._known(node): 0}
        level: tuple[Id, ...] = (node,)
        while level:
            above = [parent for below in level for parent in self._parents[below]]
            far = found[level[0]] + 1
            level = tuple(dict.fromkeys(parent for parent in above if parent not in found))
            found.update(dict.fromkeys(level, far))
        return found

    def ancestors(self, node: Id) -> tuple[Id, ...]:
        """Return a node and everything above it, nearest first."""
        return tuple(self.distances(node))

    def descendants(self, node: Id) -> tuple[Id, ...]:
        """Return a node and everything below it, each once, a node before what hangs under it on its way."""
        found = dict.fromkeys((self._known(node),))
        waiting = list(reversed(self._children[node]))
        while waiting:
            below = waiting.pop()
            if below not in found:
                found[below] = None
                waiting.extend(reversed(self._children[below]))
        return tuple(found)

    def leaves_under(self, node: Id) -> tuple[Id, ...]:
        """Return the leaves below a node, in order; a leaf is below itself."""
        below = (each for each in self.descendants(node) if not self._children[each])
        return tuple(sorted(below))  # type: ignore[type-var]

    def lcs(self, a: Id, b: Id) -> Id | None:
        """Return the lowest common subsumer: the common ancestor of greatest depth (by longest paths).

        Of several as deep, which only a DAG has, it is the one of smallest height, then of smallest id. None
        where no ancestor is common.
        """
        common = self.distances(a).keys() & self.distances(b).keys()
        return min(common, key=self.precedence, default=None)

    def shortest_path(self, a: Id, b: Id) -> int | None:
        """Return the fewest edges from ``a`` up to a common ancestor and down to ``b``; None without one."""
        up, down = self.distances(a), self.distances(b)
        return min((up[node] + down[node] for node in up.keys() & down.keys()), default=None)

    def precedence(self, node: Id) -> tuple[int, int, Id]:
        """Return what common ancestors are ordered by, the lowest common subsumer first."""
        return -self._depths["longest"][node], self._heights[node], node

    def find(self, text: str) -> Id:
        """Return the node that a text means: by id, then by name.

        A name is looked up as it stands, then without regard to case and with ``_`` as a blank. Where several
        nodes have it, it means the only leaf among them.

        Raises:
            PerisphereError: no node is meant, with the nearest named; or several are.
        """
        node = self.lookup(text)
        if node is None:
            raise PerisphereError(f"class {text!r}: is not in the taxonomy.{self._nearest(text)}")
        return node

    def lookup(self, text: str) -> Id | None:
        """Return what ``find`` returns, but None where no node is meant."""
        node = as_id(text, self.ids[0])
        if node is not None and node in self._parents:
            return node
        for key, named in zip((text, _folded(text)), self._by_name, strict=True):
            found = named.get(key, [])
            leaves = [each for each in found if not self._children[each]]
            if len(found) == 1 or len(leaves) == 1:
                return (leaves or found)[0]
            if found:
                raise PerisphereError(
                    f"class {text!r}: is the name of several nodes ({_shown(found)}). Give the id."
                )
        return None

    def classes_of(self, labels: Sequence[str]) -> list[Id]:
        """Return the nodes that the labels of a catalog mean, each by ``find``.

        Raises:
            PerisphereError: names the labels that mean no node, or the first that means several.
        """
        meant = {label: self.lookup(label) for label in dict.fromkeys(labels)}
        unknown = [label for label, node in meant.items() if node is None]
        if unknown:
            mend = self._nearest(unknown[0]) or " Is the file of names missing?"
            raise PerisphereError(
                f"{len(unknown)} of {len(meant)} classes are not in the taxonomy: {_shown(unknown)}.{mend}"
            )
        return [node for node in (meant[label] for label in labels) if node is not None]

    def _nearest(self, text: str) -> str:
        return nearest(text, [*self.names.values(), *map(str, self.ids)])

    def _known(self, node: Id) -> Id:
        if node not in self._parents:
            raise PerisphereError(f"class {node!r}: is not in the taxonomy.{self._nearest(str(node))}")
        return node


def _check_pairs(pairs: Sequence[tuple[Id, Id]], where: Callable[[int], str]) -> None:
    if not pairs:
        raise PerisphereError("a taxonomy needs at least one relation of a parent and a child.")
    kind = type(pairs[0][0])
    for number, pair in enumerate(pairs):
        if not all(type(node) is kind for node in pair) or kind not in (int, str):
            raise PerisphereError(f"{where(number)}: ids must be all integers or all texts, got {pair!r}.")
        if pair[0] == pair[1]:
            raise PerisphereError(f"{where(number)}: {pair[0]!r} is its own parent. Remove the line.")


def _from_the_roots(
    parents: Mapping[Id, Sequence[Id]],
    children: Mapping[Id, Sequence[Id]],
    first: Mapping[tuple[Id, Id], int],
    where: Callable[[int], str],
) -> list[Id]:
    """Return all nodes, each after its parents.

    Raises:
        PerisphereError: there is a cycle; what hangs on nothing else has no path to a root.
    """
    waiting_for = {node: len(above) for node, above in parents.items()}
    order = [node for node, count in waiting_for.items() if count == 0]
    for node in order:  # grows while it is walked
        for child in children[node]:
            waiting_for[child] -= 1
            if waiting_for[child] == 0:
                order.append(child)
    if len(order) == len(parents):
        return order
    cycle = _cycle(parents, {node for node, count in waiting_for.items() if count})
    edges = zip(cycle, [*cycle[1:], cycle[0]], strict=True)
    closing = max(first[parent, child] for parent, child in edges)
    root = "" if order else " and there is no root"
    way = " -> ".join(repr(node) for node in [*cycle[:8], *(["..."] if len(cycle) > 8 else []), cycle[0]])
    raise PerisphereError(
        f"{where(closing)}: closes a cycle, {way}{root}; {len(parents) - len(order)} ids have no path to a "
        "root. Remove a relation of the cycle."
    )


def _cycle(parents: Mapping[Id, Sequence[Id]], stuck: set[Id]) -> list[Id]:
    """Return the nodes of a cycle, each before one of its children; ``stuck`` nodes lie on or below one."""
    seen: dict[Id, int] = {}
    node = min(stuck)  # type: ignore[type-var]
    way: list[Id] = []
    while node not in seen:
        seen[node] = len(way)
        way.append(node)
        node = next(parent for parent in parents[node] if parent in stuck)
    cycle = way[seen[node] :][::-1]
    first = cycle.index(min(cycle))  # type: ignore[type-var]
    return cycle[first:] + cycle[:first]


def _named(names: Mapping[Id, str], key: Callable[[str], str]) -> dict[str, list[Id]]:
    found: dict[str, list[Id]] = {}
    for node, name in names.items():
        found.setdefault(key(name), []).append(node)
    return found


def _folded(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


def _shown(ids: Sequence[object]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(repr(node) for node in ids[:SHOWN]) + more

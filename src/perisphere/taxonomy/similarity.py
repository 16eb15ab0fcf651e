"""How similar classes are by their lowest common subsumer: all pairs at once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.taxonomy.relations import Id
from perisphere.taxonomy.taxonomy import Taxonomy

Kind = Literal["lcs_height", "wup"]
KINDS: tuple[str, ...] = get_args(Kind)
MAX_CLASSES = 20_000  # 3 GiB of float64 for all pairs


def similarities(taxonomy: Taxonomy, classes: Sequence[Id], kind: Kind = "lcs_height") -> NDArray[np.float64]:
    """Return the similarity of each class to each, float64 ``[n, n]``, in [0, 1], symmetric.

    With ``s`` the lowest common subsumer of ``a`` and ``b``:

    - ``lcs_height``: ``1 - height(s) / height(taxonomy)`` (Barz & Denzler, WACV 2019, eq. 1); a leaf has
      similarity 1 to itself, an inner node less.
    - ``wup``: ``2 d / (2 d + path(a, s) + path(b, s))`` with ``d = depth(s)``, the fewest edges
      (Wu & Palmer, 1994).

    Each node writes its value over the square of the classes below it, from the roots down, so that the
    lowest subsumer is the last to write. Classes stand in depth-first order meanwhile, which makes those
    squares contiguous in a tree.

    Raises:
        PerisphereError: a class is not in the taxonomy, two have no common ancestor, or there are more than
            20,000.
        UsageError: the kind is unknown.
    """
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise UsageError(f"similarity {kind!r} is unknown; use one of {known}.{nearest(kind, list(KINDS))}")
    if len(classes) > MAX_CLASSES:
        raise PerisphereError(
            f"all pairs of {len(classes):,} classes take too much memory; "
            f"give a class list of at most {MAX_CLASSES:,}."
        )
    order = _depth_first(taxonomy, classes)
    below = _classes_below(taxonomy, [classes[place] for place in order])
    values = np.full((len(classes), len(classes)), np.nan)
    for node in sorted(below, key=taxonomy.precedence, reverse=True):
        places, _ = below[node]
        if any(len(below[child][0]) == len(places) for child in taxonomy.children(node) if child in below):
            continue  # the child writes the whole square again
        if kind == "lcs_height":
            values[_square(places)] = 1 - taxonomy.height_of(node) / taxonomy.height
        else:
            far = _paths(taxonomy, node, below)
            depth = 2.0 * taxonomy.depth_of(node)
            values[_square(places)] = depth / (depth + far[:, None] + far)
    if order != list(range(len(order))):
        back = np.argsort(order)
        values = values[np.ix_(back, back)]
    _check_related(values, classes)
    return values


def _paths(
    taxonomy: Taxonomy, node: Id, below: Mapping[Id, tuple[list[int], list[int]]]
) -> NDArray[np.float64]:
    """Return the shortest path from ``node`` to each class below it, float64 ``[n]``.

    In a tree these are the edges up to it; in a DAG a way over one of its ancestors can be shorter.
    """
    places, distances = below[node]
    paths = np.array(distances, dtype=np.float64)
    if taxonomy.is_tree:
        return paths
    for ancestor, up in taxonomy.distances(node).items():
        wider, farther = below[ancestor]
        np.minimum(paths, up + np.array(farther)[np.searchsorted(wider, places)], out=paths)
    return paths


def _depth_first(taxonomy: Taxonomy, classes: Sequence[Id]) -> list[int]:
    """Return the places of the classes in ``classes``, in the order of a walk that goes down first."""
    for node in classes:
        taxonomy.height_of(node)  # refuses what is not in the taxonomy
    walk: dict[Id, int] = {}
    for root in taxonomy.roots:
        for node in taxonomy.descendants(root):
            walk.setdefault(node, len(walk))
    return sorted(range(len(classes)), key=lambda place: walk[classes[place]])


def _classes_below(taxonomy: Taxonomy, classes: Iterable[Id]) -> dict[Id, tuple[list[int], list[int]]]:
    """Return for each node above a class: the places of its classes, and their distances to it in edges."""
    below: dict[Id, tuple[list[int], list[int]]] = {}
    for place, node in enumerate(classes):
        for ancestor, far in taxonomy.distances(node).items():
            places, distances = below.setdefault(ancestor, ([], []))
            places.append(place)
            distances.append(far)
    return below


def _square(places: list[int]) -> tuple:
    """Return the index of all pairs of places, as slices where they are contiguous."""
    if places[-1] - places[0] + 1 == len(places):
        run = slice(places[0], places[-1] + 1)
        return run, run
    return np.ix_(places, places)


def _check_related(values: NDArray[np.float64], classes: Sequence[Id]) -> None:
    for row, related in enumerate(values):
        if np.isnan(related).any():
            pair = f"{classes[row]!r} and {classes[int(np.isnan(related).argmax())]!r}"
            raise PerisphereError(f"classes {pair}: have no common ancestor. Give the taxonomy one root.")

"""A class as a query: its point on the sphere, and which results lie under it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.search.index_encoder import kept_encoder
from perisphere.search.ingredients import ClassQuery
from perisphere.search.results import Answer, Mark
from perisphere.taxonomy import ClassPoints

if TYPE_CHECKING:
    from perisphere.encoder import Encoder


def known_classes(
    index: Index, encoder: "Encoder | None" = None, given: ClassPoints | None = None
) -> ClassPoints:
    """Return the class points to search with: ``given``, or those of the index's encoder or of ``encoder``.

    Raises:
        PerisphereError: there are none, or they or ``encoder`` do not lie in the space of the index.
    """
    kept = None if given is not None else kept_encoder(index, encoder)
    classes = given if kept is None else kept.classes
    if classes is None:
        raise PerisphereError(
            f"{index.folder}: its encoder knows no classes. Pass those that it was trained towards "
            "with --classes FILE, or search with photos."
        )
    if classes.dim != index.dim:
        raise PerisphereError(
            f"the class points have {classes.dim} numbers, and {index.folder} holds {index.dim} an image. "
            "Pass the class points that its encoder was trained towards."
        )
    return classes


def class_vectors(queries: Sequence[ClassQuery], classes: ClassPoints) -> NDArray[np.float32]:
    """Return the unit points of classes, float32 ``[q, d]``.

    Raises:
        PerisphereError: there is no such class; the nearest name is told.
    """
    return np.array([classes.point(query.name) for query in queries], np.float32).reshape(-1, classes.dim)


def judged(answer: Answer, classes: ClassPoints) -> Answer:
    """Mark the results of a class query whose label is the class, or lies below it, as right.

    Results without a label, or with one that the class points and their taxonomy do not know, stay unmarked.
    """
    assert isinstance(answer.image, ClassQuery)
    below, title = _below(answer.image.name, classes)
    marks = {result.label: _mark(result.label, below, classes) for result in answer.results}
    results = tuple(replace(result, mark=marks[result.label]) for result in answer.results)
    count = len(below & set(classes.classes))
    note = "class" if count < 2 else f"class, {count} classes below"
    return replace(answer, image=replace(answer.image, title=title), results=results, note=note)


def _below(name: str, classes: ClassPoints) -> tuple[set[str], str]:
    """Return the ids, as text, of a class and of all below it, and what the class is called."""
    taxonomy = classes.taxonomy
    node = None if taxonomy is None else taxonomy.lookup(name)
    if taxonomy is None or node is None:
        return {name}, name
    return {str(node), *map(str, taxonomy.descendants(node))}, taxonomy.name_of(node)


def _mark(label: str | None, below: set[str], classes: ClassPoints) -> Mark | None:
    known = None if label is None else _known(label, classes)
    return None if known is None else "right" if known in below else "wrong"


def _known(label: str, classes: ClassPoints) -> str | None:
    """Return the id of a label as text; ``None`` where nothing, or more than one node, is called so."""
    try:
        node = None if classes.taxonomy is None else classes.taxonomy.lookup(label)
    except PerisphereError:
        return None
    if node is not None:
        return str(node)
    return label if label in classes.classes else None

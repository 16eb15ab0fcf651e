"""A text as a query: the direction of the tags in it, and which of its words are none."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.search.index_encoder import kept_encoder
from perisphere.search.ingredients import TextQuery
from perisphere.tags import Tags

if TYPE_CHECKING:
    from perisphere.encoder import Encoder


def known_tags(index: Index, encoder: "Encoder | None" = None, given: Tags | None = None) -> Tags:
    """Return the tags to search with: ``given``, or those of the index's encoder or of ``encoder``.

    Raises:
        PerisphereError: there are none, or they or ``encoder`` do not lie in the space of the index.
    """
    kept = None if given is not None else kept_encoder(index, encoder)
    tags = given if kept is None else kept.tags
    if tags is None:
        raise PerisphereError(
            f"{index.folder}: its encoder knows no tags. Pass those that it was trained towards with "
            "--tags FOLDER, or search with photos."
        )
    if tags.dim != index.dim:
        raise PerisphereError(
            f"the tags have vectors of {tags.dim} numbers, and {index.folder} holds {index.dim} an image. "
            "Pass the tags that its encoder was trained towards."
        )
    return tags


def text_vectors(queries: Sequence[TextQuery], tags: Tags) -> NDArray[np.float32]:
    """Return the unit points of texts, float32 ``[q, d]``.

    Raises:
        PerisphereError: no word of a text is known; the nearest tags are told.
    """
    return np.array([tags.point(query.text).vector for query in queries], np.float32).reshape(-1, tags.dim)


def understood(query: TextQuery, tags: Tags) -> TextQuery:
    """Say in a text which tags were found in it, and which of its words are none."""
    point = tags.point(query.text)
    unknown = {word: tuple(tags.nearest(word)) for word in point.unknown}
    return replace(query, tags=point.known, unknown=unknown)

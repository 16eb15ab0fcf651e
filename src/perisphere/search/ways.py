"""Which way queries are answered: by vectors of photos, by words, or by regions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from perisphere.errors import UsageError, nearest
from perisphere.index import Index
from perisphere.search.index_encoder import kept_encoder
from perisphere.search.ingredients import Ingredient, TextQuery
from perisphere.search.part import Part

if TYPE_CHECKING:
    from perisphere.encoder import Encoder
    from perisphere.tags import Tags


WAYS = ("vectors", "words", "regions")


def way_of(
    index: Index,
    queries: Sequence[Ingredient],
    by: str | None = None,
    encoder: "Encoder | None" = None,
    tags: "Tags | None" = None,
) -> str:
    """Return the way that was asked for; by default the one that the index is made for.

    Texts are points where the encoder carries tags (or ``tags`` are given), and words where it does not.
    Parts of photos are compared with regions where the index keeps vectors of these, and are cut out and
    embedded where it does not. All other queries are points.

    Args:
        index: where to search.
        queries: all queries of the search.
        by: one of :data:`WAYS`, or nothing.
        encoder: the encoder that is given beside the index.
        tags: the tags that are given.

    Raises:
        UsageError: an unknown way, or one that some query cannot go.
    """
    if by is not None and by not in WAYS:
        known = ", ".join(WAYS)
        raise UsageError(f"--by {by!r} is unknown: choose one of {known}.{nearest(by, list(WAYS))}")
    texts = all(isinstance(query, TextQuery) for query in queries)
    parts = all(isinstance(query, Part) for query in queries)
    if by is not None:
        if by == "words" and not texts:
            raise UsageError("--by words searches with texts alone: leave photos and classes out.")
        if by == "regions" and not texts and not parts:
            raise UsageError("--by regions searches with texts or parts of photos: give --text or --region.")
        return by
    if not queries:
        return "vectors"
    if texts and tags is None:
        kept = kept_encoder(index, encoder)
        return "words" if kept is None or kept.tags is None else "vectors"
    return "regions" if parts and index.regions.has_vectors() else "vectors"

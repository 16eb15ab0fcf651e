"""Which way a query is answered: by its point, by words, by both, or by regions."""

from typing import Literal

from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.search.among import chosen
from perisphere.search.part import Part
from perisphere.search.query import Query
from perisphere.search.spaces import Spaces
from perisphere.search.vector_query import check_vectors
from perisphere.search.word_query import TRUST

Way = Literal["vectors", "words", "both", "regions"]
WAYS = ("vectors", "words", "regions")
"""What can be asked for by name."""

OF_POINTS = ["among", "identities", "metric", "min_precision", "exact", "shortlist", "symmetric", "rerank"]
"""Options that mean something for points alone."""
OF_PHOTOS = ["label", "exclude_self"]
SPELLED = {"identities": "identities (-n)"}


def way_of(spaces: Spaces, query: Query) -> Way:
    """Return the way that a query goes, by what it is made of and what the index is made for.

    A part of a photo alone is compared with regions where the index keeps vectors of these, and is cut out
    and embedded where it does not. Examples are a point, words without any are words, and words beside
    examples or counter-examples are joined with their point.

    Raises:
        PerisphereError: regions are asked for, and the index keeps none.
        UsageError: an unknown way, one that the query cannot go, or an option that means nothing there.
    """
    if query.by is not None and query.by not in WAYS:
        known = ", ".join(WAYS)
        raise UsageError(
            f"--by {query.by!r} is unknown: choose one of {known}.{nearest(query.by, list(WAYS))}"
        )
    way = _way(spaces, query)
    if way == "vectors":
        check_vectors(spaces.index, query)
    elif way == "both":
        _check_both(spaces, query)
    else:
        name = "regions" if query.by == "regions" else way
        _refuse(query, f"by {name}", OF_POINTS + (OF_PHOTOS if way == "words" else []))
    return way


def trust_of(query: Query) -> tuple[float, float]:
    """Return how far words and regions are trusted: regions alone where the query asks for that."""
    return (0.0, TRUST[1]) if query.by == "regions" else TRUST


def _way(spaces: Spaces, query: Query) -> Way:
    examples = (*query.like, *query.unlike)
    part = len(examples) == 1 and isinstance(examples[0].what, Part) and query.words is None
    if query.by == "words" and query.words is None:
        raise UsageError("--by words searches with texts alone: leave photos and classes out.")
    if query.by == "regions" and not part and query.words is None:
        raise UsageError("--by regions searches with texts or parts of photos: give --text or --region.")
    if query.by == "vectors" and query.words is not None:
        raise UsageError("--by vectors searches with points: leave the words out, or --by.")
    if part and (query.by == "regions" or (query.by is None and spaces.index.regions.has_vectors())):
        return "regions"
    if query.by == "regions" and spaces.index.regions.about() is None:
        raise PerisphereError(
            f"{spaces.index.folder}: keeps no regions. Bring them with `perisphere index regions INDEX "
            "SEGMENTED`, or search by words."
        )
    if query.words is None or (query.like and query.words_weight == 0):
        return "vectors"
    return "both" if query.like or (query.unlike and query.gamma) else "words"


def _check_both(spaces: Spaces, query: Query) -> None:
    """Refuse what means nothing for words beside a point."""
    _refuse(query, "by words and a point", ["identities", "rerank", "min_precision"], "the words")
    if chosen(spaces.index, query.among) != "photos":
        raise UsageError("words are sought among photos: leave --among out, or the words.")
    if query.symmetric or query.shortlist == 0:
        raise UsageError(
            "words are joined with scores by vectors, not by codes alone. Leave --symmetric and "
            "--shortlist 0 out."
        )


def _refuse(query: Query, way: str, names: list[str], other: str = "use --by vectors") -> None:
    """Refuse options that mean nothing to a way; the mend is to leave them out, or ``other``."""
    for name in names:
        value = getattr(query, name)
        if value is not None and value is not False:
            option = f"--{SPELLED.get(name, name).replace('_', '-')}"
            raise UsageError(f"{option} means nothing to a search {way}: leave it out, or {other}.")

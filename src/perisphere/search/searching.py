"""The search: every kind of query, those of equal options together."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from perisphere.errors import UsageError
from perisphere.index import Index
from perisphere.search.class_query import judged
from perisphere.search.found import Found, described
from perisphere.search.fusion import by_both
from perisphere.search.ingredients import ClassQuery, Ingredient, TextQuery, picture_of
from perisphere.search.points import query_points
from perisphere.search.query import Query
from perisphere.search.region_query import by_regions
from perisphere.search.results import Answer, Result, Results
from perisphere.search.selves import Selves, selves_of
from perisphere.search.spaces import Spaces
from perisphere.search.text_query import understood
from perisphere.search.vector_query import Placed, by_vectors
from perisphere.search.ways import Way, trust_of, way_of
from perisphere.search.word_query import Sought, outlined, seek, words_road

if TYPE_CHECKING:
    from perisphere.encoder import Encoder
    from perisphere.tags import Tags
    from perisphere.tags.concepts.concept_words import ConceptWords
    from perisphere.taxonomy import ClassPoints

OPTIONS = ["k", "where", "among", "identities", "metric", "exact", "shortlist", "symmetric"]
"""What queries by points must have in common to be searched together, besides the re-ranking."""


@dataclass(frozen=True)
class _Asked:
    """A query on its way: what the index knows of it, the way that it goes, and its point and words there."""

    selves: Selves
    way: Way
    placed: Placed | None = None
    sought: Sought | None = None

    @property
    def query(self) -> Query:
        return self.selves.query


def search(
    index: Index,
    queries: Sequence[Query],
    *,
    encoder: "Encoder | None" = None,
    classes: "ClassPoints | None" = None,
    tags: "Tags | None" = None,
    vocabulary: "ConceptWords | None" = None,
) -> Results:
    """Answer queries, each by its own options and with its own results.

    The photos of all queries go through the encoder together, queries of equal options are one search of the
    index, and the rows of all results are read at once.

    Args:
        index: where to search.
        queries: at least one.
        encoder: the encoder to use where the index holds none; it has to be the one that made the index.
        classes: points of classes in the space of the index; by default those of its encoder.
        tags: tags in the space of the index, for texts; by default its encoder's text tower or tags.
        vocabulary: words of concepts; those of WikiScenes by default, and the names of the index's concepts.

    Returns:
        Answers in the order of the queries. Results of a class are marked right where their label is the
        class or lies below it; results of words carry the regions of the concepts that were asked for.

    Raises:
        ImageError: a photo cannot be read.
        PerisphereError: no encoder, another encoder, no such class, tag or row, no calibration, regions or
            centroids where they are needed, or examples that cancel each other.
        UsageError: no query, or options that mean nothing for it.
    """
    if not queries:
        raise UsageError("there is no query. Name at least one image or class.")
    spaces = Spaces(index, encoder, classes, tags, vocabulary)
    ways = [way_of(spaces, query) for query in queries]
    asked = [_Asked(selves, way) for selves, way in zip(selves_of(index, queries), ways, strict=True)]
    asked = _with_words(spaces, _with_points(spaces, asked))
    found = _found(spaces, asked)
    answers = zip(asked, found, described(index, found), strict=True)
    return Results(tuple(_answer(spaces, *answer) for answer in answers))


def _with_points(spaces: Spaces, asked: list[_Asked]) -> list[_Asked]:
    """Give a point to all queries that need one."""
    needing = [place for place, one in enumerate(asked) if one.way in ("vectors", "both")]
    points = query_points(spaces, [asked[place].query for place in needing])
    asked = list(asked)
    for place, point in zip(needing, points, strict=True):
        selves, query = asked[place].selves, asked[place].query
        own = selves.own if query.exclude_self else frozenset[int]()
        alone = len(query.like) == 1 and not query.unlike
        photo = picture_of(query.like[0].what) if alone else None
        asked[place] = replace(asked[place], placed=Placed(query, point, own, own | selves.rows, photo))
    return asked


def _with_words(spaces: Spaces, asked: list[_Asked]) -> list[_Asked]:
    """Seek the words of all queries that have some, those under one filter together."""
    asked = list(asked)
    for (where, trust), places in _groups(
        (place, (one.query.where, trust_of(one.query)))
        for place, one in enumerate(asked)
        if one.way in ("words", "both")
    ):
        texts = [str(asked[place].query.words) for place in places]
        sought = seek(spaces.index, texts, spaces.vocabulary, where, trust)
        for place, one in zip(places, sought, strict=True):
            asked[place] = replace(asked[place], sought=one)
    return asked


def _groups(keyed: Iterable[tuple[int, Hashable]]) -> Iterable[tuple[Any, list[int]]]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for place, key in keyed:
        groups[key].append(place)
    return groups.items()


def _found(spaces: Spaces, asked: Sequence[_Asked]) -> list[Found]:
    """Answer all queries, in groups that go one way with equal options."""
    found = [Found()] * len(asked)
    for (way, *_), places in _groups((place, _key(one)) for place, one in enumerate(asked)):
        some = [asked[place] for place in places]
        for place, one in zip(places, ANSWERING[way](spaces, some), strict=True):
            found[place] = one
    return found


def _key(asked: _Asked) -> Hashable:
    options = (getattr(asked.query, name) for name in OPTIONS)
    return asked.way, bool(asked.query.like), str(asked.query.rerank), *options


def _by_points(spaces: Spaces, asked: Sequence[_Asked]) -> list[Found]:
    return by_vectors(spaces.index, [one.placed for one in asked if one.placed], asked[0].query.k)


def _by_regions(spaces: Spaces, asked: Sequence[_Asked]) -> list[Found]:
    own = [one.selves.own if one.query.exclude_self else one.selves.rows for one in asked]
    return by_regions(spaces, [one.query for one in asked], own)


def _by_words(spaces: Spaces, asked: Sequence[_Asked]) -> list[Found]:
    found = []
    for one in asked:
        assert one.sought is not None
        cut = one.query.min_score
        best = one.sought.best(one.query.k, one.selves.rows).items()
        hits = [(id_, score, None) for id_, score in best if cut is None or score >= cut]
        found.append(Found(hits, words_road(trust_of(one.query)), "words", cut))
    return _outlined(spaces, asked, found)


def _by_both(spaces: Spaces, asked: Sequence[_Asked]) -> list[Found]:
    found = by_both(
        spaces.index,
        [one.placed for one in asked if one.placed],
        [one.sought for one in asked if one.sought],
    )
    roads = [f"{one.road}, {words_road(trust_of(of.query))}" for one, of in zip(found, asked, strict=True)]
    found = [replace(one, road=road) for one, road in zip(found, roads, strict=True)]
    return _outlined(spaces, asked, found)


def _outlined(spaces: Spaces, asked: Sequence[_Asked], found: Sequence[Found]) -> list[Found]:
    """Show the regions that were sought with their photos."""
    sought = [one.sought for one in asked if one.sought is not None]
    shown = outlined(spaces.index, sought, [[id_ for id_, _, _ in one.hits] for one in found])
    return [replace(one, regions=regions) for one, regions in zip(found, shown, strict=True)]


ANSWERING: dict[Way, Callable[[Spaces, Sequence[_Asked]], list[Found]]] = {
    "vectors": _by_points,
    "words": _by_words,
    "both": _by_both,
    "regions": _by_regions,
}


def _answer(spaces: Spaces, asked: _Asked, found: Found, results: tuple[Result, ...]) -> Answer:
    """Say of a query what was asked and understood, and what was found."""
    query, sought = _understood(spaces, asked.query), asked.sought
    words = None if sought is None else sought.query
    examples = (*query.like, *query.unlike)
    image: Ingredient | Query = query
    if not examples and words is not None:
        image = words
    elif len(examples) == 1 and words is None:
        image = examples[0].what
    answer = Answer(
        image,
        asked.selves.label,
        results,
        "" if sought is None else sought.note,
        words,
        found.road,
        found.metric,
        found.min_score,
        None if query.rerank is None else str(query.rerank),
        found.among,
    )
    if isinstance(image, ClassQuery):
        return judged(answer, spaces.classes)
    if isinstance(image, TextQuery) and image.tags:
        return replace(answer, note=f"tags: {', '.join(image.tags)}")
    return answer


def _understood(spaces: Spaces, query: Query) -> Query:
    """Say in the texts of a query which tags were found in them."""
    if not any(isinstance(one.what, TextQuery) for one in (*query.like, *query.unlike)):
        return query
    like, unlike = (
        tuple(
            replace(one, what=understood(one.what, spaces.tags))
            if isinstance(one.what, TextQuery) and spaces.of_texts == "tags"
            else one
            for one in examples
        )
        for examples in (query.like, query.unlike)
    )
    return replace(query, like=like, unlike=unlike)

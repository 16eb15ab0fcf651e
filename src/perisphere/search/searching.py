"""Search by photo, several photos, class or text: find the queries' points and their neighbours."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.index.filters import Expression, parse
from perisphere.index.ranking import NONE
from perisphere.search.among import Asked, Search, centroid_results, chosen, identities_of, searches
from perisphere.search.class_query import check_named_queries, judged, known_classes
from perisphere.search.ingredients import ClassQuery, Ingredient, Photos, TextQuery, photos_of, picture_of
from perisphere.search.points import query_points
from perisphere.search.query import Query
from perisphere.search.rerank.chain import Chain, parse_chain
from perisphere.search.rerank.context import Context
from perisphere.search.rerank.galleries import file_of
from perisphere.search.rerank.geometric import GeometricVerification
from perisphere.search.rerank.label import LabelReranking
from perisphere.search.rerank.scores import pair_scores
from perisphere.search.rerank.soft_label import SoftLabelReranking
from perisphere.search.results import Answer, Result, Results
from perisphere.search.selves import own_rows
from perisphere.search.text_query import known_tags, understood
from perisphere.sphere.geometry import Metric

if TYPE_CHECKING:
    from perisphere.encoder import Encoder
    from perisphere.index.calibration import Calibration
    from perisphere.tags import Tags
    from perisphere.tags.concepts.concept_words import ConceptWords
    from perisphere.taxonomy import ClassPoints

Found = tuple[int, float, float | None]
"""A result: id, score, and the score of the re-ranking where there is one."""


def search_images(
    index: Index,
    images: Sequence[Ingredient],
    k: int = 5,
    *,
    encoder: "Encoder | None" = None,
    classes: "ClassPoints | None" = None,
    tags: "Tags | None" = None,
    among: str | None = None,
    identities: int | None = None,
    labels: Sequence[str | None] | None = None,
    exclude_self: bool = False,
    metric: str | None = None,
    where: Expression | str | None = None,
    min_score: float | None = None,
    min_precision: float | None = None,
    exact: bool = False,
    shortlist: int | None = None,
    symmetric: bool = False,
    rerank: Chain | str | None = None,
) -> Results:
    """Find the ``k`` nearest images of each query.

    Args:
        index: where to search.
        images: files, open pictures, uint8 RGB arrays ``[h, w, 3]``, several of these as one query
            (:class:`Photos`: their centroid is searched for), parts of photos (:class:`Part`, cut out and
            embedded), classes, or texts; at least one query, each with its own results. Those of a class are
            marked right where their label is the class or lies below it.
        k: how many results a query, at most.
        encoder: the encoder to use where the index holds none; it has to be the one that made the index.
        classes: points of classes in the space of the index; by default those of its encoder.
        tags: tags in the space of the index, for texts; by default those of its encoder.
        among: ``"photos"``, ``"centroids"`` (one result a label), or ``"centroids-then-photos"``: the photos
            of the ``identities`` nearest centroids. By default photos, where the index keeps them.
        identities: how many centroids choose the photos; 10 by default.
        labels: the labels of the queries; else a query that is in the index has its label there.
        exclude_self: leave a query's own files out of its results, and out of the centroids that it finds.
        metric: ``"cosine"``, ``"l2"`` or ``"l1"``; the index's own by default.
        where: a filter on the catalog's columns; centroids are those of the photos that pass.
        min_score: leave out results that score lower.
        min_precision: leave out results below the score from which this share is right, by the calibration.
        exact: search exactly even where the index was made with a recall or with codes.
        shortlist: of an index with codes, how many of the best are ranked by their vectors; 0 ranks by codes.
        symmetric: search an index with codes by the codes of the queries too.
        rerank: re-rankers, e.g. ``"aqe(n=10,alpha=3)+kreciprocal"``. The scores, precisions and cut-offs stay
            those of the search itself; the score of the re-ranking stands beside them.

    Raises:
        ImageError: a query cannot be read.
        PerisphereError: no encoder, another encoder, no such class or tag, no calibration or no centroids
            where they are needed.
        UsageError: no query, an unknown metric, a filter that cannot be read, a precision or a geometric
            verification of what is no pair of photos, identities where centroids choose no photos, or codes
            where vectors are needed.
    """
    if not images:
        raise UsageError("there is no query. Name at least one image or class.")
    if labels is not None and len(labels) != len(images):
        raise UsageError(f"{len(labels)} labels for {len(images)} queries. Give one a query.")
    among = chosen(index, among)
    nearest = identities_of(among, identities)
    chain = parse_chain(rerank) if isinstance(rerank, str) else rerank
    _check(images, among, labels, min_precision, chain)
    if shortlist is not None or symmetric:
        _check_codes(among, shortlist == 0 or symmetric, min_precision, chain)
    calibration = _calibration(index, metric or index.metric)
    min_score = _cut_off(min_score, min_precision, calibration)
    points = known_classes(index, encoder, classes) if _any(images, ClassQuery) else None
    words = known_tags(index, encoder, tags) if _any(images, TextQuery) else None
    selves = [own_rows(index, photos_of(image)) for image in images]
    asked = Asked(
        index,
        query_points(index, encoder, images, points, words),
        [own for own, _ in selves] if exclude_self else (),
        [picture_of(image) for image in images],
        cast(Metric, metric or index.metric),
        parse(where) if isinstance(where, str) else where,
        exact,
        shortlist,
        symmetric,
    )
    found: list[tuple[Result, ...]] = [() for _ in images]
    road = "exact"
    for search in searches(asked, among, nearest):
        lists, road = _lists(search, k, min_score, chain)
        for query, rows in zip(search.queries, lists, strict=True):
            pairs = among != "centroids" and asked.photos[query] is not None
            found[query] = _described(asked, search, query, rows, calibration if pairs else None)
    answers = []
    for query, (image, (_, known)) in enumerate(zip(images, selves, strict=True)):
        label = known if labels is None or labels[query] is None else labels[query]
        answers.append(_explained(Answer(image, label, found[query]), points, words))
    road = road if among != "centroids-then-photos" else f"exact for centroids, then {road}"
    return Results(
        tuple(answers), road, asked.metric, min_score, None if chain is None else str(chain), among
    )


def _check(
    queries: Sequence[Ingredient],
    among: str,
    labels: Sequence[str | None] | None,
    min_precision: float | None,
    chain: Chain | None,
) -> None:
    """Refuse what means nothing for classes, several photos or centroids.

    Raises:
        UsageError: a precision or a geometric verification of what is no pair of photos, a vote of centroids,
            or a class or a text with a label.
    """
    check_named_queries(labels, min_precision, queries)
    other = "centroids" if among == "centroids" else None
    if other is None and any(isinstance(query, Photos) for query in queries):
        other = "several photos together"
    if other and min_precision is not None:
        raise UsageError(f"a precision is known of pairs of photos, not of {other}. Cut by a score.")
    steps = () if chain is None or other is None else chain.steps
    if any(isinstance(step, GeometricVerification) for step in steps):
        raise UsageError(
            f"geometric verification compares a photo with a photo, not {other}. Leave `geometric` out, or "
            "search among photos with each photo by itself."
        )
    if among == "centroids" and any(isinstance(step, LabelReranking | SoftLabelReranking) for step in steps):
        raise UsageError(
            "`label` and `softlabel` let labels vote, and each centroid has its own. Leave them out, or "
            "search among centroids-then-photos."
        )


def _any(queries: Sequence[Ingredient], kind: type) -> bool:
    return any(isinstance(query, kind) for query in queries)


def _explained(answer: Answer, classes: "ClassPoints | None", tags: "Tags | None") -> Answer:
    """Say of the answer to a class what is right, and of the answer to a text which tags were found in it."""
    if isinstance(answer.image, ClassQuery) and classes is not None:
        return judged(answer, classes)
    if isinstance(answer.image, TextQuery) and tags is not None:
        return understood(answer, tags)
    return answer


def _lists(
    search: Search, k: int, min_score: float | None, chain: Chain | None
) -> tuple[list[list[Found]], str]:
    """Return what each query finds, best first, and the road."""
    if search.centroids is not None:
        k = min(k, len(search.centroids))
    if chain is None:
        return _plain(search.context, k, min_score)
    return _reranked(search.context, k, min_score, chain)


def _check_codes(among: str, alone: bool, min_precision: float | None, chain: Chain | None) -> None:
    """Refuse what means nothing where codes are searched, or codes ``alone``.

    Raises:
        UsageError: centroids, or a precision or re-ranking of scores by codes alone.
    """
    if among == "centroids":
        raise UsageError("centroids have no codes. Leave --shortlist and --symmetric out.")
    if alone and min_precision is not None:
        raise UsageError("a precision is known of scores by vectors, not by codes alone. Cut by a score.")
    if alone and chain is not None:
        raise UsageError(
            "re-ranking goes by the scores that vectors give, not codes alone. Leave --symmetric and "
            "--shortlist 0 out."
        )


def _plain(context: Context, k: int, min_score: float | None) -> tuple[list[list[Found]], str]:
    """Return what each query finds, and the road."""
    ranking = context.search(context.queries, k)
    ranking = ranking if min_score is None else ranking.at_least(min_score)
    lists: list[list[Found]] = [
        [(id_, score, None) for id_, score in ranking.results(query)] for query in range(len(ranking))
    ]
    return lists, ranking.road


def _reranked(
    context: Context, k: int, min_score: float | None, chain: Chain
) -> tuple[list[list[Found]], str]:
    """Return what each query finds in the order of the re-ranking, and the road."""
    found = context.search(context.queries, max(k, chain.width))
    ranking = chain(found, context)
    scores = pair_scores(context.queries, ranking.ids, context.gallery)
    lists = []
    for query in range(len(ranking)):
        there = ranking.ids[query] != NONE
        results = zip(ranking.results(query), scores[query][there].tolist(), strict=True)
        rows: list[Found] = [(id_, score, reranked) for (id_, reranked), score in results]
        lists.append([row for row in rows if min_score is None or row[1] >= min_score][:k])
    return lists, ranking.road


def _calibration(index: Index, metric: str) -> "Calibration | None":
    calibration = index.calibration
    return calibration if calibration is not None and calibration.metric == metric else None


def _cut_off(
    min_score: float | None, min_precision: float | None, calibration: "Calibration | None"
) -> float | None:
    if min_score is not None and math.isnan(min_score):
        raise UsageError("the least score is nan: give a number, or leave it out.")
    if min_precision is None:
        return min_score
    if calibration is None:
        raise PerisphereError(
            "the index is not calibrated for this metric, so no precision is known. "
            "Run `perisphere index calibrate`, or pass --min-score."
        )
    threshold = calibration.threshold(min_precision)
    return threshold if min_score is None else max(min_score, threshold)


def _described(
    asked: Asked, search: Search, query: int, found: Sequence[Found], calibration: "Calibration | None"
) -> tuple[Result, ...]:
    """Describe what was found, without rows that were removed meanwhile."""
    if search.centroids is not None:
        return tuple(centroid_results(asked, search.centroids, query, found))
    index = asked.index
    known = {id_: (score, reranked) for id_, score, reranked in found}
    rows = index.rows(list(known), missing_ok=True)
    scores, again = zip(*(known[id_] for id_ in rows["id"]), strict=True) if len(rows) else ((), ())
    precisions = [None] * len(scores) if calibration is None else calibration.precision(scores).tolist()
    described = zip(rows.iter_rows(named=True), scores, precisions, again, strict=True)
    return tuple(
        Result(rank, row["id"], score, precision, row["label"], row["path"], file_of(row), rerank=reranked)
        for rank, (row, score, precision, reranked) in enumerate(described, start=1)
    )


def search(
    index: Index,
    queries: Sequence[Query],
    *,
    encoder: "Encoder | None" = None,
    classes: "ClassPoints | None" = None,
    tags: "Tags | None" = None,
    vocabulary: "ConceptWords | None" = None,
) -> Results:
    """Answer queries, each by its own options.

    Args:
        index: where to search.
        queries: at least one; those of equal options are answered together.
        encoder: the encoder to use where the index holds none; it has to be the one that made the index.
        classes: points of classes in the space of the index; by default those of its encoder.
        tags: tags in the space of the index, for texts; by default those of its encoder.
        vocabulary: words of concepts, for searches by words; by default those that are built in.
    """
    found = [_one(index, query, encoder, classes, tags, vocabulary) for query in queries]
    return replace(found[0], answers=tuple(answer for results in found for answer in results.answers))


def _one(
    index: Index,
    query: Query,
    encoder: "Encoder | None",
    classes: "ClassPoints | None",
    tags: "Tags | None",
    vocabulary: "ConceptWords | None",
) -> Results:
    from perisphere.search.word_query import search_words

    if not query.like:
        words = [query.words or ""]
        return search_words(
            index, words, query.k, vocabulary=vocabulary, where=query.where, min_score=query.min_score
        )
    names = (
        "among identities exclude_self metric where min_score min_precision exact shortlist symmetric rerank"
    )
    options: dict[str, Any] = {name: getattr(query, name) for name in names.split()}
    image = query.like[0].what
    return search_images(
        index, [image], query.k, encoder=encoder, classes=classes, tags=tags, labels=[query.label], **options
    )

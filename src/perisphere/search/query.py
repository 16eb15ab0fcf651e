"""Search by image or by class: find the queries' points on the sphere, and tell their neighbours."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perisphere.catalog.images import ImageError
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.index.filters import Expression, In
from perisphere.index.ranking import NONE
from perisphere.search.class_query import check_class_queries, class_vectors, judged, known_classes
from perisphere.search.rerank.chain import Chain, parse_chain
from perisphere.search.rerank.context import Context
from perisphere.search.rerank.galleries import IndexGallery, file_of
from perisphere.search.rerank.scores import pair_scores
from perisphere.search.results import Answer, ClassQuery, Query, Result, Results, Source

if TYPE_CHECKING:
    from perisphere.encoder import Encoder
    from perisphere.index.calibration import Calibration
    from perisphere.taxonomy import ClassPoints

Found = tuple[int, float, float | None]
"""A result: id, score, and the score of the re-ranking where there is one."""


def search_images(
    index: Index,
    images: Sequence[Query],
    k: int = 5,
    *,
    encoder: "Encoder | None" = None,
    classes: "ClassPoints | None" = None,
    labels: Sequence[str | None] | None = None,
    exclude_self: bool = False,
    metric: str | None = None,
    where: Expression | str | None = None,
    min_score: float | None = None,
    min_precision: float | None = None,
    exact: bool = False,
    rerank: Chain | str | None = None,
) -> Results:
    """Find the ``k`` nearest images of each query.

    Args:
        index: where to search.
        images: files, open pictures, uint8 RGB arrays ``[h, w, 3]`` or classes; at least one. Results of a
            class are marked right where their label is the class or lies below it.
        k: how many results a query, at most.
        encoder: the encoder to use where the index holds none; it has to be the one that made the index.
        classes: points of classes in the space of the index; by default those of its encoder.
        labels: the labels of the queries; else a query that is in the index has its label there.
        exclude_self: leave a query's own file out of its results.
        metric: ``"cosine"``, ``"l2"`` or ``"l1"``; the index's own by default.
        where: a filter on the catalog's columns.
        min_score: leave out results that score lower.
        min_precision: leave out results below the score from which this share is right, by the calibration.
        exact: search exactly even where the index was made with a recall.
        rerank: re-rankers, e.g. ``"aqe(n=10,alpha=3)+kreciprocal"``. The scores, precisions and cut-offs stay
            those of the search itself; the score of the re-ranking stands beside them.

    Raises:
        ImageError: a query cannot be read.
        PerisphereError: no encoder, another encoder, no such class, no calibration where one is needed.
        UsageError: no query, an unknown metric, a filter that cannot be read.
    """
    if not images:
        raise UsageError("there is no query. Name at least one image or class.")
    if labels is not None and len(labels) != len(images):
        raise UsageError(f"{len(labels)} labels for {len(images)} queries. Give one a query.")
    check_class_queries(labels, min_precision, images)
    calibration = _calibration(index, metric or index.metric)
    min_score = _cut_off(min_score, min_precision, calibration)
    asked = [image for image in images if isinstance(image, ClassQuery)]
    points = known_classes(index, encoder, classes) if asked else None
    vectors = _vectors(index, encoder, images, points)
    selves = [same_file(index, image) for image in images]
    context = Context(
        IndexGallery(index, metric=metric, where=where, exact=exact),
        vectors,
        [own for own, _ in selves] if exclude_self else (),
        [None if isinstance(image, ClassQuery) else image for image in images],
    )
    chain = parse_chain(rerank) if isinstance(rerank, str) else rerank
    lists, road = _plain(context, k, min_score) if chain is None else _reranked(context, k, min_score, chain)
    answers = []
    for query, (image, (_, known)) in enumerate(zip(images, selves, strict=True)):
        label = known if labels is None or labels[query] is None else labels[query]
        of_class = isinstance(image, ClassQuery)
        answer = Answer(image, label, _results(index, lists[query], None if of_class else calibration))
        answers.append(judged(answer, points) if of_class and points is not None else answer)
    words = None if chain is None else str(chain)
    return Results(tuple(answers), road, context.gallery.metric, min_score, words)


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


def the_encoder(index: Index, given: "Encoder | None" = None) -> "Encoder":
    """Return the encoder that made the index: the one in its folder, or ``given`` where it is the same.

    Raises:
        PerisphereError: there is none, or ``given`` maps into another space.
    """
    if given is None:
        kept = index.encoder()
        if kept is None:
            raise PerisphereError(
                f"{index.folder}: holds no encoder, so no image can be searched for. Pass --encoder FOLDER."
            )
        return kept
    known: dict[str, Any] = index.info()["encoder"] or {}
    if known.get("identity") not in (None, given.identity):
        raise PerisphereError(
            f"the encoder {given.name!r} ({given.identity}) did not make {index.folder}; "
            f"{known['identity']} did. Pass that one, or leave --encoder out where the index keeps its own."
        )
    if given.dim != index.dim:
        raise PerisphereError(
            f"the encoder {given.name!r} makes {given.dim} numbers an image, and {index.folder} "
            f"holds {index.dim}. Pass the encoder that made the index."
        )
    return given


def same_file(index: Index, image: Query) -> tuple[frozenset[int], str | None]:
    """Return the ids of the index's rows of this very file, and their label where they have one."""
    if not isinstance(image, Path | str):
        return frozenset(), None
    file = Path(image).resolve()
    parts = file.parts
    tails = ["/".join(parts[start:]) for start in range(1, len(parts))]
    tails = [tail for tail in [*tails, file.as_posix()] if _is_text(tail)]
    if not tails:
        return frozenset(), None
    rows = index.rows(index.ids(In("path", tuple(tails))), missing_ok=True)
    own = [row for row in rows.iter_rows(named=True) if _lies_at(row, file)]
    label = next((row["label"] for row in own if row["label"] is not None), None)
    return frozenset(row["id"] for row in own), label


def _lies_at(row: dict[str, Any], file: Path) -> bool:
    kept = file_of(row)
    return kept is not None and kept.resolve() == file


def _is_text(path: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in path)


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


def _vectors(
    index: Index, encoder: "Encoder | None", queries: Sequence[Query], classes: "ClassPoints | None"
) -> np.ndarray:
    """Return the points of photos and classes, float32 ``[q, d]``, in the order of the queries."""
    vectors = np.empty((len(queries), index.dim), np.float32)
    asked = [isinstance(query, ClassQuery) for query in queries]
    photos = [query for query in queries if not isinstance(query, ClassQuery)]
    if photos:
        vectors[~np.array(asked)] = _encode(the_encoder(index, encoder), photos)
    if classes is not None:
        vectors[asked] = class_vectors([query for query in queries if isinstance(query, ClassQuery)], classes)
    return vectors


def _encode(encoder: "Encoder", images: Sequence[Source]) -> np.ndarray:
    try:
        return encoder.encode(images)
    except ImageError as error:
        raise ImageError(
            str(error).removesuffix(f": {error.reason}."),
            f"{error.reason}, so it cannot be a query; check the name, or leave it out",
        ) from error


def _results(index: Index, found: Sequence[Found], calibration: "Calibration | None") -> tuple[Result, ...]:
    """Describe what was found, without rows that were removed meanwhile."""
    known = {id_: (score, reranked) for id_, score, reranked in found}
    rows = index.rows(list(known), missing_ok=True)
    scores, again = zip(*(known[id_] for id_ in rows["id"]), strict=True) if len(rows) else ((), ())
    precisions = [None] * len(scores) if calibration is None else calibration.precision(scores).tolist()
    described = zip(rows.iter_rows(named=True), scores, precisions, again, strict=True)
    return tuple(
        Result(rank, row["id"], score, precision, row["label"], row["path"], file_of(row), rerank=reranked)
        for rank, (row, score, precision, reranked) in enumerate(described, start=1)
    )

"""The hashing protocol: how well float vectors and their codes find photos that share a concept.

Three rankings of one gallery stand side by side: ``float`` (query and gallery as vectors), ``asymmetric``
(the query as a vector, the gallery as codes; AQD) and ``symmetric`` (both as codes; SQD), each with the bytes
that an image of the gallery takes and the queries that are ranked in a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.codes.code_folder import CodeFolder
from perisphere.codes.codebooks import Codebooks
from perisphere.encoder.companions import CODEBOOKS
from perisphere.encoder.named import codebooks_at
from perisphere.errors import PerisphereError
from perisphere.evaluation.concepts import concepts_of
from perisphere.evaluation.features import PointFeatures
from perisphere.evaluation.points import Points, encoder_folder
from perisphere.evaluation.protocols import Splits, described
from perisphere.evaluation.report import Report
from perisphere.metrics.concepts import Bits, as_bits, vocabulary
from perisphere.metrics.hashing import Ties, check_ties
from perisphere.metrics.hashing_figures import HashingFigures, hashing_figures, queries_per_second
from perisphere.metrics.scoring import CodeScores, FloatScores, Scores
from perisphere.progress import bar

DEPTHS = (5000,)
KINDS = ("float", "asymmetric", "symmetric")

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Judges:
    """Queries and gallery, and which photos of the two share a concept.

    Attributes:
        asked: the queries.
        shown: the gallery.
        queries: their concepts as bits, ``[q, words]``.
        gallery: likewise, ``[n, words]``.
        names: of the concepts, in the order of the bits.
        itself: the gallery row that is a query's own photo, -1 for none; ``None`` where no query has one.
    """

    asked: Points
    shown: Points
    queries: Bits
    gallery: Bits
    names: list[str]
    itself: NDArray[np.int64] | None


def judge_hashing(
    points: Points,
    others: Points | None = None,
    *,
    query: Splits = None,
    gallery: Splits = None,
    codebooks: Codebooks | None = None,
    codes: Codes | CodeFolder | None = None,
    depths: Sequence[int] = DEPTHS,
    ties: Ties = "database",
    block: int | None = None,
    seed: int = 0,
) -> Report:
    """Judge float vectors, and codes where there are codebooks, by MAP@R, precision@R and recall@R.

    Args:
        points: the queries, and the gallery where there are no ``others``.
        others: the gallery.
        query: splits that ask; ``None`` takes ``query`` where both sides are ``points``, else all rows.
        gallery: splits that are searched; ``None`` takes ``gallery``, or all rows of ``others``.
        codebooks: that encode both sides; ``None`` judges floats alone. Where they are not made for unit
            rows, all three rankings are of features of the lengths that the network gave, as published.
        codes: of the gallery where it is encoded already, uint8 ``[n, M]``, or a folder of codes, which
            brings its own codebooks.
        depths: R.
        ties: how photos of equal score stand (see :mod:`perisphere.metrics.hashing`).
        block: queries at a time.
        seed: of the code assignment.

    Raises:
        PerisphereError: nothing to judge by, an empty side, or codebooks of another space.
        UsageError: an option outside its values.
    """
    check_ties(ties)
    if others is None:
        query, gallery = query or ("query",), gallery or ("gallery",)
    sides = judges(points, others, query, gallery)
    if isinstance(codes, CodeFolder):
        codebooks, codes = codes.codebooks, codes_of(sides.shown, codes)
    unit = codebooks is None or codebooks.unit
    asked, shown = (PointFeatures.of(side, unit) for side in (sides.asked, sides.shown))
    rankings = _rankings(asked, shown, codebooks, codes, seed)
    judge = partial(hashing_figures, depths=depths, ties=ties, itself=sides.itself, block=block)
    figures = {name: judge(scores, sides.queries, sides.gallery) for name, scores in rankings.items()}
    speeds = {name: queries_per_second(scores, max(depths)) for name, scores in rankings.items()}
    space = {name: _bytes(name, sides.shown, codebooks) for name in rankings}
    first = next(iter(figures.values()))
    return Report(
        protocol="hashing",
        values=_values(figures, space, speeds),
        counts={
            "queries": len(sides.asked),
            "queries_without_relevant": int((first.relevant == 0).sum()),
            "gallery": len(sides.shown),
            "gallery_without_concepts": int((sides.gallery == 0).all(axis=1).sum()),
            "concepts": len(sides.names),
            "relevant_pairs": int(first.relevant.sum()),
            "dimensions": int(sides.asked.vectors.shape[1]),
        },
        conventions=conventions(ties, unit, first.depths[-1]),
        options={"R": list(first.depths), "ties": ties, "unit": unit},
        data=_described(points, others, query, gallery) | {"codebooks": _told(codebooks)},
        encoder=points.encoder,
        seeds=points.seeds if codebooks is None or codes is not None else points.seeds | {"codes": seed},
        curves=_curves(figures),
    )


def judges(points: Points, others: Points | None, query: Splits, gallery: Splits) -> Judges:
    """Return both sides of a protocol with their concepts.

    Raises:
        PerisphereError: a side is empty or has neither concepts nor labels, or two encoders made them.
    """
    asked, shown = points.of_split(query), (others or points).of_split(gallery)
    for side, option in ((asked, "--query"), (shown, "--gallery")):
        if not len(side):
            raise PerisphereError(f"{side.source}: holds no row; name other splits with {option}.")
    _check_same_space(asked, shown)
    lists = [concepts_of(side) for side in (asked, shown)]
    names = vocabulary(*lists)
    queries, bits = (as_bits(side, names) for side in lists)
    return Judges(asked, shown, queries, bits, names, None if others is not None else _itself(asked, shown))


def _check_same_space(asked: Points, shown: Points) -> None:
    """Refuse vectors of two encoders."""
    mine, theirs = (side.encoder.get("identity") for side in (asked, shown))
    if asked.vectors.shape[1] != shown.vectors.shape[1] or (mine and theirs and mine != theirs):
        raise PerisphereError(
            f"{asked.source} and {shown.source}: different encoders made these vectors; embed both with one."
        )


def _itself(asked: Points, shown: Points) -> NDArray[np.int64] | None:
    """Return where each query stands in the gallery; ``None`` where none does."""
    place = {number: row for row, number in enumerate(shown.ids)}
    own = np.array([place.get(number, -1) for number in asked.ids], np.int64)
    return own if (own >= 0).any() else None


def _rankings(
    asked: PointFeatures, shown: PointFeatures, codebooks: Codebooks | None, codes: Codes | None, seed: int
) -> dict[str, Scores]:
    """Return what scores the gallery, by the name of the ranking."""
    queries = asked.rows()
    found: dict[str, Scores] = {"float": FloatScores(queries, shown.vectors, shown.factors)}
    if codebooks is None:
        return found
    if codes is None:
        codes = encode(shown, codebooks, seed)
    decoded = codebooks.decode(encode(asked, codebooks, seed))
    return found | {
        "asymmetric": CodeScores(queries, codebooks.tables, codes),
        "symmetric": CodeScores(decoded, codebooks.tables, codes),
    }


def codes_of(shown: Points, folder: CodeFolder) -> Codes:
    """Return the code of each photo, whatever other photos the folder holds and in whatever order.

    Raises:
        PerisphereError: another encoder's vectors were encoded, or a photo has no code.
    """
    mine, theirs = (each.encoder.get("identity") for each in (shown, folder))
    if mine and theirs and mine != theirs:
        raise PerisphereError(
            f"{shown.source}: the codes are of another encoder's vectors; encode these with "
            "`perisphere codes encode`."
        )
    place = {number: row for row, number in enumerate(folder.rows["id"].to_list())}
    rows = np.array([place.get(number, -1) for number in shown.ids], np.int64)
    if (rows < 0).any():
        raise PerisphereError(
            f"{shown.source}: {(rows < 0).sum():,} of {len(rows):,} photos of the gallery have no code; "
            "encode them with `perisphere codes encode`."
        )
    return np.ascontiguousarray(folder.codes[rows])


def encode(features: PointFeatures, codebooks: Codebooks, seed: int = 0) -> Codes:
    """Return the code of each row, uint8 ``[n, M]``; memory is that of a block of rows."""
    with bar("encoding", len(features), "vectors") as advance:

        def code(part: NDArray) -> Codes:
            found = codebooks.encode(part, seed=seed)
            advance(len(part))
            return found

        return features.map(code)


def _values(
    figures: dict[str, HashingFigures], space: dict[str, float], speeds: dict[str, float]
) -> dict[str, float]:
    """Return the figures by name, those of one ranking after those of another."""
    values: dict[str, float] = {}
    for kind, found in figures.items():
        for depth in found.depths:
            values |= {
                f"{kind} MAP@{depth}": found.mean_average_precision(depth),
                f"{kind} strict MAP@{depth}": found.strict_mean_average_precision(depth),
                f"{kind} precision@{depth}": found.precision_at(depth),
                f"{kind} recall@{depth}": found.recall_at(depth),
                f"{kind} queries counted@{depth}": found.counted(depth),
            }
        values |= {f"{kind} bytes an image": space[kind], f"{kind} queries a second": speeds[kind]}
    return values


def _bytes(kind: str, shown: Points, codebooks: Codebooks | None) -> float:
    """Return what an image of the gallery takes."""
    if kind == "float":
        return float(shown.vectors.shape[1] * shown.vectors.dtype.itemsize)
    return nan if codebooks is None else float(codebooks.bytes)


def _curves(figures: dict[str, HashingFigures]) -> dict[str, list[float]]:
    """Return precision and recall over the first places, for plots and tables."""
    curves: dict[str, list[float]] = {}
    for kind, found in figures.items():
        curves["places"] = found.curve_places.tolist()
        curves[f"{kind} precision at places"] = found.precision_curve.tolist()
        curves[f"{kind} recall at places"] = found.recall_curve.tolist()
    return curves


def _described(points: Points, others: Points | None, query: Splits, gallery: Splits) -> dict[str, Any]:
    """Say where the rows are from."""
    found = described(points, query, gallery)
    return found if others is None else found | {"gallery_source": others.source}


def _told(codebooks: Codebooks | None) -> dict[str, Any] | None:
    """Say which codebooks were used."""
    if codebooks is None:
        return None
    return {
        "kind": codebooks.kind,
        "books": codebooks.books,
        "bits": codebooks.bits,
        "fingerprint": codebooks.fingerprint,
    }


def conventions(ties: str, unit: bool, depth: int) -> dict[str, str]:
    """Say what the figures mean."""
    rows = "unit vectors" if unit else "features of the lengths that the network gave"
    order = {
        "database": "photos of equal score stand in the order of the database, as published",
        "expected": "figures are the mean over all orders of photos of equal score",
    }
    return {
        "relevant": "a photo that shares a concept with the query; the label is the concept of one without",
        "score": f"inner product of {rows}; codes are scored as what they decode to",
        "MAP@R": "average precision divided by the relevant photos within R; queries with none there "
        "are left out, as published",
        "strict MAP@R": "divided by min(R, relevant photos of the gallery); finding none counts 0",
        "precision@R, recall@R": "mean over the queries with a relevant photo in the gallery",
        "queries counted@R": "queries in the mean of MAP@R",
        "ties": order[ties],
        "queries a second": f"scored and ranked to place {depth} of this gallery, in blocks, on all threads",
        "bytes an image": "of the vector or the code in the gallery",
    }


def own_codebooks(points: Points, path: Path | None) -> Codebooks | None:
    """Return the codebooks that ``path`` names, or those of the encoder that made the points.

    Args:
        points: the queries.
        path: a file of codebooks, or the folder of an encoder; ``None`` takes those of the encoder of
            ``points``, where it still lies there unchanged and has some.

    Raises:
        PerisphereError: ``path`` holds no codebooks.
    """
    if path is not None:
        return codebooks_at(path)
    folder = encoder_folder(points)
    return codebooks_at(folder) if folder is not None and (folder / CODEBOOKS).is_file() else None

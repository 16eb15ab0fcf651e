"""Search by text: do the photos nearest to a text's point show what it asks for, and how does BM25 do?

A text becomes a point among the encoder's own embeddings (the mean direction of its tags' vectors), and
photos are ranked by the cosine with it, whether anybody has tagged them or not. Beside it stands BM25 over
the tags that people typed, twice: ``BM25`` over the words as they were typed, stemmed, and ``BM25 merged``
over the merged tags of the same :class:`~perisphere.tags.Tags`, so that both know the same synonyms and
spellings.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.encoder.named import tags_at
from perisphere.errors import PerisphereError
from perisphere.evaluation.bm25 import PLAIN, BM25Scores
from perisphere.evaluation.concepts import concepts_of
from perisphere.evaluation.features import PointFeatures
from perisphere.evaluation.points import Points, encoder_folder
from perisphere.evaluation.protocols import Splits
from perisphere.evaluation.report import Report
from perisphere.evaluation.text_queries import TextQuery, of_concepts, right_answers
from perisphere.metrics.concepts import matrix_bits, vocabulary
from perisphere.metrics.hashing import Ties
from perisphere.metrics.hashing_figures import HashingFigures, hashing_figures
from perisphere.metrics.scoring import FloatScores, Row, Scores
from perisphere.sphere.geometry import Vectors
from perisphere.tags import Tags
from perisphere.tags.tags import TextPoint

KINDS = ("vectors", "BM25", "BM25 merged")
DEPTHS = (10,)


class TextScores:
    """Cosines of photos with the points of texts; a text without a point finds nothing.

    Args:
        points: of the texts, ``None`` for a text of unknown words.
        gallery: the photos.
        dim: of the points.
    """

    def __init__(self, points: Sequence[TextPoint | None], gallery: PointFeatures, dim: int) -> None:
        nowhere = np.zeros(dim, np.float32)
        vectors = np.stack([nowhere if point is None else point.vector for point in points])
        self._known = [point is not None for point in points]
        self._scores = FloatScores(vectors, gallery.vectors, gallery.factors)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def gallery(self) -> int:
        """Number of photos."""
        return self._scores.gallery

    def block(self, queries: slice) -> Row:
        """Return the scores of a block of texts."""
        row, known = self._scores.block(queries), self._known[queries]

        def of(query: int) -> Vectors:
            return row(query) if known[query] else np.full(self.gallery, -np.inf, np.float32)

        return of


def judge_text(
    points: Points,
    tags: Tags,
    *,
    queries: Sequence[TextQuery] | None = None,
    gallery: Splits = ("gallery",),
    depths: Sequence[int] = DEPTHS,
    ties: Ties = "expected",
    block: int | None = None,
) -> Report:
    """Judge search by text, by vectors and by BM25 over the photos' tags.

    Args:
        points: photos, with the tags that people typed and the concepts that they show.
        tags: of the space of the vectors.
        queries: texts; ``None`` asks for each concept of the gallery by its name.
        gallery: splits that are searched; ``None`` takes all.
        depths: k of precision@k.
        ties: how photos of equal score stand; BM25 gives equal scores to photos of the same words.
        block: queries at a time.

    Raises:
        PerisphereError: no photos, no concepts, tags of another space, or nothing right for any text.
    """
    shown = points.of_split(gallery)
    concepts = concepts_of(shown)
    if tags.dim != shown.vectors.shape[1]:
        raise PerisphereError(
            f"{points.source}: vectors of {shown.vectors.shape[1]} numbers, but tags of {tags.dim}; name the "
            "tags of the encoder that made the vectors (--tags ENCODER)."
        )
    asked = list(queries) if queries is not None else of_concepts(vocabulary(concepts))
    right = right_answers(asked, concepts)
    if not right.any():
        raise PerisphereError(
            f"{points.source}: no photo is right for any text; name other queries or splits."
        )
    found = [_point(tags, query.text) for query in asked]
    rankings: dict[str, Scores] = {
        "vectors": TextScores(found, PointFeatures.of(shown, unit=True), tags.dim),
        "BM25": BM25Scores(map(", ".join, _typed(shown)), [query.text.split() for query in asked]),
        "BM25 merged": _merged(tags, _typed(shown), found),
    }
    bits = matrix_bits(np.eye(len(asked), dtype=np.bool_)), matrix_bits(right)
    judge = partial(hashing_figures, depths=(*depths, len(shown)), ties=ties, block=block)
    figures = {name: judge(scores, *bits) for name, scores in rankings.items()}
    return Report(
        protocol="text",
        values=_values(figures, sorted(set(depths))),
        counts=_counts(shown, asked, right, found),
        conventions=_conventions(ties),
        options={"k": sorted(set(depths)), "ties": ties},
        data={
            "source": points.source,
            "gallery": list(gallery) if gallery is not None else "all rows",
            "tags": {"count": len(tags), "fingerprint": tags.fingerprint},
        },
        encoder=points.encoder,
        seeds=points.seeds,
        classes=_each(asked, figures, min(depths), found),
    )


def _point(tags: Tags, text: str) -> TextPoint | None:
    """Return the point of a text, ``None`` where no word of it is known."""
    try:
        return tags.point(text)
    except PerisphereError:
        return None


def _typed(shown: Points) -> list[list[str]]:
    """Return the tags of each photo as people typed them.

    Raises:
        PerisphereError: no photo has any.
    """
    if "tags" not in shown.rows.columns or not shown.rows["tags"].list.len().sum():
        raise PerisphereError(
            f"{shown.source}: no photo has tags for BM25 to search; read the photos with "
            "`perisphere read tags`."
        )
    return [list(words or ()) for words in shown.rows["tags"].to_list()]


def _merged(tags: Tags, typed: list[list[str]], found: list[TextPoint | None]) -> BM25Scores:
    """Return BM25 over merged tags: each is one word of its own."""
    starts, rows = tags.rows(typed)
    documents = (" ".join(f"t{tag}" for tag in rows[start:end]) for start, end in pairwise(starts))
    asked = [[f"t{tags.row_of[name]}" for name in point.known] if point else [] for point in found]
    return BM25Scores(documents, asked, PLAIN)


def _values(figures: dict[str, HashingFigures], depths: Sequence[int]) -> dict[str, float]:
    """Return the figures by name, those of one ranking after those of another."""
    values: dict[str, float] = {}
    for kind, found in figures.items():
        values |= {f"{kind} precision@{depth}": found.precision_at(depth) for depth in depths}
        values |= {
            f"{kind} MAP": found.strict_mean_average_precision(found.depths[-1]),
            f"{kind} recall": found.recall_at(found.depths[-1]),
        }
    return values


def _counts(
    shown: Points, asked: Sequence[TextQuery], right: NDArray[np.bool_], found: Sequence[TextPoint | None]
) -> dict[str, int]:
    return {
        "texts": len(asked),
        "texts_without_right_photo": int((~right.any(axis=0)).sum()),
        "texts_without_known_tag": sum(point is None for point in found),
        "gallery": len(shown),
        "gallery_without_tags": int((shown.rows["tags"].list.len().fill_null(0) == 0).sum()),
        "right_pairs": int(right.sum()),
        "dimensions": int(shown.vectors.shape[1]),
    }


def _each(
    asked: Sequence[TextQuery],
    figures: dict[str, HashingFigures],
    depth: int,
    found: Sequence[TextPoint | None],
) -> dict[str, dict[str, float]]:
    """Return what became of each text that something is right for."""
    told: dict[str, dict[str, float]] = {}
    relevant = next(iter(figures.values())).relevant
    for row in np.flatnonzero(relevant).tolist():
        point = found[row]
        told[asked[row].text] = {
            "right photos": float(relevant[row]),
            "known tags": float(len(point.known) if point else 0),
        } | {
            f"{kind} precision@{depth}": float(
                each.found[row, np.searchsorted(each.curve_places, depth)] / depth
            )
            for kind, each in figures.items()
        }
    return told


def _conventions(ties: str) -> dict[str, Any]:
    """Say what the figures mean."""
    return {
        "right": "a photo that shows all the concepts of the query; the label is the concept of one without",
        "vectors": "cosine of the photo's vector with the mean direction of the text's tags",
        "BM25": "SQLite FTS5 (k1 1.2, b 0.75) over the tags as they were typed, English words stemmed; a "
        "photo with any word of the text is found",
        "BM25 merged": "the same over the merged tags, which the text is read as, too",
        "precision@k": "share of right photos among the first k, mean over texts with a right photo; places "
        "that a ranking leaves empty are wrong",
        "MAP": "mean over the same texts of the average precision of the whole ranking, divided by all right "
        "photos",
        "recall": "share of the right photos that the ranking holds at all",
        "ties": "the mean over all orders of photos of equal score"
        if ties == "expected"
        else "in the order of the gallery",
    }


def own_tags(points: Points, path: Path | None) -> Tags:
    """Return the tags that ``path`` names, or those of the encoder that made the points.

    Raises:
        PerisphereError: ``path`` holds no tags, or the encoder is not there or has none.
    """
    folder = encoder_folder(points) if path is None else path
    if folder is None:
        raise PerisphereError(
            f"{points.source}: the encoder that made these vectors is not where it was; name its tags "
            "with --tags."
        )
    return tags_at(folder)

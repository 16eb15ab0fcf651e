"""Calibrated scores: how likely a result is to be relevant, given that it scores this high.

A cosine of 0.7 means little by itself: with one encoder nearly all such results are right, with another
hardly any. A :class:`Calibration` is learned from pairs of which it is known whether they belong together. It
answers ``P(relevant | score >= s)``: the precision of a result list that is cut at ``s``.

The chance of relevance *at* each score is made monotone by isotonic regression; the precision *from* each
score upwards is its running mean, so it is monotone too, and has a threshold for every precision it reaches.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from perisphere.errors import PerisphereError, UsageError
from perisphere.index.waiting import patient_bar
from perisphere.sphere.geometry import l1, l2, normalise

if TYPE_CHECKING:
    import PIL.Image

Floats = NDArray[np.float64]
Scored = tuple[NDArray[np.float32], NDArray[np.bool_]]
Encode = Callable[[Sequence["PIL.Image.Image"]], NDArray[np.float32]]

BINS = 8192
KNOTS = 129
QUERIES = 500
COPIES = 200
BATCH = 32
BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class Calibration:
    """Precision as a function of the score: straight lines between knots, level beyond them.

    Attributes:
        scores: the knots, rising.
        precisions: P(relevant | score >= knot), never falling, in [0, 1].
        metric: what the scores are: ``"cosine"``, ``"l2"`` or ``"l1"`` (negated distances).
        source: what counted as relevant: ``"labels"``, ``"copies"`` or a word of the caller's.
        pairs: pairs that were compared.
        relevant: how many of them belonged together.
        splits: the splits of the images that asked, ``""`` for images without one; empty where nobody said.
    """

    scores: tuple[float, ...]
    precisions: tuple[float, ...]
    metric: str
    source: str
    pairs: int
    relevant: int
    splits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        knots, values = np.asarray(self.scores, float), np.asarray(self.precisions, float)
        ordered = knots.ndim == 1 and 0 < len(knots) == len(values)
        ordered = ordered and bool((np.diff(knots) > 0).all() and (np.diff(values) >= 0).all())
        if not (ordered and np.isfinite(knots).all() and (values >= 0).all() and (values <= 1).all()):
            raise PerisphereError(
                "the calibration is damaged: its knots do not rise. Calibrate the index again."
            )

    def precision(self, scores: ArrayLike) -> Floats:
        """Return P(relevant | score >= s) for each score, float64 of one shape; 0 for ``-inf`` and NaN."""
        values = np.asarray(scores, float)
        found = np.interp(values, self.scores, self.precisions)
        return np.where(np.isneginf(values) | np.isnan(values), 0.0, found)

    def threshold(self, precision: float) -> float:
        """Return the lowest score from which the results have this precision.

        Raises:
            UsageError: ``precision`` is not in [0, 1].
            PerisphereError: no score is that sure.
        """
        if not 0 <= precision <= 1:
            raise UsageError(f"precision {precision} is no share. Name one from 0 to 1.")
        knot = int(np.searchsorted(self.precisions, precision))
        if knot == len(self.scores):
            raise PerisphereError(
                f"no score of this index reaches a precision of {precision:g}. "
                f"Ask for {self.precisions[-1]:.3g} or less."
            )
        if knot == 0:
            return self.scores[0]
        (low, high), (before, after) = self.scores[knot - 1 : knot + 1], self.precisions[knot - 1 : knot + 1]
        return float(low + (high - low) * (precision - before) / (after - before))

    def to_json(self) -> str:
        """Return the calibration as one line of JSON."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """Read what :meth:`to_json` wrote.

        Raises:
            PerisphereError: the text is no calibration.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            scores, precisions = (tuple(map(float, values.pop(name))) for name in ("scores", "precisions"))
            splits = tuple(map(str, values.pop("splits", ())))
            return cls(scores, precisions, splits=splits, **values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PerisphereError(
                f"the calibration is damaged ({error}). Calibrate the index again."
            ) from error


def fit(
    scores: ArrayLike, relevant: ArrayLike, *, metric: str = "cosine", source: str = "pairs"
) -> Calibration:
    """Calibrate on pairs.

    Args:
        scores: [n], higher is more alike.
        relevant: bool [n], whether the two of the pair belong together.
        metric: what the scores are.
        source: what counted as relevant.

    Raises:
        PerisphereError: no pair belongs together, or all do, or a score is not finite.

    Example:
        >>> calibration = fit([0.1, 0.2, 0.3, 0.8, 0.9], [False, False, True, True, True])
        >>> calibration.precision([0.9, 0.3, 0.1]).round(2).tolist()
        [1.0, 1.0, 0.6]
    """
    values = np.asarray(scores, float)
    flags = np.asarray(relevant, bool)
    if not np.isfinite(values).all():
        raise PerisphereError("a score of the pairs is not finite. Leave out its vectors.")
    knots, places = np.unique(values, return_inverse=True)
    pairs = np.bincount(places, minlength=len(knots))
    return _fit_counts(knots, pairs, np.bincount(places[flags], minlength=len(knots)), metric, source)


def calibrate_with_labels(
    vectors: NDArray[np.float32],
    labels: Sequence[str | None],
    *,
    metric: str = "cosine",
    queries: int = QUERIES,
    seed: int = 0,
) -> Calibration:
    """Calibrate on the images' own labels: two images belong together where they have the same one.

    A sample of the labelled images is compared with all of them, so that the share of relevant pairs is that
    of a search.

    Args:
        vectors: float32 [n, d].
        labels: n labels; images without one are left out.
        metric: ``"cosine"``, ``"l2"`` or ``"l1"``.
        queries: size of the sample.
        seed: of the sample.

    Raises:
        PerisphereError: the labels make no relevant pair, or no other.
    """
    known = np.array([row for row, label in enumerate(labels) if label is not None], dtype=np.int64)
    _, classes = np.unique([str(labels[row]) for row in known], return_inverse=True)
    gallery = _prepared(np.asarray(vectors[known], np.float32), metric)
    sample = np.sort(np.random.default_rng(seed).permutation(len(known))[:queries])

    starts = range(0, len(sample), max(1, BLOCK_BYTES // (4 * max(1, len(known)))))

    def pairs() -> Iterator[Scored]:
        for start in starts:
            rows = sample[start : start + starts.step]
            others = np.arange(len(known)) != rows[:, None]
            scores = _scores(gallery[rows], gallery, metric)
            yield scores[others], (classes[rows, None] == classes)[others]

    return _fit_blocks(pairs, len(starts), metric, "labels")


def calibrate_with_copies(
    paths: Sequence[Path],
    vectors: NDArray[np.float32],
    encode: Encode,
    *,
    metric: str = "cosine",
    chosen: NDArray[np.bool_] | None = None,
    copies: int = COPIES,
    seed: int = 0,
) -> Calibration:
    """Calibrate without labels: an altered copy of a photo belongs to its original and to no other image.

    The copies are cropped, mirrored, brightened or darkened, softened. The precision found is that of "shows
    the same picture", which is stricter than "shows the same thing".

    Args:
        paths: n files of the indexed images.
        vectors: float32 [n, d], theirs.
        encode: the encoder of the index: upright RGB pictures to float32 [m, d].
        metric: ``"cosine"``, ``"l2"`` or ``"l1"``.
        chosen: bool [n], the photos that may be copied; the copies are compared with all images.
        copies: how many photos are copied.
        seed: of their choice and their alteration.

    Raises:
        ImageError: a photo cannot be read.
        PerisphereError: there are fewer than two images.
    """
    import PIL.Image

    from perisphere.catalog.images import decode

    random = np.random.default_rng(seed)
    rows = np.arange(len(paths)) if chosen is None else np.flatnonzero(chosen)
    sample = np.sort(random.permutation(rows)[:copies])
    if not len(sample):
        raise PerisphereError("the index holds no image to calibrate with. Add images first.")
    gallery = _prepared(np.asarray(vectors, np.float32), metric)
    encoded = []
    with patient_bar("copying", len(sample)) as advance:
        for start in range(0, len(sample), BATCH):
            files = [paths[row] for row in sample[start : start + BATCH]]
            altered = [_altered(PIL.Image.fromarray(decode(file, at_least=256)), random) for file in files]
            encoded.append(np.asarray(encode(altered), np.float32))
            advance(len(files))
    made = _prepared(np.concatenate(encoded), metric)
    starts = range(0, len(sample), max(1, BLOCK_BYTES // (4 * len(gallery))))

    def pairs() -> Iterator[Scored]:
        for start in starts:
            part = slice(start, start + starts.step)
            rows, scores = sample[part], _scores(made[part], gallery, metric)
            yield scores.ravel(), (np.arange(len(gallery)) == rows[:, None]).ravel()

    return _fit_blocks(pairs, len(starts), metric, "copies")


def isotonic(values: ArrayLike, weights: ArrayLike) -> Floats:
    """Return the non-decreasing sequence nearest to ``values`` in weighted least squares.

    Pool adjacent violators: Ayer et al., "An empirical distribution function for sampling with incomplete
    information", 1955.

    Args:
        values: [n].
        weights: positive [n].
    """
    means: list[float] = []
    masses: list[float] = []
    lengths: list[int] = []
    for value, weight in zip(
        np.asarray(values, float).tolist(), np.asarray(weights, float).tolist(), strict=True
    ):
        mean, mass, length = value, weight, 1
        while means and means[-1] >= mean:
            before = masses.pop()
            mean = (means.pop() * before + mean * mass) / (before + mass)
            mass, length = before + mass, length + lengths.pop()
        means.append(mean)
        masses.append(mass)
        lengths.append(length)
    return np.repeat(means, lengths)


def _fit_blocks(pairs: Callable[[], Iterator[Scored]], blocks: int, metric: str, source: str) -> Calibration:
    """Count the pairs in narrow bins of score, in two passes over blocks: memory does not grow with them."""
    with patient_bar("calibrating", 2 * blocks, "blocks") as advance:

        def counted() -> Iterator[Scored]:
            for block in pairs():
                yield block
                advance()

        return _fit_two_passes(counted, metric, source)


def _fit_two_passes(pairs: Callable[[], Iterator[Scored]], metric: str, source: str) -> Calibration:
    ranges = [(float(scores.min()), float(scores.max())) for scores, _ in pairs() if scores.size]
    if not ranges:
        raise PerisphereError("there are no pairs to calibrate with. Add at least two labelled images.")
    low, high = min(start for start, _ in ranges), max(end for _, end in ranges)
    if not np.isfinite([low, high]).all():
        raise PerisphereError("a score of the pairs is not finite. Leave out its vectors.")
    width = max((high - low) / BINS, float(np.finfo(np.float32).eps))
    total, relevant = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    for scores, flags in pairs():
        places = np.clip(((scores.astype(float) - low) / width).astype(np.int64), 0, BINS - 1)
        total += np.bincount(places, minlength=BINS)
        relevant += np.bincount(places[flags], minlength=BINS)
    used = np.nonzero(total)[0]
    return _fit_counts(low + used.astype(float) * width, total[used], relevant[used], metric, source)


def _fit_counts(
    knots: Floats, pairs: NDArray[np.int64], relevant: NDArray[np.int64], metric: str, source: str
) -> Calibration:
    if not 0 < relevant.sum() < pairs.sum():
        kind = "no pair belongs" if not relevant.sum() else "all pairs belong"
        raise PerisphereError(
            f"{kind} together, so nothing can be learned. Calibrate with more, labelled, images."
        )
    chance = isotonic(relevant / pairs, pairs)
    above = np.cumsum((chance * pairs)[::-1])[::-1] / np.cumsum(pairs[::-1])[::-1]
    precision = np.maximum.accumulate(np.clip(above, 0, 1))
    kept = _thinned(knots, precision)
    return Calibration(
        tuple(knots[kept].tolist()),
        tuple(precision[kept].tolist()),
        metric,
        source,
        int(pairs.sum()),
        int(relevant.sum()),
    )


def _thinned(knots: Floats, precision: Floats) -> NDArray[np.int64]:
    """Choose knots at even steps of score and at even steps of precision: some hundred tell the curve."""
    by_score = np.searchsorted(knots, np.linspace(knots[0], knots[-1], KNOTS))
    by_precision = np.searchsorted(precision, np.linspace(precision[0], precision[-1], KNOTS))
    return np.unique(np.minimum(np.concatenate([by_score, by_precision]), len(knots) - 1))


def _prepared(vectors: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    return normalise(vectors) if metric == "cosine" and len(vectors) else vectors


def _scores(queries: NDArray[np.float32], gallery: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Score all pairs, float32 [q, n]: the cosine of unit rows, or the negated distance."""
    if metric == "cosine":
        return queries @ gallery.T
    return -(l1 if metric == "l1" else l2)(queries, gallery)


def _altered(picture: "PIL.Image.Image", random: np.random.Generator) -> "PIL.Image.Image":
    """Crop to 80-100 % of each side, mirror half of the time, brighten by up to a fifth, soften a little."""
    import PIL.ImageEnhance
    import PIL.ImageFilter
    import PIL.ImageOps

    width, height = (max(1, round(side * random.uniform(0.8, 1))) for side in picture.size)
    left, top = random.integers(0, picture.width - width + 1), random.integers(0, picture.height - height + 1)
    picture = picture.crop((int(left), int(top), int(left) + width, int(top) + height))
    if random.random() < 0.5:
        picture = PIL.ImageOps.mirror(picture)
    picture = PIL.ImageEnhance.Brightness(picture).enhance(random.uniform(0.8, 1.2))
    return picture.filter(PIL.ImageFilter.GaussianBlur(random.uniform(0, 1)))

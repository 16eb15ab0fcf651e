"""Retrieval metrics, one value a query, from the ranks of its relevant images alone.

Every function takes :class:`~perisphere.metrics.ranks.Ranks` of ``q`` queries and returns float64
``[q]``, NaN for a query without a relevant image, unless it says otherwise; :func:`mean` says what becomes of
those. Scores never enter, so adding a constant to all scores, or their sign, changes nothing.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError
from perisphere.metrics.ranks import MISSING, Ranks

PerQuery = NDArray[np.float64]
Rule = Literal["sum", "trapezoid"]
Denominator = Literal["min", "relevant", "found"]
Without = Literal["skip", "zero", "error"]


def average_precision(
    ranks: Ranks, k: int | None = None, *, rule: Rule = "sum", denominator: Denominator = "min"
) -> PerQuery:
    """Return the average precision of each query.

    Args:
        ranks: of the relevant images.
        k: look at the first ``k`` images only; ``None`` looks at the whole ranking.
        rule: ``"sum"`` is the mean of the precision at each relevant image (TREC, Market-1501 as recomputed
            since); ``"trapezoid"`` is the area below straight lines between them (Oxford and Paris
            buildings, Philbin et al. 2007), a little lower.
        denominator: what divides the sum at ``k``: the most that could be found, ``min(k, relevant)``; all
            ``"relevant"`` images; or those ``"found"`` within ``k``. With ``k=None`` they are the same.

    Example:
        Relevant images at ranks 1 and 4: (1/1 + 2/4) / 2.

        >>> import numpy as np
        >>> ranks = Ranks(np.array([1, 4]), np.array([2]), np.array([10]))
        >>> average_precision(ranks).tolist()
        [0.75]
    """
    _one_of("rule", rule, ("sum", "trapezoid"))
    _one_of("denominator", denominator, ("min", "relevant", "found"))
    precision = ranks.precision
    if rule == "trapezoid":
        before = (ranks.order - 1) / np.maximum(ranks.values - 1, 1)
        before[ranks.values == 1] = 1
        before[ranks.values == MISSING] = 0
        precision = (precision + before) / 2
    if k is None:
        return _share(_sum(ranks, precision), ranks.counts)
    within = _within(ranks, k)
    found = _sum(ranks, within)
    divisors = {"min": np.minimum(ranks.counts, k), "relevant": ranks.counts, "found": np.maximum(found, 1)}
    return _where_relevant(ranks, _share(_sum(ranks, precision * within), divisors[denominator]))


def precision_at(ranks: Ranks, k: int) -> PerQuery:
    """Return the share of relevant images among the first ``k``; ``k`` divides even where fewer count."""
    return _where_relevant(ranks, _sum(ranks, _within(ranks, k)) / k)


def precision_to_last(ranks: Ranks, k: int) -> PerQuery:
    """Return the precision within the first ``k``, or up to the last relevant image if that comes earlier.

    This is P@k of the revisited Oxford and Paris benchmarks (Radenovic et al. 2018): with one relevant image,
    in first place, it is 1 at every ``k``. A query that finds none of its relevant images has 0.
    """
    found = ranks.values != MISSING
    last = np.zeros(len(ranks), np.int64)
    np.maximum.at(last, ranks.query[found], ranks.values[found])
    cut = np.minimum(_checked(k), last)
    hits = _sum(ranks, ranks.values <= np.repeat(cut, ranks.counts))
    return _where_relevant(ranks, hits / np.maximum(cut, 1))


def landmark_average_precision(ranks: Ranks, depth: int = 5) -> PerQuery:
    """Return the average precision of the landmark retrieval system, which is not the usual one.

    It is 0 where the first image is wrong, and so for a query without a relevant image. Otherwise it is the
    mean of precision@i over all places i of the list, relevant or not; the list has ``depth`` places, or as
    many as there are images to rank.

    Example:
        Right images at ranks 1, 3 and 4: (1/1 + 1/2 + 2/3 + 3/4 + 3/5) / 5.

        >>> import numpy as np
        >>> ranks = Ranks(np.array([1, 3, 4]), np.array([3]), np.array([10]))
        >>> landmark_average_precision(ranks).round(5).tolist()
        [0.70333]
    """
    places = np.arange(1, _checked(depth) + 1)
    precision = found_curve(ranks, depth) * ranks.counts[:, None] / places
    shown = places <= ranks.candidates[:, None]
    averages = (precision * shown).sum(axis=1) / np.maximum(shown.sum(axis=1), 1)
    return np.where(first_rank(ranks) > 1, 0, averages)


def recall_at(ranks: Ranks, k: int) -> PerQuery:
    """Return 1 where at least one of the first ``k`` images is relevant, else 0.

    This is recall@k as metric learning and place recognition report it, and rank-k of the cumulative matching
    characteristic (CMC). The share of relevant images that are found is :func:`found_at`.
    """
    return _where_relevant(ranks, (first_rank(ranks) <= _checked(k)).astype(np.float64))


def found_at(ranks: Ranks, k: int) -> PerQuery:
    """Return the share of the relevant images that are among the first ``k`` (recall of text retrieval)."""
    return _share(_sum(ranks, _within(ranks, k)), ranks.counts)


def r_precision(ranks: Ranks) -> PerQuery:
    """Return the precision at R, where R is the number of the query's relevant images."""
    return _share(_sum(ranks, ranks.values <= np.repeat(ranks.counts, ranks.counts)), ranks.counts)


def reciprocal_rank(ranks: Ranks) -> PerQuery:
    """Return one divided by the rank of the first relevant image."""
    return _where_relevant(ranks, 1 / first_rank(ranks))


def first_rank(ranks: Ranks) -> PerQuery:
    """Return the rank of the first relevant image, infinite for a query that has none or finds none."""
    first = np.full(len(ranks), np.inf)
    has = ranks.counts > 0
    first[has] = ranks.values[ranks.starts[has]]
    first[first == MISSING] = np.inf
    return first


def cmc(ranks: Ranks, depth: int) -> NDArray[np.float64]:
    """Return :func:`recall_at` for every k from 1 to ``depth``, ``[q, depth]``."""
    hits = first_rank(ranks)[:, None] <= np.arange(1, _checked(depth) + 1)
    return np.where(ranks.counts[:, None] > 0, hits, np.nan)


def found_curve(ranks: Ranks, depth: int) -> NDArray[np.float64]:
    """Return :func:`found_at` for every k from 1 to ``depth``, ``[q, depth]``."""
    near = _within(ranks, depth)
    cells = ranks.query[near] * depth + ranks.values[near] - 1
    hits = np.bincount(cells, minlength=len(ranks) * depth).reshape(len(ranks), depth)
    counts = np.where(ranks.counts > 0, ranks.counts, np.nan)
    return hits.cumsum(axis=1) / counts[:, None]


def interpolated_precision(ranks: Ranks, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the highest precision at each recall level or beyond, ``[q, len(levels)]``.

    Args:
        ranks: of the relevant images.
        levels: recall, 0 to 1.
    """
    curves = np.full((len(ranks), len(levels)), np.nan)
    has = np.flatnonzero(ranks.counts)
    if not len(has):
        return curves
    # One running maximum from the back serves all queries: a step of 2 between queries keeps them apart.
    steps = 2.0 * (len(ranks) - ranks.query)
    best = np.maximum.accumulate((ranks.precision + steps)[::-1])[::-1] - steps
    wanted = np.ceil(ranks.counts[has, None] * levels - 1e-9).astype(np.int64).clip(1) - 1
    curves[has] = best[ranks.starts[has, None] + wanted]
    return curves


def mean(values: PerQuery, without: Without = "skip") -> float:
    """Return the mean over the queries.

    Args:
        values: one a query, NaN where it has no relevant image.
        without: what such a query does: it is left out (``"skip"``), counts as 0 (``"zero"``), or is an
            error.

    Raises:
        PerisphereError: nothing is left to average, or ``without="error"`` and there is such a query.
    """
    _one_of("without", without, ("skip", "zero", "error"))
    missing = np.isnan(values)
    if without == "error" and missing.any():
        raise PerisphereError(
            f"query {int(np.argmax(missing))} has no relevant image; pass without='skip' to leave it out."
        )
    if without == "zero":
        values = np.where(missing, 0, values)
    elif missing.all():
        raise PerisphereError("no query has a relevant image, so there is nothing to average.")
    return float(np.nanmean(values)) if len(values) else float("nan")


def _sum(ranks: Ranks, values: NDArray) -> PerQuery:
    return np.bincount(ranks.query, weights=values, minlength=len(ranks)).astype(np.float64)


def _share(part: PerQuery, whole: NDArray) -> PerQuery:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=np.asarray(whole) > 0)


def _where_relevant(ranks: Ranks, values: PerQuery) -> PerQuery:
    return np.where(ranks.counts > 0, values, np.nan)


def _within(ranks: Ranks, k: int) -> NDArray[np.bool_]:
    return ranks.values <= _checked(k)


def _checked(k: int) -> int:
    if k < 1:
        raise UsageError(f"k is {k}; it must be at least 1.")
    return k


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{option} {value!r} is unknown; use one of {', '.join(known)}.")

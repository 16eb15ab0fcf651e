import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.errors import PerisphereError, UsageError
from perisphere.metrics import retrieval as metrics
from perisphere.metrics.ranks import Ranks


def ranks_of(*rows):
    return Ranks(
        np.array([rank for row in rows for rank in row], np.int64),
        np.array([len(row) for row in rows], np.int64),
        np.full(len(rows), 50),
    )


def flags(row, length=50):
    return [rank in row for rank in range(1, length + 1)]


def slow_average_precision(row, k, rule, denominator):
    """Walk down the ranking."""
    total, seen = 0.0, 0
    for place, right in enumerate(flags(row), 1):
        if right and (k is None or place <= k):
            seen += 1
            now = seen / place
            before = (seen - 1) / (place - 1) if place > 1 else 1.0
            total += now if rule == "sum" else (now + before) / 2
    all_found = len(row) if k is None else min(k, len(row))
    divisor = {
        "min": all_found,
        "relevant": len(row),
        "found": max(seen, 1),
    }
    return total / divisor[denominator]


rankings = st.lists(
    st.sets(st.integers(1, 50), min_size=1, max_size=20).map(sorted) | st.just([]), min_size=1, max_size=6
)


@given(
    rankings,
    st.none() | st.integers(1, 60),
    st.sampled_from(["sum", "trapezoid"]),
    st.sampled_from(["min", "relevant", "found"]),
)
def test_average_precision(rows, k, rule, denominator):
    found = metrics.average_precision(ranks_of(*rows), k, rule=rule, denominator=denominator)
    expected = [slow_average_precision(row, k, rule, denominator) if row else np.nan for row in rows]
    np.testing.assert_allclose(found, expected)


@given(rankings, st.integers(1, 60))
def test_counts_within_k(rows, k):
    found = ranks_of(*rows)
    expected = [flags(row, k) for row in rows]
    for function, value in [
        (metrics.precision_at, lambda seen, row: sum(seen) / k),
        (metrics.recall_at, lambda seen, row: float(any(seen))),
        (metrics.found_at, lambda seen, row: sum(seen) / len(row)),
    ]:
        wanted = [value(seen, row) if row else np.nan for seen, row in zip(expected, rows, strict=True)]
        np.testing.assert_allclose(function(found, k), wanted)


@given(rankings)
def test_r_precision_and_reciprocal_rank(rows):
    wanted = [sum(flags(row, len(row))) / len(row) if row else np.nan for row in rows]
    np.testing.assert_allclose(metrics.r_precision(ranks_of(*rows)), wanted)
    first = [1 / row[0] if row else np.nan for row in rows]
    np.testing.assert_allclose(metrics.reciprocal_rank(ranks_of(*rows)), first)


@given(rankings, st.integers(1, 60))
def test_curves_over_k_hold_the_values_at_each_k(rows, depth):
    found = ranks_of(*rows)
    matched, share = metrics.cmc(found, depth), metrics.found_curve(found, depth)
    assert matched.shape == share.shape == (len(rows), depth)
    for k in range(1, depth + 1):
        np.testing.assert_allclose(matched[:, k - 1], metrics.recall_at(found, k))
        np.testing.assert_allclose(share[:, k - 1], metrics.found_at(found, k))


@given(rankings)
def test_interpolated_precision(rows):
    levels = np.linspace(0, 1, 11)
    found = metrics.interpolated_precision(ranks_of(*rows), levels)
    for row, curve in zip(rows, found, strict=True):
        points = [(seen / len(row), seen / rank) for seen, rank in enumerate(row, 1)]
        wanted = [
            max((p for r, p in points if r >= level - 1e-9), default=np.nan) if row else np.nan
            for level in levels
        ]
        np.testing.assert_allclose(curve, wanted)
        assert not row or (np.diff(curve) <= 1e-12).all()


def test_known_values():
    """Worked by hand: relevant at 1 and 4."""
    found = ranks_of([1, 4])
    assert metrics.average_precision(found).tolist() == [0.75]
    assert metrics.average_precision(found, rule="trapezoid")[0] == pytest.approx(
        (1 + (1 / 3 + 1 / 2) / 2) / 2
    )
    assert metrics.average_precision(found, 2).tolist() == [0.5]
    assert metrics.average_precision(found, 2, denominator="found").tolist() == [1.0]
    assert metrics.precision_at(found, 5).tolist() == [0.4]


def test_queries_without_a_relevant_image():
    found = metrics.average_precision(ranks_of([1], [], [2]))
    assert metrics.mean(found) == 0.75
    assert metrics.mean(found, "zero") == 0.5
    with pytest.raises(PerisphereError, match="query 1 has no relevant image"):
        metrics.mean(found, "error")
    with pytest.raises(PerisphereError, match="no query has a relevant image"):
        metrics.mean(metrics.average_precision(ranks_of([], [])))


def test_wrong_words_are_named():
    found = ranks_of([1])
    for call, said in [
        (lambda: metrics.precision_at(found, 0), "k is 0"),
        (lambda: metrics.average_precision(found, -1), "k is -1"),
        (lambda: metrics.average_precision(found, rule="area"), "rule 'area'"),
        (lambda: metrics.average_precision(found, denominator="all"), "denominator 'all'"),
        (lambda: metrics.mean(np.ones(2), "drop"), "without 'drop'"),
    ]:
        with pytest.raises(UsageError, match=said):
            call()

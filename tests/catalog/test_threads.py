"""The same work on many items, by threads."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.catalog.threads import in_order
from perisphere.errors import UsageError


@given(count=st.integers(0, 700), workers=st.integers(1, 4))
def test_results_are_in_order(count: int, workers: int) -> None:
    assert list(in_order(lambda item: item * item, range(count), workers=workers)) == [
        item * item for item in range(count)
    ]


def test_an_error_ends_the_work_that_has_not_begun() -> None:
    done, lock = [0], threading.Lock()

    def work(item: int) -> int:
        if item == 10:
            raise ValueError("ten")
        with lock:
            done[0] += 1
        return item

    with pytest.raises(ValueError, match="ten"):
        list(in_order(work, range(100_000), workers=2))
    assert done[0] < 2000


def test_results_wait_in_bounded_number() -> None:
    done = [0]

    def work(item: int) -> int:
        done[0] += 1
        return item

    results = in_order(work, range(100_000), workers=1)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert done[0] < 1000


def test_negative_workers_are_refused() -> None:
    with pytest.raises(UsageError, match="workers: -3"):
        list(in_order(abs, [1], workers=-3))

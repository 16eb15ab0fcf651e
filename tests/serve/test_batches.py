"""Queries that arrive together are answered together, and no error is another's."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.serve.batches import Batches, settled
from perisphere.serve.refused import RefusedError


def doubled(queries: Sequence[int]) -> list[int]:
    """Twice each, unless a negative one is among them."""
    for query in queries:
        if query < 0:
            raise ValueError(f"{query} is negative")
    return [2 * query for query in queries]


@given(st.lists(st.integers(-5, 50), min_size=1, max_size=40))
def test_an_error_is_that_of_its_own_query(queries: list[int]) -> None:
    for query, answer in zip(queries, settled(doubled, queries), strict=True):
        if query < 0:
            assert isinstance(answer, ValueError)
            assert str(answer) == f"{query} is negative"
        else:
            assert answer == 2 * query


def test_one_bad_query_costs_a_few_more_searches_not_one_each() -> None:
    calls: list[int] = []

    def counted(queries: Sequence[int]) -> list[int]:
        calls.append(len(queries))
        return doubled(queries)

    settled(counted, [*range(31), -1])
    assert len(calls) == 11


def test_what_waits_is_answered_together() -> None:
    sizes: list[int] = []
    free = threading.Event()

    def answer(queries: Sequence[int]) -> list[int]:
        free.wait(5)
        return doubled(queries)

    async def all_of_them() -> list[int]:
        batches = Batches(answer, most=8, waiting=100, seen=sizes.append)
        first = batches.ask(0)
        while len(batches):
            await asyncio.sleep(0.001)
        others = [batches.ask(number) for number in range(1, 21)]
        free.set()
        answers = [await first, *[await other for other in others]]
        batches.close()
        return answers

    assert asyncio.run(all_of_them()) == [2 * number for number in range(21)]
    assert sizes == [1, 8, 8, 4]


def test_calls_run_in_the_same_thread() -> None:
    async def both() -> set[str]:
        batches = Batches(lambda queries: [threading.current_thread().name] * len(queries), most=4, waiting=9)
        names = {await batches.ask(1), await batches.run(lambda: threading.current_thread().name)}
        with pytest.raises(ZeroDivisionError):
            await batches.run(lambda: 1 // 0)
        batches.close()
        return names

    assert asyncio.run(both()) == {"perisphere-model-0"}


def test_more_than_may_wait_are_refused() -> None:
    free = threading.Event()

    def slow(queries: Sequence[int]) -> list[int]:
        free.wait(5)
        return doubled(queries)

    async def crowd() -> None:
        batches = Batches(slow, most=1, waiting=2)
        waiting = [batches.ask(0)]
        while len(batches):
            await asyncio.sleep(0.001)
        waiting += [batches.ask(1), batches.ask(2)]
        with pytest.raises(RefusedError) as refused:
            batches.ask(3)
        assert refused.value.status == 503
        free.set()
        assert await asyncio.gather(*waiting) == [0, 2, 4]
        batches.close()

    asyncio.run(crowd())


def test_closing_answers_what_waits() -> None:
    async def closing() -> list[int]:
        batches = Batches(doubled, most=2, waiting=100)
        waiting = [batches.ask(number) for number in range(9)]
        await asyncio.to_thread(batches.close)
        return await asyncio.gather(*waiting)

    assert asyncio.run(closing()) == [2 * number for number in range(9)]


def test_who_went_away_hurts_nobody() -> None:
    async def gone() -> int:
        batches = Batches(lambda queries: (time.sleep(0.01), doubled(queries))[1], most=4, waiting=9)
        leaving = asyncio.ensure_future(batches.ask(1))
        staying = batches.ask(2)
        leaving.cancel()
        answer = await staying
        batches.close()
        return answer

    assert asyncio.run(gone()) == 4

"""Queries that arrive while others are answered wait, and are then answered together."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from queue import Empty, Full, Queue
from threading import Lock, Thread
from typing import Generic, TypeAlias, TypeVar

from perisphere.serve.refused import RefusedError

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")

THREADS = min(4, os.cpu_count() or 1)
"""That answer beside each other, where nobody says."""
Settled: TypeAlias = A | Exception
"""An answer, or why there is none."""


class Batches(Generic[Q, A]):
    """Threads that answer all waiting queries at once, again and again.

    Args:
        answer: what answers queries: one answer, or error, each. Every thread calls it.
        most: queries that are answered together, at most.
        waiting: queries that may wait.
        seen: is told how many were answered together.
        threads: how many answer. Of what is called by :meth:`run` one runs at a time.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Sequence[Settled[A]]],
        *,
        most: int,
        waiting: int,
        seen: Callable[[int], None] = lambda _: None,
        threads: int = 1,
    ) -> None:
        self._answer, self._most, self._seen = answer, most, seen
        self._queue: Queue[_Asked[Q, A] | _Call | None] = Queue(waiting)
        self._alone = Lock()
        self._threads = [
            Thread(target=self._run, name=f"perisphere-model-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """Return how many wait."""
        return self._queue.qsize()

    def ask(self, query: Q) -> Awaitable[A]:
        """Put a query; its answer is awaited.

        Raises:
            RefusedError: 503 where too many wait.
        """
        asked = _Asked[Q, A](query)
        self._put(asked)
        return asked.future

    def run(self, call: Callable[[], T]) -> Awaitable[T]:
        """Call something in one of the threads, between two batches; its result is awaited.

        Raises:
            RefusedError: 503 where too many wait.
        """
        called = _Call(call)
        self._put(called)
        return called.future

    def close(self) -> None:
        """Answer what waits, and end."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _put(self, job: "_Asked[Q, A] | _Call") -> None:
        try:
            self._queue.put_nowait(job)
        except Full:
            raise RefusedError(503, "too many queries wait. Try again in a moment.") from None

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            jobs = [first, *self._more()]
            calls = [job for job in jobs if isinstance(job, _Call)]
            asked = [job for job in jobs if isinstance(job, _Asked)]
            if asked:
                self._seen(len(asked))
                _settle(asked, settled(self._answer, [job.query for job in asked]))
            for call in calls:
                with self._alone:
                    result = _result(call.call)
                _settle([call], [result])
            if None in jobs:
                return

    def _more(self) -> "list[_Asked[Q, A] | _Call | None]":
        more: list[_Asked[Q, A] | _Call | None] = []
        while len(more) + 1 < self._most:
            try:
                more.append(self._queue.get_nowait())
            except Empty:
                break
            if more[-1] is None:
                break
        return more


class _Waiting:
    """Something that an event loop waits for."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future = self.loop.create_future()


class _Asked(_Waiting, Generic[Q, A]):
    def __init__(self, query: Q) -> None:
        super().__init__()
        self.query = query


class _Call(_Waiting):
    def __init__(self, call: Callable) -> None:
        super().__init__()
        self.call = call


def settled(
    answer: Callable[[Sequence[Q]], Sequence[Settled[A]]], queries: Sequence[Q]
) -> Sequence[Settled[A]]:
    """Answer queries together; where that fails, in halves, so that the error of one is no other's.

    Args:
        answer: what answers queries.
        queries: at least one.
    """
    try:
        return answer(queries)
    except Exception as error:
        if len(queries) == 1:
            return [error]
    middle = len(queries) // 2
    return [*settled(answer, queries[:middle]), *settled(answer, queries[middle:])]


def _result(call: Callable[[], T]) -> T | Exception:
    try:
        return call()
    except Exception as error:
        return error


def _settle(jobs: Sequence[_Waiting], results: Sequence[object]) -> None:
    """Hand results over to the event loops that wait for them, each of which is woken once."""
    loops = {job.loop for job in jobs}
    for loop in loops:
        mine = [(job.future, result) for job, result in zip(jobs, results, strict=True) if job.loop is loop]
        try:
            loop.call_soon_threadsafe(_deliver, mine)
        except RuntimeError:  # that loop has ended, and nobody waits any more
            continue


def _deliver(results: Sequence[tuple[asyncio.Future, object]]) -> None:
    for future, result in results:
        if future.done():  # cancelled: the client went away
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

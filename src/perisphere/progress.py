"""Progress bars: on a terminal only, on stderr, never in a pipe."""

import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")


class Advance(Protocol):
    """The function that moves a bar."""

    def __call__(self, n: int = 1) -> None:
        """Count ``n`` more items as finished."""


@contextmanager
def bar(description: str, total: int | None, unit: str = "images") -> Iterator[Advance]:
    """Show a bar that moves when the yielded function is called.

    Args:
        description: what is being done, e.g. ``"reading"``.
        total: number of items, or ``None`` where it is not known.
        unit: what an item is; the rate is shown as ``unit/s``.
    """
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda n=1: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=False) as progress:
        task = progress.add_task(description, total=total, rate="")

        def advance(n: int = 1) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, advance=n, rate=f"{speed:.0f} {unit}/s" if speed else "")

        yield advance


def track(
    items: Iterable[T], description: str, total: int | None = None, unit: str = "images"
) -> Iterator[T]:
    """Yield ``items`` while a bar counts them; ``total`` defaults to ``len(items)`` where there is one."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(description, total, unit) as advance:
        for item in items:
            yield item
            advance()

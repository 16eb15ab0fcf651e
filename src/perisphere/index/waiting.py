"""Progress bars for what is quick with a small index and long with a large one."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

from perisphere.progress import Advance, bar

PATIENCE = 1.0


@contextmanager
def patient_bar(
    description: str, total: int | None, unit: str = "images", *, at_once: bool = False
) -> Iterator[Advance]:
    """Show the bar of :func:`perisphere.progress.bar` only once the work has taken :data:`PATIENCE` seconds.

    Args:
        description: what is being done.
        total: number of items, or ``None`` where it is not known.
        unit: what an item is.
        at_once: show it from the start, for work that is always long.
    """
    begun, done = monotonic(), 0
    with ExitStack() as stack:
        shown = stack.enter_context(bar(description, total, unit)) if at_once else None

        def advance(n: int = 1) -> None:
            nonlocal done, shown
            done += n
            if shown is not None:
                shown(n)
            elif monotonic() - begun >= PATIENCE:
                shown = stack.enter_context(bar(description, total, unit))
                shown(done)

        yield advance

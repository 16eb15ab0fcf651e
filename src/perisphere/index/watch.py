"""Word from the system that something in a folder has changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

from perisphere.errors import PerisphereError

DEBOUNCE = 1.6
"""Seconds for which changes are gathered before they are told together."""

_ROUND_MS = 500


def changes(folder: Path, *, without: Path, stop: Event | None = None) -> Iterator[bool]:
    """Yield ``True`` once at the start and after each batch of changes, and ``False`` while all is quiet.

    The watch is on before the first ``True``, so that no change between two of them is missed.

    Args:
        folder: what is watched, with all that lies below it.
        without: a folder whose changes are not told.
        stop: ends the watch when it is set.

    Raises:
        PerisphereError: watchfiles is not installed, or the system cannot watch the folder.
        KeyboardInterrupt: the user has ended it.
    """
    try:
        from watchfiles import watch
    except ImportError:
        raise PerisphereError(
            "--watch needs watchfiles, which is not installed: pip install 'perisphere[watch]'."
        ) from None
    if not folder.is_dir():
        raise PerisphereError(f"{folder}: no such folder to watch. Name one that is there.")
    own = os.path.realpath(without)

    def told(_: Any, path: str) -> bool:
        name = os.path.basename(path)  # noqa: PTH119 (called for every file that changes)
        return not name.startswith(".") and not f"{os.path.realpath(path)}{os.sep}".startswith(own + os.sep)

    begun = False
    try:
        for batch in watch(
            folder,
            watch_filter=told,
            debounce=int(1000 * DEBOUNCE),
            rust_timeout=_ROUND_MS,
            yield_on_timeout=True,
            stop_event=stop,
        ):
            yield bool(batch) or not begun
            begun = True
    except OSError as error:
        raise PerisphereError(
            f"{folder}: cannot be watched ({error.strerror or error}). WATCHFILES_FORCE_POLLING=1 in the "
            "environment looks again and again instead."
        ) from error

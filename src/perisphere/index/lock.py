"""One writer at a time, and its name for those who wait."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perisphere.errors import PerisphereError

FILE = "writer.lock"


class WriterLock:
    """A lock on a folder that the system frees when its process ends, however it ends.

    SQLite alone would keep writers apart; this file adds the name of the one that is at work.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / FILE
        self._depth = 0

    @contextmanager
    def held(self, timeout: float) -> Iterator[None]:
        """Hold the lock; one thread at a time may ask.

        Raises:
            PerisphereError: another process holds it for longer than ``timeout`` s, or a read-only folder.
        """
        if self._depth or sys.platform == "win32":  # on Windows SQLite's own lock is the only one
            yield
            return
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise PerisphereError(f"{self.path.parent}: cannot be written ({error.strerror}).") from error
        self._depth = 1
        try:
            self._wait(handle, timeout)
            yield
        finally:
            self._depth = 0
            os.close(handle)  # frees the lock

    def _wait(self, handle: int, timeout: float) -> None:
        import fcntl

        end = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    holder = os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "another process"
                    raise PerisphereError(
                        f"{self.path.parent}: {holder} has been writing to this index for more than "
                        f"{timeout:g} s; try again when it is done."
                    ) from None
                time.sleep(0.01)
        name = f"process {os.getpid()} ({Path(sys.argv[0]).name or 'python'})\n"
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, name.encode(), 0)
        except OSError:
            pass  # a full disk: the name is a courtesy, the lock holds without it

"""Memory of a benchmark; imported by the programs beside it."""

import threading

import psutil


class Peak:
    """The highest resident memory of this process while it runs, beyond that at the start, in GiB."""

    def __enter__(self) -> "Peak":
        self._process, self._done = psutil.Process(), threading.Event()
        self._start = self._highest = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self._highest = max(self._highest, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.gib = (self._highest - self._start) / 2**30

"""Photos that were sent to be searched with: in memory alone, bounded, and only for a while."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from perisphere.serve.refused import RefusedError

Picture = NDArray[np.uint8]


class Uploads:
    """The newest photos that were sent, by names that nobody can guess.

    Args:
        size: bytes of all together; the oldest go first.
        seconds: how long each is kept after it was used last.
        clock: tells the time in seconds.
    """

    def __init__(self, size: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._size, self._seconds, self._clock = size, seconds, clock
        self._lock = Lock()
        self._known: OrderedDict[str, tuple[Picture, float]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._known)

    def put(self, picture: Picture) -> str:
        """Keep a picture, uint8 RGB ``[h, w, 3]``, and return its name.

        Raises:
            RefusedError: 413 for one that is larger than all room there is.
        """
        if picture.nbytes > self._size:
            raise RefusedError(413, "the photo is larger than the memory for photos. Send a smaller one.")
        name = secrets.token_urlsafe(18)
        with self._lock:
            self._known[name] = (picture, self._clock())
            self.bytes += picture.nbytes
            self._tidy()
        return name

    def get(self, name: str) -> Picture:
        """Return a picture.

        Raises:
            RefusedError: 404 for one that was never there or is no more.
        """
        with self._lock:
            self._tidy()
            if name not in self._known:
                raise RefusedError(404, "this photo is not here any more. Send it again.")
            picture, _ = self._known.pop(name)
            self._known[name] = (picture, self._clock())
            return picture

    def _tidy(self) -> None:
        now = self._clock()
        while self._known:
            picture, used = next(iter(self._known.values()))
            if self.bytes <= self._size and now - used <= self._seconds:
                return
            self._known.popitem(last=False)
            self.bytes -= picture.nbytes

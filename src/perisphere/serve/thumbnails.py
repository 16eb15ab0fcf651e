"""Pictures that were made to be shown, the newest of them kept."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock


class Thumbnails:
    """Encoded pictures in memory, bounded in bytes; the ones that were used longest ago go first.

    Args:
        size: bytes of all together.
    """

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, Lock()
        self._known: OrderedDict[Hashable, bytes] = OrderedDict()
        self.bytes = 0

    def get(self, key: Hashable) -> bytes | None:
        """Return a picture, ``None`` where it is not kept."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def put(self, key: Hashable, picture: bytes) -> None:
        """Keep a picture."""
        if len(picture) > self._size:
            return
        with self._lock:
            self.bytes += len(picture) - len(self._known.pop(key, b""))
            self._known[key] = picture
            while self.bytes > self._size:
                self.bytes -= len(self._known.popitem(last=False)[1])

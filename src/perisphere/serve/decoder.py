"""Decoding in processes of their own, with limits of memory and time."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import LifoQueue
from threading import Timer
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.catalog.images import MAX_PIXELS
from perisphere.serve.decode_worker import read, write
from perisphere.serve.refused import RefusedError
from perisphere.serve.settings import Settings

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo that was sent.

    Attributes:
        picture: uint8 RGB ``[h, w, 3]``, upright, reduced where it was larger than the limit.
        width: of the photo as it was sent, upright, in pixels.
        height: of it.
    """

    picture: NDArray[np.uint8]
    width: int
    height: int


class Decoder:
    """Processes that decode photos; one that fails or takes too long is replaced.

    Args:
        settings: the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: LifoQueue[_Worker] = LifoQueue()
        for _ in range(settings.decoders):
            self._idle.put(_Worker(settings))
        self.pool = ThreadPoolExecutor(settings.decoders, "perisphere-decode")

    def photo(self, data: bytes, *, own: bool = False) -> Photo:
        """Decode a photo.

        Args:
            data: the bytes of its file.
            own: it is of the index, where the owner put it: of any size that an index takes.

        Raises:
            RefusedError: 422 for bytes that are no photo, or one that takes too much memory or time.
        """
        most = MAX_PIXELS if own else self._settings.pixels
        described, payload = self._ask({"jpeg": False, "side": self._settings.side, "pixels": most}, data)
        shape = (*described["shape"], 3)
        picture = np.frombuffer(payload, np.uint8).reshape(shape)
        return Photo(picture, described["width"], described["height"])

    def thumbnail(self, data: bytes, side: int) -> bytes:
        """Return a JPEG of a photo of the index whose longer side has at most ``side`` pixels.

        Raises:
            RefusedError: see :meth:`photo`.
        """
        return self._ask({"jpeg": True, "side": side, "pixels": MAX_PIXELS}, data)[1]

    def close(self) -> None:
        """End all processes."""
        self.pool.shutdown(cancel_futures=True)
        for _ in range(self._settings.decoders):
            self._idle.get().stop()

    def _ask(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        if not data:
            raise RefusedError(422, "the photo is empty. Send its bytes.")
        worker = self._idle.get()
        try:
            described, payload = worker.ask(request, data)
        finally:
            self._idle.put(worker)
        if "refused" in described:
            raise RefusedError(422, f"the photo cannot be used: {described['refused']}.")
        return described, payload


class _Worker:
    """One process, started when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        if self._process is not None and self._process.poll() is not None:  # ended meanwhile
            self.stop()
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = Timer(self._settings.decode_seconds, process.kill)
        timer.start()
        try:
            write(process.stdin, request, data)
            answer = read(process.stdout)
        except BrokenPipeError:
            answer = None
        finally:
            timer.cancel()
        if answer is None:
            self.stop()
            raise RefusedError(422, "the photo cannot be used: it takes too much memory or time to decode.")
        return answer

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):  # what it was still to be told
                        pipe.close()

    def _started(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "perisphere.serve.decode_worker", str(self._settings.decode_bytes)]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD},
            process_group=0,  # an interrupt in the terminal is for the service, which ends its processes
        )

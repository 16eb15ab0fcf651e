"""Bodies of requests: read whole before anything is done with them, within bytes and seconds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from perisphere.serve.refused import RefusedError
from perisphere.serve.settings import Settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class GoneError(Exception):
    """The client went away before its body was there."""


class Bodies:
    """Reads bodies, so that all of them together never take more than a fixed number of bytes.

    Args:
        settings: the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.held = 0

    @asynccontextmanager
    async def read(self, headers: Mapping[str, str], receive: Receive) -> AsyncIterator[bytes]:
        """Yield a body; its bytes count as held until the block is left.

        Raises:
            RefusedError: 400 for a length that is no number, 413 for too many bytes, declared or not, 408 for
                a slow sender, 503 where other bodies take all room.
            GoneError: the client went away.
        """
        declared = headers.get("content-length", "0")
        if not (declared.isascii() and declared.isdigit()):
            raise RefusedError(400, "Content-Length is no number.")
        if int(declared[:20]) > self._settings.body_bytes:
            raise self._too_large()
        taken = [0]
        try:
            try:
                async with asyncio.timeout(self._settings.body_seconds):
                    body = await self._whole(receive, taken)
            except TimeoutError:
                seconds = self._settings.body_seconds
                raise RefusedError(408, f"the request did not arrive within {seconds:g} seconds.") from None
            yield body
        finally:
            self.held -= taken[0]

    async def _whole(self, receive: Receive, taken: list[int]) -> bytes:
        parts = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise GoneError
            part = message.get("body", b"")
            taken[0] += len(part)
            self.held += len(part)
            if taken[0] > self._settings.body_bytes:
                raise self._too_large()
            if self.held > self._settings.all_bodies_bytes:
                raise RefusedError(503, "too much is being sent at once. Try again in a moment.")
            parts += part
            if not message.get("more_body", False):
                return bytes(parts)

    def _too_large(self) -> RefusedError:
        return RefusedError(413, f"more than {self._settings.body_bytes:,} bytes. Send a smaller photo.")


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that hands over a body that was read, and then what comes after it."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again

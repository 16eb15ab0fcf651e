"""One index, what answers for it, and what is in memory around it."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Thread
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.search import Query
from perisphere.serve import photos
from perisphere.serve.answers import Reply, replies
from perisphere.serve.batches import THREADS, Batches
from perisphere.serve.bodies import Bodies
from perisphere.serve.decoder import Decoder, Photo
from perisphere.serve.meters import Meters
from perisphere.serve.network import Network, is_stored
from perisphere.serve.refused import RefusedError
from perisphere.serve.settings import Settings
from perisphere.serve.thumbnails import Thumbnails
from perisphere.serve.uploads import Uploads
from perisphere.serve.urls import fetch

T = TypeVar("T")
log = logging.getLogger(__name__)


class Service:
    """What the routes ask.

    Attributes:
        index: the index that is served.
        settings: what it may do.
        name: of the index, as the page shows it.
        network: its encoder.
        points: the thread that answers queries which need no network.
        model: the threads that answer all others, each with the network.
        writer: the thread that adds and removes.
        decoder: the processes that decode photos.
        uploads: photos that were sent.
        thumbnails: pictures that were made to be shown.
        bodies: what is being read of requests.
        meters: what Prometheus is told.
    """

    def __init__(self, index: Index, settings: Settings) -> None:
        self.index, self.settings = index, settings
        self.name = settings.name or index.folder.resolve().name
        self.network = Network(index, settings.runtime)
        self.meters = Meters(lambda: len(index))
        self.bodies = Bodies(settings)
        self.uploads = Uploads(settings.uploads_bytes, settings.uploads_seconds)
        self.thumbnails = Thumbnails(settings.thumbnails_bytes)
        self.decoder = Decoder(settings)
        self.writer = ThreadPoolExecutor(1, "perisphere-writer")
        batches = partial(
            Batches[Query, Reply],
            self._replies,
            most=settings.batch,
            waiting=settings.waiting,
            seen=self.meters.batch,
        )
        # A search for points is fastest in one large batch; networks, with a core each.
        self.points, self.model = batches(), batches(threads=THREADS)
        self._count, self._counted = 0, -math.inf
        self._pictures = 0
        self._show_sizes()

    def start(self) -> None:
        """Bring vectors and network into memory, while the first requests come."""
        Thread(target=self._warm, name="perisphere-warm", daemon=True).start()

    def close(self) -> None:
        """Finish what was begun, and let go of everything but the index."""
        self.points.close()
        self.model.close()
        self.writer.shutdown()
        self.decoder.close()

    async def search(self, query: Query) -> Reply:
        """Answer a query, together with those of its kind that wait beside it."""
        return await (self.points if is_stored(query) else self.model).ask(query)

    @contextmanager
    def room_for(self, photos: int) -> Iterator[None]:
        """Hold memory for decoded photos until the block is left.

        Raises:
            RefusedError: 503 where other requests hold too much of it.
        """
        size = photos * 3 * self.settings.side**2
        if size and self._pictures + size > self.settings.pictures_bytes:
            raise RefusedError(503, "too many photos are searched with at once. Try again in a moment.")
        self._pictures += size
        try:
            yield
        finally:
            self._pictures -= size

    async def photo(self, data: bytes) -> Photo:
        """Decode a photo."""
        return await self._in(self.decoder.pool, lambda: self.decoder.photo(data))

    async def fetched(self, url: str) -> bytes:
        """Return what lies at a URL.

        Raises:
            RefusedError: 403 for one that is not allowed, 422 for one that gives no photo.
        """
        hosts, most = self.settings.url_hosts, self.settings.body_bytes
        if not hosts:
            raise RefusedError(403, "this service searches by no URL. Send the photo itself.")
        return await asyncio.to_thread(fetch, url, hosts, most)

    async def picture(self, id_: int) -> Photo:
        """Decode the photo of an image of the index."""
        row = await asyncio.to_thread(self.row, id_)
        return await self._in(self.decoder.pool, lambda: self.decoder.photo(photos.read(row), own=True))

    async def thumbnail(self, id_: int, side: int) -> bytes:
        """Return a JPEG of an image of the index whose longer side has at most ``side`` pixels."""
        row = await asyncio.to_thread(self.row, id_)  # it may have been removed, by whomever
        key = (id_, side)
        known = self.thumbnails.get(key)
        if known is None:
            known = await self._in(self.decoder.pool, lambda: self.decoder.thumbnail(photos.read(row), side))
            self.thumbnails.put(key, known)
        return known

    def row(self, id_: int) -> dict[str, Any]:
        """Return the row of an image.

        Raises:
            RefusedError: 404 where the index has none.
        """
        found = self.index.rows([id_], missing_ok=True)
        if not len(found):
            raise RefusedError(404, f"the index holds no image with id {id_}.")
        return found.row(0, named=True)

    async def embed(self, pictures: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], str]:
        """Embed pictures in the thread of the model; return the vectors, and the encoder's identity.

        Raises:
            PerisphereError: the index has no encoder.
        """
        return await self.model.run(lambda: self._embed(pictures))

    async def write(self, change: Callable[[], T]) -> T:
        """Change the index in the thread that does so.

        Raises:
            RefusedError: 403 where nothing may be changed.
        """
        self.refuse_if_read_only()
        return await self._in(self.writer, change)

    def refuse_if_read_only(self) -> None:
        """Refuse a change where nothing may be changed, before any work is done for it.

        Raises:
            RefusedError: 403.
        """
        if self.settings.read_only:
            raise RefusedError(403, "this service is read-only: nothing can be added or removed here.")

    def _replies(self, queries: Sequence[Query]) -> list[Reply]:
        return replies(self.index, queries, self.network.for_queries(queries), self._images())

    def _images(self) -> int:
        """Return how many images there were a moment ago: counting takes milliseconds."""
        if time.monotonic() - self._counted > 1:
            self._count, self._counted = len(self.index), time.monotonic()
        return self._count

    def _embed(self, pictures: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], str]:
        encoder = self.network.encoder
        if encoder is None:
            raise PerisphereError(f"{self.name}: the index has no encoder to embed photos. Send vectors.")
        return encoder.encode(pictures), encoder.identity

    def _warm(self) -> None:
        """Do once what the first search of each kind would wait for; what fails here fails there again."""
        try:
            self.index.search(np.eye(1, self.index.dim, dtype=np.float32), 1)
            if self.network.encoder is not None:
                self.network.encoder.inference()
        except PerisphereError as error:
            log.warning("%s", error)

    def _show_sizes(self) -> None:
        gauge = self.meters.gauge
        gauge("perisphere_waiting_queries", "Queries that wait.", lambda: len(self.points) + len(self.model))
        gauge("perisphere_body_bytes", "Bytes of bodies in memory.", lambda: self.bodies.held)
        gauge("perisphere_upload_bytes", "Bytes of sent photos in memory.", lambda: self.uploads.bytes)
        gauge("perisphere_thumbnail_bytes", "Bytes of thumbnails in memory.", lambda: self.thumbnails.bytes)

    async def _in(self, pool: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, call)

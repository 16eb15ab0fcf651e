"""One index, what answers for it, and what is in memory around it."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from fastapi import Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray

from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.index.filters import IsNull, Not
from perisphere.search import Query
from perisphere.search.index_encoder import the_encoder
from perisphere.serve import photos
from perisphere.serve.answers import Reply, replies
from perisphere.serve.batches import Batches, Settled
from perisphere.serve.bodies import Bodies
from perisphere.serve.decode_worker import jpeg, reduced, size_within
from perisphere.serve.decoder import Decoder, Photo
from perisphere.serve.masks import mask
from perisphere.serve.meters import Meters
from perisphere.serve.refused import RefusedError
from perisphere.serve.settings import Settings
from perisphere.serve.thumbnails import Thumbnails
from perisphere.serve.uploads import Uploads
from perisphere.serve.urls import fetch

T = TypeVar("T")
_UNKNOWN = object()

SHOWN = 640
"""Pixels of the longer side of the largest thumbnail, and of masks."""


class Service:
    """What the routes ask.

    Attributes:
        index: the index that is served.
        settings: what it may do.
        name: of the index, as the page shows it.
        model: the thread that searches, and runs the network.
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
        self.meters = Meters(lambda: len(index))
        self.bodies = Bodies(settings)
        self.uploads = Uploads(settings.uploads_bytes, settings.uploads_seconds)
        self.thumbnails = Thumbnails(settings.thumbnails_bytes)
        self.decoder = Decoder(settings)
        self.writer = ThreadPoolExecutor(1, "perisphere-writer")
        self.model: Batches[Query, Reply] = Batches(
            self._answers, most=settings.batch, waiting=settings.waiting, seen=self.meters.batch
        )
        self._dense: Any = _UNKNOWN
        gauge = self.meters.gauge
        gauge("perisphere_waiting_queries", "Queries that wait.", lambda: len(self.model))
        gauge("perisphere_body_bytes", "Bytes of bodies in memory.", lambda: self.bodies.held)
        gauge("perisphere_upload_bytes", "Bytes of sent photos in memory.", lambda: self.uploads.bytes)
        gauge("perisphere_thumbnail_bytes", "Bytes of thumbnails in memory.", lambda: self.thumbnails.bytes)

    def start(self) -> None:
        """Bring vectors and network into memory, while the first requests come."""

    def close(self) -> None:
        """Finish what was begun, and let go of everything."""
        self.model.close()
        self.writer.shutdown()
        self.decoder.close()
        self.index.close()

    async def search(self, query: Query) -> Reply:
        """Answer a query, together with those that wait beside it."""
        return await self.model.ask(query)

    async def photo(self, data: bytes) -> Photo:
        """Decode a photo that was sent."""
        return await self._in(self.decoder.pool, lambda: self.decoder.photo(data))

    async def picture(self, id_: int) -> Photo:
        """Decode the photo of an image of the index."""
        row = self.row(id_)
        return await self.photo(photos.read(row))

    async def thumbnail(self, id_: int, side: int) -> bytes:
        """Return a JPEG of an image of the index whose longer side has at most ``side`` pixels."""
        key = (id_, side)
        known = self.thumbnails.get(key)
        if known is None:
            row = self.row(id_)
            known = await self._in(self.decoder.pool, lambda: self.decoder.thumbnail(photos.read(row), side))
            self.thumbnails.put(key, known)
        return known

    async def write(self, change: Callable[[], T]) -> T:
        """Change the index in the thread that does so.

        Raises:
            RefusedError: 403 where nothing may be changed.
        """
        self.refuse_if_read_only()
        return await self._in(self.writer, change)

    def row(self, id_: int) -> dict[str, Any]:
        """Return the row of an image.

        Raises:
            RefusedError: 404 where the index has none.
        """
        found = self.index.rows([id_], missing_ok=True)
        if not len(found):
            raise RefusedError(404, f"the index holds no image with id {id_}.")
        return found.row(0, named=True)

    def _answers(self, queries: Sequence[Query]) -> Sequence[Settled[Reply]]:
        return replies(self.index, queries)

    def refuse_if_read_only(self) -> None:
        """Refuse a change where nothing may be changed, before any work is done for it.

        Raises:
            RefusedError: 403.
        """
        if self.settings.read_only:
            raise RefusedError(403, "this service is read-only: nothing can be added or removed here.")

    async def fetched(self, url: str) -> bytes:
        """Return what lies at a URL.

        Raises:
            RefusedError: 403 for one that is not allowed, 422 for one that gives no photo.
        """
        hosts, most = self.settings.url_hosts, self.settings.body_bytes
        if not hosts:
            raise RefusedError(403, "this service searches by no URL. Send the photo itself.")
        return await asyncio.to_thread(fetch, url, hosts, most)

    def shown(self, upload: str) -> bytes:
        """Return a JPEG of a photo that was sent."""
        picture = reduced(self.uploads.get(upload), SHOWN)
        return jpeg(picture)

    async def mask(self, id_: int) -> bytes:
        """Return a PNG of the regions of an image, of the size of its largest thumbnail.

        Raises:
            RefusedError: 404 where it has none, or its photo cannot be read.
        """
        about = self.index.regions.about()
        found = self.index.regions.read([id_])
        if about is None or not found:
            self.row(id_)
            raise RefusedError(404, f"the index knows no regions of image {id_}.")
        row = self.row(id_)
        width, height = row["width"], row["height"]
        if width is None or height is None:
            photo = await self.picture(id_)
            width, height = photo.width, photo.height
        return mask(found, about["concepts"], (width, height), size_within(width, height, SHOWN))

    def regions(self, id_: int) -> list[dict[str, Any]]:
        """Return the regions of an image, plain values."""
        self.row(id_)
        return [region.to_dict() for region in self.index.regions.read([id_])]

    def text_kind(self) -> str | None:
        """Say what texts are searched by besides words."""
        encoder = self.index.encoder()
        if encoder is None:
            return None
        return "tags" if encoder.tags is not None else None

    def has_photos(self) -> bool:
        """Say whether the index knows where its photos lie."""
        return next(iter(self.index.paths()), None) is not None

    def filled(self, columns: Sequence[str]) -> list[str]:
        """Return those of columns that some image has a value of."""
        return [name for name in columns if len(self.index.ids(Not(IsNull(name))))]

    def encode(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed pictures; to be called in the thread of the model alone."""
        encoder = the_encoder(self.index)
        return encoder.encode(pictures)

    def dense_features(self) -> Any:
        """Return what gives dense features, ``None`` where the encoder has none."""
        if self._dense is _UNKNOWN:
            from perisphere.encoder.dense_features import DenseFeatures

            encoder = self.index.encoder()
            try:
                self._dense = None if encoder is None else DenseFeatures(encoder)
            except PerisphereError:  # a network without feature maps
                self._dense = None
        return self._dense

    @staticmethod
    def json(values: Any) -> Response:
        """Return plain values as JSON."""
        return JSONResponse(values)

    async def _in(self, pool: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, call)

"""Searching, photos to search with, and matching."""

import time
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from perisphere.serve.decode_worker import jpeg, reduced
from perisphere.serve.forms import sent_photo
from perisphere.serve.matching import match
from perisphere.serve.queries import query_of
from perisphere.serve.service import Service
from perisphere.serve.wire import MatchRequest, SearchRequest

LONGEST = 640
"""Pixels of the longer side of the picture that shows a photo that was sent."""


def searching(service: Service) -> APIRouter:
    """Return the routes of ``service``."""
    router = APIRouter(tags=["search"])

    @router.post("/search")
    async def search(asked: SearchRequest) -> Any:
        """Search by photos, words, classes, points: examples, counter-examples, filters and weights."""
        started = time.perf_counter()
        with service.room_for(asked.photos):
            reply = await service.search(await query_of(service, asked))
        reply["query"] = {**asked.echo(), **reply["query"]}
        reply["seconds"] = round(time.perf_counter() - started, 4)
        return JSONResponse(reply)

    @router.post("/uploads")
    async def upload(request: Request) -> dict[str, Any]:
        """Send a photo to search with, as a form's ``file`` or as the body; it is kept in memory alone."""
        photo = await service.photo(await sent_photo(request))
        name = service.uploads.put(photo.picture)
        return {"upload": name, "width": photo.width, "height": photo.height}

    @router.get("/uploads/{upload}/thumbnail", response_class=Response)
    def upload_thumbnail(upload: str) -> Response:
        """Return a JPEG of a photo that was sent."""
        picture = jpeg(reduced(service.uploads.get(upload), LONGEST))
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @router.post("/match")
    async def matched(asked: MatchRequest) -> dict[str, Any]:
        """Find the points of a photo that look alike in a photo of the index."""
        with service.room_for(2):
            return await match(service, asked)

    return router

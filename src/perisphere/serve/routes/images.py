"""Images of the index: what is known of them, and their pictures."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response

from perisphere.serve.answers import row_of
from perisphere.serve.masks import mask_of, regions_of
from perisphere.serve.originals import original
from perisphere.serve.service import Service

Id = Annotated[int, Path(ge=1, le=2**62)]
Size = Literal["160", "320", "640"]
PRIVATE = {"Cache-Control": "private, max-age=3600"}


def images(service: Service) -> APIRouter:
    """Return the routes of ``service``."""
    router = APIRouter(prefix="/images/{id}", tags=["images"])

    @router.get("")
    def row(id: Id) -> dict[str, Any]:
        """Return what the index knows of an image."""
        return row_of(service.row(id))

    @router.get("/thumbnail", response_class=Response)
    async def thumbnail(id: Id, size: Size = "320") -> Response:
        """Return a JPEG of its photo, with a longer side of ``size`` pixels at most."""
        return Response(await service.thumbnail(id, int(size)), media_type="image/jpeg", headers=PRIVATE)

    @router.get("/original", response_class=Response)
    def whole(id: Id) -> Response:
        """Return the file of its photo as it is."""
        return original(service.row(id))

    @router.get("/mask", response_class=Response)
    async def mask(id: Id) -> Response:
        """Return a PNG of its regions, transparent elsewhere, of the size of the thumbnail of 640 pixels."""
        return Response(await mask_of(service, id), media_type="image/png", headers=PRIVATE)

    @router.get("/regions")
    def regions(id: Id) -> list[dict[str, Any]]:
        """Return its regions: concept, score, share, box and outline in pixels."""
        return regions_of(service, id)

    return router

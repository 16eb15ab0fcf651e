"""The service as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from perisphere import __version__
from perisphere.catalog.images import ImageError
from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.serve.door import Door
from perisphere.serve.guard import Guard
from perisphere.serve.refused import RefusedError
from perisphere.serve.routes.browsing import browsing
from perisphere.serve.routes.images import images
from perisphere.serve.routes.items import items
from perisphere.serve.routes.pages import pages
from perisphere.serve.routes.searching import searching
from perisphere.serve.service import Service
from perisphere.serve.settings import Settings


def create_app(index: Index, settings: Settings | None = None) -> FastAPI:
    """Return an application that serves an open index.

    Args:
        index: the index.
        settings: what the service may do, and how much of everything it takes.
    """
    settings = settings or Settings()
    service = Service(index, settings)
    guard = Guard(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.close()

    app = FastAPI(
        title="Perisphere",
        version=__version__,
        description="Search an index of images.",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.add_exception_handler(PerisphereError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ValidationError, _invalid)
    for routes in (searching, images, browsing, items):
        app.include_router(routes(service))
    app.include_router(pages(service, guard))
    app.add_middleware(Door, guard=guard, bodies=service.bodies, meters=service.meters)
    return app


async def _refused(request: Request, error: Any) -> JSONResponse:
    """Tell in one line what a user can mend; the folder of the index is nobody's business."""
    service: Service = request.app.state.service
    status = error.status if isinstance(error, RefusedError) else 400
    folder = service.index.folder
    text = f"a photo of the index: {error.reason}." if isinstance(error, ImageError) else str(error)
    detail = " ".join(text.split())
    if folder.is_absolute():
        detail = detail.replace(str(folder), service.name)
    return JSONResponse({"detail": detail}, status)


async def _invalid(_: Request, error: Any) -> JSONResponse:
    """Tell the first thing that is wrong with a request in one line."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    what = first["msg"].removeprefix("Value error, ")
    return JSONResponse({"detail": f"{place}: {what}." if place else f"{what}."}, 422)

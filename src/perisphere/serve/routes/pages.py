"""The page, its files, and what machines ask of the service."""

from typing import Any

from fastapi import APIRouter, Request, Response

from perisphere import __version__
from perisphere.serve.guard import COOKIE, Guard
from perisphere.serve.page_files import page_files
from perisphere.serve.refused import RefusedError
from perisphere.serve.service import Service

GO_ON = '<!doctype html><title>Perisphere</title><p><a href="/">Go on</a></p>'


def pages(service: Service, guard: Guard) -> APIRouter:
    """Return the routes of ``service``."""
    router = APIRouter(tags=["service"])
    files = page_files()

    @router.get("/", include_in_schema=False)
    def page(request: Request, token: str | None = None) -> Response:
        if token is not None:
            return _entered(request, guard, token)
        return files.answer("index.html", request.headers.get("if-none-match"))

    @router.get("/static/{name}", include_in_schema=False)
    def static(request: Request, name: str) -> Response:
        return files.answer(name, request.headers.get("if-none-match"))

    @router.get("/health")
    def health() -> dict[str, Any]:
        """Say that the service answers."""
        return {"status": "ok", "images": len(service.index), "version": __version__}

    @router.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """Return figures of the service for Prometheus."""
        return Response(service.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _entered(request: Request, guard: Guard, token: str) -> Response:
    """Take the token out of the address bar and into a cookie that no script reads.

    A browser that came from another site does not send such a cookie along a redirect, so that it is sent on
    by a page of ours.
    """
    if not guard.knows(token):
        raise RefusedError(401, "this is not the token of this service.")
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        answer = Response(GO_ON, media_type="text/html", headers={"Refresh": "0; url=/"})
    else:
        answer = Response(status_code=303, headers={"Location": "/"})
    answer.headers["Cache-Control"] = "no-store"
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, guard.cookie, httponly=True, samesite="strict", secure=secure, path="/")
    return answer

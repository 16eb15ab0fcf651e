"""Adding and removing."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from perisphere.serve.changes import add_photo, add_vectors, remove
from perisphere.serve.forms import is_form, sent_form
from perisphere.serve.service import Service
from perisphere.serve.wire import SentIds, SentRow, SentVectors


def items(service: Service) -> APIRouter:
    """Return the routes of ``service``."""
    router = APIRouter(prefix="/items", tags=["items"])

    @router.post("", status_code=201)
    async def add(request: Request) -> dict[str, Any]:
        """Add a photo (a form: ``file``, ``label``, ``caption`` ...) or vectors with their rows (JSON)."""
        service.refuse_if_read_only()
        if is_form(request):
            data, fields = await sent_form(request)
            return {"ids": await add_photo(service, data, SentRow.model_validate(fields))}
        return {"ids": await add_vectors(service, SentVectors.model_validate_json(await request.body()))}

    @router.delete("/{id}")
    async def remove_one(id: Annotated[int, Path(ge=1, le=2**62)]) -> dict[str, int]:
        """Remove an image."""
        return {"removed": await remove(service, [id])}

    @router.post("/remove")
    async def remove_some(asked: SentIds) -> dict[str, int]:
        """Remove images, all of them or none."""
        return {"removed": await remove(service, asked.ids)}

    return router

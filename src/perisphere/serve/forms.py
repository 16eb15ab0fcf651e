"""Photos and fields that come in a form, or a photo that is the body; nothing is put on the disk."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from perisphere.serve.refused import RefusedError

LISTS = ("tags", "categories", "concepts")
LONGEST = 100_000


class InMemory(MultiPartParser):
    """A parser of forms that keeps files in memory: the size of the body is bounded before."""

    spool_max_size = 1 << 62


def is_form(request: Request) -> bool:
    """Say whether the body is a form."""
    return _kind(request) == "multipart/form-data"


async def sent_photo(request: Request) -> bytes:
    """Return the photo of a request: a form's ``file``, or the body.

    Raises:
        RefusedError: 415 for another kind of body, 422 for a form without a file.
    """
    if is_form(request):
        return (await sent_form(request))[0]
    if not _kind(request).startswith("image/"):
        raise RefusedError(
            415, "send a photo as a form's `file`, or as the body with an image's Content-Type."
        )
    return await request.body()


async def sent_form(request: Request) -> tuple[bytes, dict[str, Any]]:
    """Return the ``file`` of a form and its other fields; those of lists may come several times.

    Raises:
        RefusedError: 422 for a form that cannot be read, has no file, or a field twice that is no list.
    """
    body = await request.body()

    async def once() -> AsyncIterator[bytes]:
        yield body

    try:
        parser = InMemory(request.headers, once(), max_files=1, max_fields=64, max_part_size=LONGEST)  # type: ignore[arg-type]
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise RefusedError(422, f"the form cannot be read ({getattr(error, 'message', error)}).") from error
    file, fields = form.get("file"), dict[str, Any]()
    for name, value in form.multi_items():
        if name in LISTS and isinstance(value, str):
            fields.setdefault(name, []).append(value)
        elif name != "file":
            if name in fields or not isinstance(value, str):
                raise RefusedError(
                    422, f"the form's field {name!r} is there twice, or is a file. Send it once, as text."
                )
            fields[name] = value
    if not isinstance(file, UploadFile):
        raise RefusedError(422, "the form has no file. Send the photo as `file`.")
    return await file.read(), fields


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()

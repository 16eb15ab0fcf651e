"""The file of an image's photo as it is, sent in pieces."""

import os
from collections.abc import Iterator
from io import FileIO
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse

from perisphere.serve.photos import CHUNK, kind_of, opened


def original(row: dict[str, Any]) -> Response:
    """Return the file of the photo of an index's row, where it is one of a picture.

    Raises:
        RefusedError: 404 where it cannot be opened, or is no picture.
    """
    with opened(row["root"], row["path"]) as handle:
        kind, end = kind_of(os.pread(handle, 16, 0))
        size = os.fstat(handle).st_size
        file = os.fdopen(os.dup(handle), "rb", buffering=0)
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": f'inline; filename="{row["id"]}.{end}"',
        "Cache-Control": "private, max-age=3600",
    }
    return StreamingResponse(_pieces(file, size), media_type=kind, headers=headers)


def _pieces(file: FileIO, size: int) -> Iterator[bytes]:
    """Yield as many bytes as were promised; a file that shrank meanwhile ends the connection.

    Nobody may ever ask for the first piece: then the file closes itself with the last reference to it.
    """
    with file:
        sent = 0
        while sent < size and (piece := os.pread(file.fileno(), min(CHUNK, size - sent), sent)):
            sent += len(piece)
            yield piece

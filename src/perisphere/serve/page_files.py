"""The files of the page: those that are in the package, by name, and no others."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from fastapi import Response

from perisphere.serve.refused import RefusedError

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}


@dataclass(frozen=True)
class PageFiles:
    """Files of the page in memory.

    Attributes:
        known: content, type and version by name.
    """

    known: dict[str, tuple[bytes, str, str]]

    def answer(self, name: str, held: str | None) -> Response:
        """Return a file, or that the browser holds its newest version.

        Raises:
            RefusedError: 404 for a name that is none of ours.
        """
        if name not in self.known:
            raise RefusedError(404, "the page has no such file.")
        content, kind, version = self.known[name]
        headers = {"ETag": version, "Cache-Control": "no-cache"}
        if held == version:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)


def page_files() -> PageFiles:
    """Read the files of the page."""
    known = {}
    folder = files("perisphere.serve") / "page"
    for file in folder.iterdir() if folder.is_dir() else ():
        kind = TYPES.get(file.name.rpartition(".")[2])
        if file.is_file() and kind is not None:
            content = file.read_bytes()
            known[file.name] = content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    return PageFiles(known)

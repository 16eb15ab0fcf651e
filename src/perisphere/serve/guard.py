"""Who may ask: the Host and Origin of a request, its token, and the kind of its body.

A page of another site that a visitor of this service has open can send requests to it. By rebinding a name of
its own to this machine's address it would read the answers as well: so a request must call the service by a
name that is known. Where the browser tells the origin of a change, it must be this service.
"""

import hmac
from collections.abc import Mapping
from ipaddress import ip_address

from perisphere.serve.refused import RefusedError
from perisphere.serve.settings import Settings

COOKIE = "perisphere"
OPEN_PATHS = ("/health",)
"""Answered without a token, as are the page's own files: they tell nothing of the index."""
SAFE = ("GET", "HEAD")
BODIES = ("application/json", "multipart/form-data", "image/")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Guard:
    """Refuses what must not be answered.

    Args:
        settings: the token, and the names of the service.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = {*LOOPBACK_NAMES, *(name.lower() for name in settings.hosts)}

    @property
    def cookie(self) -> str:
        """What a browser that showed the token keeps instead of it."""
        token = self._settings.token or ""
        return hmac.new(token.encode(), b"perisphere page", "sha256").hexdigest()

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Let a request pass.

        Args:
            method: of the request.
            path: of the request.
            headers: by their name in lower case.

        Raises:
            RefusedError: 403 for a host or an origin that is not ours, 401 without the token, 415 for a body
                of a kind that a form of another site could send, or of none.
        """
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise RefusedError(403, "the service is not called so: use its address, or give it --host-name.")
        self._check_token(method, path, headers)
        if method in SAFE:
            return
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            raise RefusedError(403, "a page of another site may change nothing here.")
        kind = headers.get("content-type", "").strip().lower()
        if method != "DELETE" and not kind.startswith(BODIES):
            raise RefusedError(415, "send JSON, multipart/form-data or an image, and say so in Content-Type.")

    def knows(self, token: str) -> bool:
        """Say whether this is the token, in a time that tells nothing of where it differs."""
        wanted = self._settings.token
        return wanted is not None and hmac.compare_digest(token.encode(), wanted.encode())

    def _check_token(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        if self._settings.token is None or path in OPEN_PATHS or (method in SAFE and is_of_page(path)):
            return
        kind, _, shown = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.knows(shown.strip()):
            return
        if hmac.compare_digest(cookie_of(headers.get("cookie", "")).encode(), self.cookie.encode()):
            return
        raise RefusedError(401, "show the token: Authorization: Bearer TOKEN, or /?token=TOKEN in a browser.")

    def _is_ours(self, host: str) -> bool:
        name = name_of(host)
        if name in self._names:
            return True
        try:
            address = ip_address(name)
        except ValueError:
            return False
        return self._settings.any_address or address.is_loopback


def is_of_page(path: str) -> bool:
    """Say whether a path is of the page itself, which is the same for everybody."""
    return path == "/" or path.startswith("/static/")


def name_of(host: str) -> str:
    """Return the name in a Host header in lower case, without its port; empty where it is malformed."""
    if host.startswith("["):
        name, closed, port = host[1:].partition("]")
        return name.lower() if closed and (not port or _is_port(port)) else ""
    name, colon, port = host.partition(":")
    return "" if colon and not port.isdigit() else name.lower()


def cookie_of(header: str) -> str:
    """Return the value of our cookie in a Cookie header; empty where it is not there."""
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isdigit()

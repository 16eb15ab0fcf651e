"""What every request passes on its way in and every answer on its way out."""

import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from perisphere.serve.bodies import Bodies, GoneError, Message, Receive, replayed
from perisphere.serve.guard import SAFE, Guard
from perisphere.serve.meters import Meters
from perisphere.serve.refused import RefusedError

Send = Callable[[Message], Awaitable[None]]
Scope = Any
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]

access = logging.getLogger("perisphere.access")
log = logging.getLogger(__name__)


class Door:
    """ASGI middleware: the guard, the limits of bodies, the headers of every answer, figures and the log.

    Args:
        app: what answers.
        guard: who may ask.
        bodies: how much may be sent.
        meters: where requests are counted.
    """

    def __init__(self, app: App, guard: Guard, bodies: Bodies, meters: Meters) -> None:
        self._app, self._guard, self._bodies, self._meters = app, guard, bodies, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = time.perf_counter()
        answer = _Answer(send)
        try:
            await self._answer(scope, receive, answer)
        except RefusedError as refusal:
            await answer.refuse(refusal)
        except GoneError:
            answer.status = 499  # the client closed the request, as others log it
        except Exception:
            log.exception("%s %s failed", scope["method"], _route(scope))
            await answer.refuse(RefusedError(500, "the service failed at this. Its log says more."))
        finally:
            self._note(scope, answer, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._guard.check(scope["method"], scope["path"], headers)
        if scope["method"] in SAFE:
            if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
                raise RefusedError(400, f"{scope['method']} has no body.")
            await self._app(scope, receive, answer)
            return
        async with self._bodies.read(headers, receive) as body:
            await self._app(scope, replayed(body, receive), answer)

    def _note(self, scope: Scope, answer: "_Answer", seconds: float) -> None:
        route = _route(scope)
        self._meters.request(route, scope["method"], answer.status, seconds)
        if not access.isEnabledFor(logging.INFO):
            return
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "client": (scope.get("client") or ("-",))[0],
            "method": scope["method"],
            "route": route,
            "id": _id(scope),
            "status": answer.status,
            "bytes": answer.bytes,
            "ms": round(1000 * seconds, 1),
        }
        access.info(json.dumps(line))


class _Answer:
    """A ``send`` that brings our headers and remembers what went out."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.bytes = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), *HEADERS]
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, refusal: RefusedError) -> None:
        """Send a refusal, unless something was sent already; the rest of the body is not read."""
        if self.status:
            return
        body = json.dumps({"detail": str(refusal)}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers.append((b"connection", b"close"))
        if refusal.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if refusal.status == 503:
            headers.append((b"retry-after", b"1"))
        await self({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def _id(scope: Scope) -> int | None:
    """Return the id in a path, where it is one."""
    text = str(scope.get("path_params", {}).get("id", ""))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _route(scope: Scope) -> str:
    """Return the pattern that a path fits: a path itself may hold what nobody else should read."""
    return str(getattr(scope.get("route"), "path", "-"))

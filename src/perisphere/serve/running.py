"""Running a service until it is asked to stop."""

import logging
import signal
import socket
import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.serve.app import create_app
from perisphere.serve.heads import PatientProtocol
from perisphere.serve.settings import Settings

CONNECTIONS = 1000
SHORTEST_TOKEN = 16
EVERYWHERE = ("0.0.0.0", "::")


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_binding(host: str, token: str | None) -> None:
    """Refuse an address that others reach without a token that they cannot guess.

    Raises:
        UsageError: no token, or a short one.
    """
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise UsageError(
            f"--token has {len(token)} characters: give at least {SHORTEST_TOKEN} that nobody can guess, "
            "e.g. of `openssl rand -hex 16`."
        )
    if token is None and not is_loopback(host):
        raise UsageError(
            f"--host {host}: other machines reach this address, so that anybody could search and change the "
            "index. Give a --token (or PERISPHERE_TOKEN), or leave --host out."
        )


def run(folder: Path, settings: Settings, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve the index in ``folder`` until SIGTERM or SIGINT; requests that were begun are answered.

    Args:
        folder: the index.
        settings: what the service may do.
        host: the address to listen at.
        port: the port; 0 takes a free one.
        say: is told where the service listens, once it does.

    Raises:
        UsageError: an address that others reach, without a token.
        PerisphereError: no index, or an address that cannot be listened at.
    """
    check_binding(host, settings.token)
    listening = _listening(host, port)
    # By its whole path, which cannot be mistaken for a word where it is left out of what clients are told.
    with listening, Index.open(folder.resolve()) as index:
        config = _config(create_app(index, settings), settings)
        server = _Server(config, lambda: say(_told(listening, settings)))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _noted)
        server.run(sockets=[listening])
        if not server.started:
            raise PerisphereError(f"{folder}: the service could not start. What it logged says why.")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Take a signal that uvicorn has acted upon, and passes on once the service has stopped."""


def _config(app: Any, settings: Settings) -> uvicorn.Config:
    access = logging.getLogger("perisphere.access")
    access.setLevel(logging.INFO if settings.log_requests else logging.WARNING)
    if not access.handlers:
        access.addHandler(logging.StreamHandler(sys.stderr))
        access.propagate = False
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(settings.drain_seconds),
    )


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        place = f"--host {host} --port {port}"
        raise PerisphereError(f"{place}: cannot be listened at ({reason}). Name another.") from error


def _told(listening: socket.socket, settings: Settings) -> str:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + ("?token=..., with the token," if settings.token is not None else "")

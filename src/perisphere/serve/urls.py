"""Photos by URL, from hosts that were allowed by name: https alone, no redirects, no private address.

The name is resolved once, every address that it has must be a public one, and the connection goes to the
address that was checked, so that a name cannot mean another machine a moment later.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from threading import Timer
from urllib.parse import urlsplit

from perisphere.serve.refused import RefusedError

SECONDS = 10.0
CHUNK = 1 << 16
SPECIAL = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23"))
)
"""Set apart by IANA's registries of special addresses, which not every Python knows."""
Resolve = Callable[[str], list[str]]


def fetch(
    url: str,
    hosts: Collection[str],
    most: int,
    *,
    seconds: float = SECONDS,
    resolve: Resolve | None = None,
    connect: Callable[[str, float], socket.socket] | None = None,
    context: ssl.SSLContext | None = None,
) -> bytes:
    """Return what lies at a URL.

    Args:
        url: where.
        hosts: names that may be asked.
        most: bytes, at most.
        seconds: for all of it.
        resolve: from a name to its addresses; the system's by default.
        connect: opens a connection to an address; to its port 443 by default.
        context: of TLS; certificates are checked by default.

    Raises:
        RefusedError: 403 for a URL that is not allowed, 422 for one that gives no photo in time.
    """
    host, path = allowed(url, hosts)
    deadline = time.monotonic() + seconds
    try:
        address = public_address((resolve or addresses_of)(host))
        plain = (connect or _connected)(address, seconds)
    except OSError as error:
        raise _failed(f"{host} cannot be reached") from error
    try:
        tls = context or ssl.create_default_context()
        with (
            tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False) as stream,
            _cut_off(stream, deadline),
        ):
            stream.do_handshake()
            return _body(_asked(stream, host, path), most, deadline)
    except (OSError, HTTPException) as error:
        plain.close()
        raise _failed(f"{host} does not answer as it should") from error


def allowed(url: str, hosts: Collection[str]) -> tuple[str, str]:
    """Return host and path of a URL that may be asked for.

    Raises:
        RefusedError: 403 for another scheme, port or host, or one with a user or strange characters.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise RefusedError(403, "this is no URL that can be asked for.") from None
    plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if parts.scheme != "https" or port not in (None, 443) or "@" in parts.netloc or not plain:
        raise RefusedError(403, "only https://HOST/... is asked for, without a port or a user.")
    if host not in {name.lower() for name in hosts}:
        raise RefusedError(403, f"the host {host!r} is not allowed; --allow-host names those that are.")
    return host, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def addresses_of(host: str) -> list[str]:
    """Return all addresses of a name."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)]


def public_address(addresses: Collection[str]) -> str:
    """Return the first of a host's addresses, where all of them are public.

    Raises:
        RefusedError: 403 for one that is private, loopback, link-local, reserved, or hides another address.
    """
    if not addresses or not all(map(is_public, addresses)):
        raise RefusedError(403, "this host has an address inside a private network, which is not asked.")
    return next(iter(addresses))


def is_public(text: str) -> bool:
    """Say whether an address belongs to the public internet, and hides no other address inside it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # with a zone, for instance
        return False
    odd = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_private
    if odd or not address.is_global or any(address in network for network in SPECIAL):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return (address.ipv4_mapped or address.sixtofour or address.teredo) is None
    return True


def _connected(address: str, seconds: float) -> socket.socket:
    return socket.create_connection((address, 443), timeout=seconds)


@contextmanager
def _cut_off(stream: ssl.SSLSocket, deadline: float) -> Iterator[None]:
    """End a connection at a moment: a host that sends a byte now and then never runs into a timeout."""

    def cut() -> None:
        with suppress(OSError):  # it has ended already
            socket.socket.shutdown(stream, socket.SHUT_RDWR)

    timer = Timer(deadline - time.monotonic(), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _asked(stream: ssl.SSLSocket, host: str, path: str) -> HTTPResponse:
    connection = HTTPSConnection(host)
    connection.sock = stream
    connection.request("GET", path, headers={"Accept": "image/*", "Accept-Encoding": "identity"})
    return connection.getresponse()


def _body(response: HTTPResponse, most: int, deadline: float) -> bytes:
    if response.status != 200:
        raise _failed(f"the host answers with status {response.status}; redirects are not followed")
    body = bytearray()
    while True:
        piece = response.read1(CHUNK)
        if time.monotonic() >= deadline:  # an end is then none of the photo
            raise _failed("the photo does not arrive in time")
        body += piece
        if len(body) > most:
            raise _failed(f"the photo has more than {most:,} bytes")
        if not piece:
            return bytes(body)


def _failed(reason: str) -> RefusedError:
    return RefusedError(422, f"the photo cannot be fetched: {reason}.")

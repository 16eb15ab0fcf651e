"""What a service may do, and how much of everything it takes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perisphere.encoder.runtimes.names import Runtime

MIB = 1 << 20


@dataclass(frozen=True)
class Settings:
    """What a service is started with.

    Attributes:
        name: what the page calls the index; by default the name of its folder.
        token: what every request has to show but ``/health`` and the page's own files; none: no token.
        hosts: names, besides those of this very machine, that a request may call the service by.
        any_address: whether it may be called by any IP address, as a service on all interfaces is.
        url_hosts: hosts whose photos may be searched for by their URL; none: no URLs.
        log_requests: whether each request is a line of the log.
        read_only: whether nothing can be added or removed.
        runtime: what runs the network: ``"torch"``, ``"openvino"``, ``"onnx"``; the encoder's own by default.
        body_bytes: of one request, at most.
        all_bodies_bytes: of all requests that are being read or answered, at most.
        body_seconds: that a request's body may take to arrive.
        pixels: of a photo that is sent, at most.
        side: pixels of the longer side that a sent photo is reduced to, where it has more.
        pictures_bytes: memory for photos of requests that are being answered, decoded, at most.
        uploads_bytes: memory for photos that were sent to be searched with; the oldest go first.
        uploads_seconds: how long they are kept.
        thumbnails_bytes: memory for thumbnails; the oldest go first.
        decoders: processes that decode photos.
        decode_seconds: that one photo may take.
        decode_bytes: address space of one of these processes.
        batch: queries that pass through the index, and the network, together, at most.
        waiting: queries that may wait; more are refused with 503.
        drain_seconds: that requests may take to finish once the service is asked to stop.
    """

    name: str = ""
    token: str | None = None
    hosts: frozenset[str] = frozenset()
    any_address: bool = False
    url_hosts: frozenset[str] = frozenset()
    log_requests: bool = True
    read_only: bool = False
    runtime: "Runtime | None" = None
    body_bytes: int = 32 * MIB
    all_bodies_bytes: int = 256 * MIB
    body_seconds: float = 30.0
    pixels: int = 50_000_000
    side: int = 2048
    pictures_bytes: int = 1024 * MIB
    uploads_bytes: int = 256 * MIB
    uploads_seconds: float = 3600.0
    thumbnails_bytes: int = 64 * MIB
    decoders: int = 2
    decode_seconds: float = 10.0
    decode_bytes: int = 3072 * MIB
    batch: int = 64
    waiting: int = 512
    drain_seconds: float = 10.0

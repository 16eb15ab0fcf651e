"""Photos by URL: from hosts that were allowed alone, and never from inside a private network."""

import contextlib
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.serve.refused import RefusedError
from perisphere.serve.urls import allowed, fetch, is_public, public_address

HOSTS = frozenset(["photos.example"])


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://photos.example/a/b.jpg?x=1", "/a/b.jpg?x=1"),
        ("https://PHOTOS.example:443", "/"),
        ("https://photos.example/a%20b.jpg#part", "/a%20b.jpg"),
    ],
)
def test_urls_of_allowed_hosts_pass(url: str, path: str) -> None:
    assert allowed(url, HOSTS) == ("photos.example", path)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://photos.example/a.jpg",
            "ftp://photos.example/a",
            "file:///etc/passwd",
            "//photos.example/a",
            "",
        ),
        *("https://photos.example:8443/a", "https://user@photos.example/a", "https://photos.example:x/a"),
        *(
            "https://evil.example/a",
            "https://photos.example.evil.example/",
            "https://evil.example/photos.example",
        ),
        *(
            "https://photos.example@evil.example/",
            "https://evil.example\\@photos.example/",
            "https://[::1]/a",
        ),
        *("https://photos.example/a b", "https://photos.example/\r\nHost: evil", "https://photos.example/é"),
        *(
            "https://127.0.0.1/",
            "https://photos.example./a",
            "gopher://photos.example",
            "https:photos.example/",
        ),
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(RefusedError) as refused:
        allowed(url, HOSTS)
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "192.0.0.8"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808", "2002:7f00:1::1"),
        *("2001:0:7f00:1::", "::127.0.0.1", "not an address", ""),
    ],
)
def test_no_address_inside_a_network_is_public(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(RefusedError):
        public_address(["93.184.216.34", address])


def test_addresses_of_the_internet_are_public() -> None:
    assert all(map(is_public, ["93.184.216.34", "8.8.8.8", "2606:4700::1111"]))
    assert public_address(["8.8.8.8", "2606:4700::1111"]) == "8.8.8.8"
    with pytest.raises(RefusedError):
        public_address([])


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_is_public_is_global_and_hides_nothing(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(str(address)):
        assert address.is_global
        inside = (address.is_private, address.is_loopback, address.is_link_local, address.is_multicast)
        assert not any(inside)
        assert not isinstance(address, ipaddress.IPv6Address) or address.ipv4_mapped is None


class Answers(BaseHTTPRequestHandler):
    """Answers by path."""

    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        type(self).asked.append((self.path, self.headers["Host"]))
        if self.path in ("/drip-head", "/drip-body"):
            self.drip()
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "https://photos.example/photo")
            self.end_headers()
            return
        self.send_response(200)
        body = b"x" * 5000 if self.path == "/large" else b"a photo"
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path == "/slow":
            threading.Event().wait(2)
        self.wfile.write(body)

    def drip(self) -> None:
        """Send a byte now and then, none of which comes too late for a timeout of one."""
        if self.path == "/drip-body":
            self.send_response(200)
            self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(100):
                self.wfile.write(b"x")
                threading.Event().wait(0.05)

    def log_message(self, *_: object) -> None:
        pass


class Host:
    """An https server on this machine that stands for ``photos.example``."""

    def __init__(self, folder: Path) -> None:
        key, certificate = folder / "key.pem", folder / "certificate.pem"
        names = ["-subj", "/CN=photos.example", "-addext", "subjectAltName=DNS:photos.example"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(
            ["openssl", "req", "-x509", *curve, *names, *files],
            check=True,
            capture_output=True,
        )
        Answers.asked = []
        self.server = HTTPServer(("127.0.0.1", 0), Answers)
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(certificate, key)
        self.server.socket = own.wrap_socket(self.server.socket, server_side=True)
        self.context = ssl.create_default_context(cafile=str(certificate))
        self.resolved: list[str] = []
        self.connected: list[str] = []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def resolve(self, host: str) -> list[str]:
        """Another address each time, as a host that rebinds its name would give."""
        self.resolved.append(host)
        return ["93.184.216.34" if len(self.resolved) == 1 else "127.0.0.1"]

    def connect(self, address: str, seconds: float) -> socket.socket:
        self.connected.append(address)
        return socket.create_connection(self.server.server_address[:2], timeout=seconds)

    def fetch(self, path: str, **options: float) -> bytes:
        self.resolved.clear()
        self.connected.clear()
        return fetch(
            f"https://photos.example{path}",
            HOSTS,
            1000,
            resolve=self.resolve,
            connect=self.connect,
            context=self.context,
            **options,
        )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate of the test's server, is not here")
    host = Host(tmp_path_factory.mktemp("host"))
    yield host
    host.server.shutdown()
    host.server.server_close()


def test_a_photo_is_fetched_from_the_address_that_was_checked(host: Host) -> None:
    assert host.fetch("/photo?x=1") == b"a photo"
    assert Answers.asked[-1] == ("/photo?x=1", "photos.example")
    assert (host.resolved, host.connected) == (["photos.example"], ["93.184.216.34"])


@pytest.mark.parametrize(
    ("path", "reason"), [("/moved", "status 302; redirects"), ("/large", "more than 1,000 bytes")]
)
def test_redirects_and_large_answers_are_refused(host: Host, path: str, reason: str) -> None:
    asked = len(Answers.asked)
    with pytest.raises(RefusedError, match=reason) as refused:
        host.fetch(path)
    assert refused.value.status == 422
    assert len(Answers.asked) == asked + 1


def test_a_slow_host_is_not_waited_for(host: Host) -> None:
    with pytest.raises(RefusedError, match=r"as it should|in time"):
        host.fetch("/slow", seconds=0.3)


@pytest.mark.parametrize("path", ["/drip-head", "/drip-body"])
def test_a_host_that_drips_is_cut_off(host: Host, path: str) -> None:
    started = time.monotonic()
    with pytest.raises(RefusedError, match=r"as it should|in time"):
        host.fetch(path, seconds=0.5)
    assert time.monotonic() - started < 3


def test_a_body_without_a_length_is_read_to_its_end(host: Host) -> None:
    assert host.fetch("/endless") == b"a photo"


def test_a_certificate_of_nobody_is_refused(host: Host) -> None:
    host.resolved.clear()
    with pytest.raises(RefusedError, match="as it should"):
        fetch("https://photos.example/a", HOSTS, 1000, resolve=host.resolve, connect=host.connect)


def test_a_host_with_a_private_address_is_not_connected_to(host: Host) -> None:
    host.connected.clear()
    with pytest.raises(RefusedError, match="private network"):
        fetch("https://photos.example/a", HOSTS, 9, resolve=lambda _: ["10.0.0.1"], connect=host.connect)
    assert host.connected == []

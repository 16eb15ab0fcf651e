"""The service as a process: where it listens, and how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from perisphere.cli import serve as cli
from perisphere.cli.main import app
from perisphere.errors import UsageError
from perisphere.serve.running import check_binding, is_loopback

LONG = "a-token-that-nobody-guesses"


@contextmanager
def serving(index: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yield a process of a service that listens, and its port."""
    command = [sys.executable, "-m", "perisphere", "serve", str(index), "--port", "0", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        try:
            assert found is not None, f"{line}{process.stderr.read() if process.stderr else ''}"
            yield process, int(found.group(1))
        finally:
            process.kill()


def answered(stream: socket.socket) -> bytes:
    """Read until the other end closes."""
    stream.settimeout(20)
    parts = []
    while part := stream.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def request(path: str, body: bytes = b"", *, method: str = "GET", close: bool = True) -> bytes:
    ends = "Connection: close\r\n" if close else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{ends}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_service_answers_drains_and_ends(served: Path) -> None:
    with serving(served) as (process, port):
        with socket.create_connection(("127.0.0.1", port)) as stream:
            stream.sendall(request("/health"))
            answer = answered(stream)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"server:" not in answer.lower()
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == "ok"
        with socket.create_connection(("127.0.0.1", port)) as slow:
            body = b'{"like": [{"id": 1}], "k": 2}'
            whole = request("/search", body, method="POST")
            slow.sendall(whole[:-5])  # begun before the service is asked to stop
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            slow.sendall(whole[-5:])
            answer = answered(slow)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["results"]) == 2
        out, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        assert out.endswith("stopped\n")
        lines = [json.loads(line) for line in errors.splitlines()]
        assert [(line["route"], line["status"]) for line in lines] == [("/health", 200), ("/search", 200)]
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), timeout=1)


def test_hostile_clients_are_turned_away(served: Path) -> None:
    with serving(served, "--upload-mib", "1", "--quiet") as (_, port):
        with socket.create_connection(("127.0.0.1", port)) as endless:
            endless.sendall(
                b"POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
            try:
                for _ in range(1000):
                    endless.sendall(chunk)
                pytest.fail("64 MiB were taken")
            except OSError:
                pass  # the service answered and closed
        with socket.create_connection(("127.0.0.1", port)) as rebound:
            rebound.sendall(b"GET /about HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
            assert answered(rebound).startswith(b"HTTP/1.1 403")
        with socket.create_connection(("127.0.0.1", port)) as twice:
            twice.sendall(b"GET /about HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
            assert answered(twice).startswith(b"HTTP/1.1 400")
        with socket.create_connection(("127.0.0.1", port)) as alive:
            alive.sendall(request("/health"))
            assert answered(alive).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_a_head_that_never_ends_is_not_waited_for(served: Path) -> None:
    with serving(served, "--quiet") as (_, port), socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: local")
        started = time.monotonic()
        assert answered(slow) == b""
        assert time.monotonic() - started < 19


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_this_machine_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    check_binding(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "", "::ffff:127.0.0.1"])
def test_a_public_address_needs_a_token_that_cannot_be_guessed(host: str) -> None:
    with pytest.raises(UsageError, match="--token"):
        check_binding(host, None)
    with pytest.raises(UsageError, match="at least 16"):
        check_binding(host, "short")
    check_binding(host, LONG)


def test_a_public_address_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["serve", str(tmp_path / "none"), "--host", "0.0.0.0"], env={"PERISPHERE_TOKEN": ""}
    )
    assert isinstance(result.exception, UsageError)
    assert "other machines reach this address" in str(result.exception)


def test_a_port_that_is_taken_is_one_line(served: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", str(served), "--port", str(port)])
    assert f"--port {port}: cannot be listened at" in str(result.exception)


def test_no_index_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["serve", str(tmp_path), "--port", "0"])
    assert "holds no index" in str(result.exception)


def test_the_folder_of_an_index_is_opened_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["serve", "none", "--port", "0"])
    assert str(tmp_path / "none") in str(result.exception)


def test_without_the_extra_it_is_named(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "NEEDED", ("json", "no_such_library"))
    result = CliRunner().invoke(app, ["serve", str(served)])
    assert "pip install 'perisphere[serve]'" in str(result.exception)

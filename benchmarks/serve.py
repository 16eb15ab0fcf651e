"""Benchmarks of the service, each against its target, on this machine alone.

python benchmarks/serve.py vectors [--rows 100000 --dim 512 --clients 16 --seconds 20] [--recall 0.99]
python benchmarks/serve.py images  --encoder ENCODER [--clients 16 --seconds 20]
python benchmarks/serve.py soak    [--minutes 5]        5 % adds and removes; memory at start and end
python benchmarks/serve.py cold    [--rows 100000]      from start to results on the screen of Chromium

The load comes from one process of its own: raw sockets that stay open, bodies made before, answers read to
their end and not parsed (of a soak: their status is). The service is `perisphere serve` as a user starts it.
"""

import argparse
import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

K = 10
BODIES = 512


@dataclass
class Load:
    """What clients saw.

    Attributes:
        seconds: how long they asked.
        latencies: seconds of each answer.
        errors: answers that were not as they should be, by status.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: dict[int, int] = field(default_factory=dict)

    def told(self, name: str) -> str:
        """Return a line of figures."""
        found = np.array(self.latencies)
        middle, high = np.percentile(found, [50, 99]) * 1000
        rate = len(found) / self.seconds
        errors = sum(self.errors.values())
        speed = f"{rate:,.0f} requests/s, p50 {middle:.1f} ms, p99 {high:.1f} ms"
        return f"{name}: {speed}, {errors} errors {self.errors or ''}"


def request(method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    """Return the bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def client(
    port: int, made: Callable[[], bytes], until: float, load: Load, expected: tuple[int, ...]
) -> None:
    """Ask again and again, one request at a time over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        start = time.perf_counter()
        writer.write(made())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None, head
        answer = await reader.readexactly(int(length.group(1)))
        load.latencies.append(time.perf_counter() - start)
        status = int(head[9:12])
        if status not in expected:
            load.errors[status] = load.errors.get(status, 0) + 1
            print(status, answer[:200], file=sys.stderr)
        note = getattr(made, "note", None)
        if note is not None:
            note(status, answer)
    writer.close()


def asked(
    port: int, makers: list[Callable[[], bytes]], seconds: float, expected: tuple[int, ...] = (200,)
) -> Load:
    """Return what clients saw, each of which asks what its maker makes."""
    load = Load()

    async def together() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(client(port, made, until, load, expected) for made in makers))

    start = time.perf_counter()
    asyncio.run(together())
    load.seconds = time.perf_counter() - start
    return load


class Bodies:
    """Requests that were made before, in turn."""

    def __init__(self, requests: list[bytes], start: int = 0) -> None:
        self.requests, self.place = requests, start

    def __call__(self) -> bytes:
        """Return the next request."""
        self.place += 1
        return self.requests[self.place % len(self.requests)]


class Changing(Bodies):
    """Of twenty requests one adds a vector, or removes the one that it added before."""

    def __init__(self, requests: list[bytes], additions: list[bytes], start: int) -> None:
        super().__init__(requests, start)
        self.additions, self.added, self.changing = additions, [], False

    def __call__(self) -> bytes:
        """Return the next request."""
        body = super().__call__()
        self.changing = self.place % 20 == 0
        if not self.changing:
            return body
        if self.added:
            return request("DELETE", f"/items/{self.added.pop()}")
        return self.additions[self.place % len(self.additions)]

    def note(self, status: int, answer: bytes) -> None:
        """Remember what was added."""
        if self.changing and status == 201:
            self.added.append(json.loads(answer)["ids"][0])


@contextmanager
def serving(index: Path, *options: str) -> Iterator[tuple[int, int, float]]:
    """Yield the port and the process of a service, and when it was started."""
    command = [
        str(Path(sys.executable).with_name("perisphere")),
        "serve",
        str(index),
        "--port",
        "0",
        "--quiet",
    ]
    started = time.perf_counter()
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r":(\d+)/", line)
        assert found is not None, line
        try:
            yield int(found.group(1)), process.pid, started
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def unit_rows(rows: int, dim: int) -> np.ndarray:
    """Points in clusters, like embeddings of photos."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((max(1, rows // 20), dim), dtype=np.float32)
    found = centres[random.integers(0, len(centres), rows)]
    found += random.standard_normal(found.shape, dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def make_index(folder: Path, rows: int, dim: int, recall: float | None) -> Path:
    """Make an index of generated vectors, with labels, captions and paths that do not exist."""
    from perisphere.index import Index

    table = pl.DataFrame(
        {
            "path": [f"class {row % 1000}/{row}.jpg" for row in range(rows)],
            "label": [f"class {row % 1000}" for row in range(rows)],
            "caption": [f"photo {row} of class {row % 1000}" for row in range(rows)],
        }
    )
    with Index.create(folder / "index", dim, recall=recall) as index:
        index.add(unit_rows(rows, dim), table, root=folder)
    return folder / "index"


def vector_bodies(dim: int, path: str = "/search") -> list[bytes]:
    """Return requests that search for vectors, or add them."""
    made = []
    for vector in unit_rows(BODIES, dim):
        values = [round(float(value), 6) for value in vector]
        asked = (
            {"like": [{"vector": values}], "k": K}
            if path == "/search"
            else {"vectors": [values], "rows": [{"label": "new"}]}
        )
        made.append(request("POST", path, json.dumps(asked).encode()))
    return made


def memory(pid: int) -> float:
    """Return the MiB of memory of a process and its children."""
    import psutil

    process = psutil.Process(pid)
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)]) / 2**20


def until_warm(port: int, body: bytes) -> None:
    """Wait for the first answer, and until the service has done what it does after its start."""
    first = asked(port, [Bodies([body])] * 4, 2.0)
    assert not first.errors, first.errors


def vectors(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = make_index(Path(folder), options.rows, options.dim, options.recall)
        bodies = vector_bodies(options.dim)
        with serving(index) as (port, pid, _):
            until_warm(port, bodies[0])
            makers = [Bodies(bodies, 31 * number) for number in range(options.clients)]
            load = asked(port, makers, options.seconds)
            print(
                load.told(
                    f"{options.rows:,} x {options.dim}, {options.clients} clients, recall {options.recall}"
                )
            )
            print(f"memory {memory(pid):,.0f} MiB  (target: 300 requests/s, p99 under 150 ms)")


def soak(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = make_index(Path(folder), options.rows, options.dim, options.recall)
        bodies, additions = vector_bodies(options.dim), vector_bodies(options.dim, "/items")
        with serving(index) as (port, pid, _):
            until_warm(port, bodies[0])
            for minute in range(options.minutes):
                makers = [Changing(bodies, additions, 31 * number) for number in range(options.clients)]
                load = asked(port, makers, 60, (200, 201))
                print(load.told(f"minute {minute + 1}"), f"memory {memory(pid):,.0f} MiB", flush=True)


def images(options: argparse.Namespace) -> None:
    """Compare photos that are sent with the bare encoder, which decodes and embeds the same files."""
    from perisphere.encoder import Encoder
    from perisphere.index import Index

    encoder = Encoder.load(options.encoder)
    with tempfile.TemporaryDirectory() as folder:
        files = photos(Path(folder), options.side)
        with Index.create(Path(folder) / "index", encoder=encoder) as index:
            index.add(encoder.encode(files), encoder_identity=encoder.identity)
        before = bare(encoder, files, options.seconds / 2)
        bodies = [request("POST", "/search", sent(file)) for file in files]
        with serving(Path(folder) / "index") as (port, _, _):
            until_warm(port, bodies[0])
            makers = [Bodies(bodies, 31 * number) for number in range(options.clients)]
            load = asked(port, makers, options.seconds)
        rate = len(load.latencies) / load.seconds
        again = bare(encoder, files, options.seconds / 2)
    bare_rate = (before + again) / 2
    print(load.told(f"{encoder.name}, photos of {options.side} pixels, {options.clients} clients"))
    print(f"bare encoder {before:.1f} and {again:.1f} photos/s; ratio {rate / bare_rate:.3f} (target 0.9)")


def photos(folder: Path, side: int) -> list[Path]:
    """Write JPEGs of smooth noise."""
    import cv2

    random = np.random.default_rng(0)
    files = []
    for number in range(64):
        small = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        files.append(folder / f"{number}.jpg")
        cv2.imwrite(str(files[-1]), cv2.resize(small, (side, side * 3 // 4), interpolation=cv2.INTER_CUBIC))
    return files


def sent(file: Path) -> bytes:
    """Return the body of a search with a photo."""
    import base64

    return json.dumps({"like": [{"image": base64.b64encode(file.read_bytes()).decode()}], "k": K}).encode()


def bare(encoder: object, files: list[Path], seconds: float) -> float:
    """Return how many files a second the encoder alone decodes and embeds, all at once."""
    encoder = encoder.standing()  # type: ignore[attr-defined]
    encoder.encode(files[:8])
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        done += len(encoder.encode(files))
    return done / (time.perf_counter() - start)


def answered(port: int, asked_for: bytes) -> bytes:
    """Return the first bytes of an answer."""
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.sendall(asked_for)
        return stream.recv(1 << 16)


@contextmanager
def browser() -> Iterator[Callable[[str], None]]:
    """Yield what opens an address in Chromium and waits until results are on the screen."""
    import shutil

    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]) as chromium,
    ):

        def opened(address: str) -> None:
            page = chromium.new_page()
            page.goto(address)
            page.locator(".card .score").first.wait_for()
            page.close()

        yield opened


def cold(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, browser() as opened:
        index = make_index(Path(folder), options.rows, options.dim, options.recall)
        for _ in range(3):
            with serving(index) as (port, _, started):
                opened(f"http://127.0.0.1:{port}/#like=id:17")
                seconds = time.perf_counter() - started
                print(f"results of a search on the screen {seconds:.2f} s after the start (target 5 s)")
        body = vector_bodies(options.dim)[0]
        for attempt in range(3):
            with serving(index) as (port, _, started):
                listening = time.perf_counter() - started
                for asked_for in (request("GET", "/"), request("GET", "/about"), body):
                    answer = answered(port, asked_for)
                    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404")), answer[:200]
                first = time.perf_counter() - started
                told = f"listens after {listening:.2f} s, page and first answer after {first:.2f} s"
                print(f"start {attempt + 1}: {told}")
        print("target: first answer within 5 s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark", choices=["vectors", "images", "soak", "cold"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--minutes", type=int, default=5)
    parser.add_argument("--recall", type=float)
    parser.add_argument("--encoder", type=Path, help="for images")
    parser.add_argument("--side", type=int, default=500, help="pixels of the photos' longer side")
    options = parser.parse_args()
    if options.benchmark == "images" and options.encoder is None:
        parser.error("images: name the encoder of the index with --encoder.")
    # The clients are another process, so that their work is none of this one's memory or time.
    {"vectors": vectors, "images": images, "soak": soak, "cold": cold}[options.benchmark](options)


if __name__ == "__main__":
    main()

"""``perisphere serve``: an index behind HTTP, with a page."""

import os
from pathlib import Path
from typing import Annotated

import typer

from perisphere.cli.main import app
from perisphere.cli.runtimes import RUNTIME
from perisphere.errors import PerisphereError
from perisphere.serve.settings import Settings

NEEDED = ("fastapi", "uvicorn", "multipart", "prometheus_client")


@app.command("serve")
def serve(
    index: Annotated[Path, typer.Argument(help="The index.", show_default=False)],
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="PERISPHERE_TOKEN",
            help="What every request has to show; needed where other machines reach the address.",
        ),
    ] = None,
    host_name: Annotated[
        list[str] | None,
        typer.Option(help="A name that the service is called by besides its address, e.g. behind a proxy."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A host whose photos may be searched for by URL (https); by default none."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="What the page calls the index.")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Nothing can be added or removed.")] = False,
    runtime: RUNTIME = None,
    upload_mib: Annotated[int, typer.Option(min=1, max=1024, help="MiB of one request, at most.")] = 32,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log no requests.")] = False,
) -> None:
    """Serve an index: a page to search with, and the same over HTTP.

    Only this machine reaches the service unless --host says otherwise, which takes a --token. SIGTERM ends it
    once the requests that were begun are answered. /openapi.json describes all requests.

    **Examples**

    `perisphere serve index`

    `PERISPHERE_TOKEN=$(openssl rand -hex 16) perisphere serve index --host 0.0.0.0 --read-only`

    `perisphere serve index --port 9000 --runtime openvino --allow-host upload.wikimedia.org`
    """
    _check_installed()
    from perisphere.serve.batches import THREADS

    # The cores are shared among the threads that answer. Those of one search or network wait for each other,
    # which takes long where the rest of the service needs the processor too; they must not spin meanwhile.
    # Read when FAISS and torch are loaded.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // THREADS)))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from perisphere.serve.running import EVERYWHERE, run

    settings = Settings(
        name=title or "",
        token=token,
        hosts=frozenset([host, *(host_name or [])]),
        any_address=host in EVERYWHERE,
        url_hosts=frozenset(allow_host or []),
        read_only=read_only,
        runtime=runtime,
        body_bytes=upload_mib << 20,
        log_requests=not quiet,
    )
    run(index, settings, host, port, lambda where: typer.echo(f"serving {index} at {where}"))
    typer.echo("stopped")


def _check_installed() -> None:
    from importlib.util import find_spec

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise PerisphereError(
            f"the service needs {missing[0]}, which is not installed: pip install 'perisphere[serve]'."
        )

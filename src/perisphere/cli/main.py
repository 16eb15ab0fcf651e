"""The command ``perisphere``: one verb a file, errors in one line, exit codes 0, 1 and 2."""

import os
import sys
import traceback
from typing import Annotated

import typer
from rich.console import Console

from perisphere import __version__
from perisphere.errors import PerisphereError, UsageError

app = typer.Typer(
    name="perisphere",
    help="Learn, compress and search image embeddings on the unit sphere.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"perisphere {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Learn, compress and search image embeddings on the unit sphere."""
    if debug:
        os.environ["PERISPHERE_DEBUG"] = "1"


def main() -> None:
    """Run the command line; a :class:`PerisphereError` becomes one line on stderr."""
    try:
        code = app(standalone_mode=True)
    except PerisphereError as error:
        if os.environ.get("PERISPHERE_DEBUG"):
            traceback.print_exc()
        Console(stderr=True, soft_wrap=True, highlight=False).print("[red]error:[/red] ", end="")
        print(" ".join(str(error).split("\n")), file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    sys.exit(code)

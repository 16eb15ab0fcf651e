"""The command ``perisphere``: one verb a file, errors in one line, exit codes 0, 1 and 2."""

import os
import re
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from perisphere import __version__
from perisphere.errors import PerisphereError, UsageError

ROAD = (
    *("demo", "scenes", "read", "split", "crop", "show", "train", "recipes", "weights"),
    *("encoder", "embed", "index", "search"),
)


WRONG_WORDS: Any = typer.BadParameter.__mro__[1]
"""Typer's class of all errors of usage, which it does not export under its own name."""


class Verbs(TyperGroup):
    """Lists the commands in the order of the data's way, then the others."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return sorted(self.commands, key=lambda verb: ROAD.index(verb) if verb in ROAD else len(ROAD))


app = typer.Typer(
    name="perisphere",
    cls=Verbs,
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
    """Run the command line; an error becomes one line on stderr, with a traceback only under ``--debug``."""
    try:
        sys.exit(app(standalone_mode=False))
    except PerisphereError as error:
        _fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except typer.Abort:
        _fail("interrupted.", 130)
    except WRONG_WORDS as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            sys.exit(2)
        path = f"{error.ctx.command_path} " if error.ctx else "perisphere "
        _fail(f"{error.format_message()} See `{path}--help`.", 2)
    except Exception as error:
        _fail(f"{type(error).__name__}: {error}. This is a defect of Perisphere; --debug shows where.", 1)


def _fail(message: str, code: int) -> None:
    if os.environ.get("PERISPHERE_DEBUG"):
        traceback.print_exc()
    # A file name that is not UTF-8 reads the same in every message.
    message = re.sub("[\udc80-\udcff]", lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", message)
    print("error:", " ".join(message.split()), file=sys.stderr)
    sys.exit(code)


# Each verb registers itself on ``app``, which must exist by now.
from perisphere.cli import (  # noqa: E402, F401
    classify,
    codes,
    concepts,
    crop,
    demo,
    embed,
    encoder,
    encoder_export,
    evaluate,
    index,
    index_sync,
    inference,
    map,
    match,
    read,
    recipes,
    scenes,
    search,
    segment,
    serve,
    show,
    split,
    tag,
    tags,
    taxonomy,
    taxonomy_forms,
    train,
    weights,
)

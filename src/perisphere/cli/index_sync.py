"""``perisphere index sync``: an index follows a folder of photos."""

import json
import time
from collections.abc import Callable, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perisphere.cli.index import INDEX, JSON, index
from perisphere.cli.runtimes import RUNTIME
from perisphere.cli.search import printable
from perisphere.errors import PerisphereError, UsageError

if TYPE_CHECKING:
    from perisphere.index import Index
    from perisphere.index.sync import Entry, Near, Synced

SHOWN = 10  # photos of each kind that are named on the screen; --json names all
AGAIN = 30.0  # seconds after which a sync that failed is tried again while watching


@index.command("sync")
def sync_folder(
    folder: INDEX,
    photos: Annotated[Path, typer.Argument(help="The folder of photos.", show_default=False)],
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on whenever something among the photos changes, until Ctrl-C.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    threshold: Annotated[
        float, typer.Option(help="Least cosine of a near-duplicate of a new photo, up to 1.")
    ] = 0.98,
    duplicates: Annotated[
        bool, typer.Option("--duplicates/--no-duplicates", help="Look for near-duplicates of new photos.")
    ] = True,
    runtime: RUNTIME = None,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Take all photos out where the folder holds none any more.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Bring an index up to date with a folder: new, changed, moved and deleted photos.

    Photos are told by size, time and, where these differ, by their bytes. Only new and changed photos are
    embedded. A photo that was moved or renamed keeps its id; a changed one gets a new id. Killed? The same
    command completes it. With --watch one line is printed for each batch of changes (with --json one object).

    **Examples**

    `perisphere index sync index photos --dry-run`

    `perisphere index sync index photos`

    `perisphere index sync index photos --watch`
    """
    from perisphere.index import Index
    from perisphere.index.sync import sync

    if watch and dry_run:
        raise UsageError("--dry-run tells what one sync would do: leave --watch out.")

    def once(opened: Index) -> "Synced":
        found = threshold if duplicates else None
        return sync(
            opened, photos, threshold=found, runtime=runtime, dry_run=dry_run, allow_empty=allow_empty
        )

    with Index.open(folder) as opened:
        if watch:
            _follow(opened, photos, lambda: once(opened), as_json)
            return
        told = once(opened)
    if as_json:
        typer.echo(json.dumps(told.to_dict()))
    else:
        _show(told)


def _follow(opened: "Index", photos: Path, once: Callable[[], "Synced"], as_json: bool) -> None:
    """Sync after each batch of changes until the user interrupts; what fails is tried again."""
    from perisphere.index.watch import changes

    typer.echo(f"watching {printable(str(photos))}; Ctrl-C ends it", err=True)
    failed, again, unreadable = "", 0.0, list[tuple[str, str]]()
    try:
        for some in changes(photos, without=opened.folder):
            if not some and (not failed or time.monotonic() < again):
                continue
            try:
                told = once()
            except PerisphereError as error:
                if str(error) != failed:
                    typer.echo(f"error: {printable(str(error))}", err=True)
                failed, again = str(error), time.monotonic() + AGAIN
                continue
            failed, again = "unsettled" if told.unsettled else "", time.monotonic()
            if told.changes or told.unreadable != unreadable:
                typer.echo(json.dumps(told.to_dict()) if as_json else f"{time.strftime('%X')}  {_line(told)}")
            unreadable = told.unreadable
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)


def _line(told: "Synced") -> str:
    counts: dict[str, Sized] = {
        "new": told.new,
        "changed": told.changed,
        "moved": told.moved,
        "relabelled": told.relabelled,
        "removed": told.removed,
        "unreadable": told.unreadable,
        "still changing": told.unsettled,
        "near-duplicates": told.near,
    }
    words = [f"{len(found):,} {name}" for name, found in counts.items() if found]
    return f"{', '.join([*words, f'{told.same:,} as before'])}; {told.images:,} images"


def _show(told: "Synced") -> None:
    for name, entries in (
        ("new", told.new),
        ("changed", told.changed),
        ("moved", told.moved),
        ("relabelled", told.relabelled),
        ("removed", told.removed),
    ):
        _some(name, [_entry(entry) for entry in entries])
    _some("unreadable", [f"{printable(path)}: {printable(reason)}" for path, reason in told.unreadable])
    _some("still changing", [printable(path) for path in told.unsettled])
    _some("near-duplicate", [_near(near) for near in told.near])
    typer.echo(("would be: " if told.dry_run else "") + _line(told))


def _some(name: str, lines: list[str]) -> None:
    for line in lines[:SHOWN]:
        typer.echo(f"{name:14}  {line}")
    if len(lines) > SHOWN:
        typer.echo(f"{name:14}  ... {len(lines) - SHOWN:,} more")


def _entry(entry: "Entry") -> str:
    ids = "" if not entry.ids else f"  (id {', '.join(map(str, entry.ids))})"
    was = "" if not entry.was else f"  (was id {', '.join(map(str, entry.was))})"
    origin = "" if entry.came_from is None else f"{printable(entry.came_from)} -> "
    return f"{origin}{printable(entry.path)}{ids}{was}"


def _near(near: "Near") -> str:
    other = printable(near.near_path or "-")
    return f"{printable(near.path)}  (id {near.id})  {near.score:.4f}  {other}  (id {near.near})"

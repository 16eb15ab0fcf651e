"""``perisphere show``: what is in a catalog, an encoder or an index."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError


@app.command("show")
def show(
    path: Annotated[Path, typer.Argument(help="A catalog, encoder or index folder.")],
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Draw a contact sheet of a catalog (.jpg, .png, .webp).")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, max=200, help="Rows of the sheet at most.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Which photos the sheet shows.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show what is in a catalog, an encoder or an index: counts, sizes, a contact sheet.

    **Examples**

    `perisphere show catalog --sheet catalog.jpg`

    `perisphere show encoder --json`

    `perisphere show index`
    """
    kind = _kind(path)
    if sheet is not None and kind != "catalog":
        raise UsageError(f"--sheet: {path} is an {kind}, and a contact sheet shows a catalog. Leave it out.")
    if kind == "catalog":
        _show_catalog(path, sheet, classes, seed, as_json)
    else:
        facts = _encoder(path) if kind == "encoder" else _index(path)
        typer.echo(json.dumps(facts, indent=2, default=str) if as_json else "\n".join(_flat(facts)))


def _kind(path: Path) -> str:
    """Tell by the one file that each kind of folder always holds."""
    marks = {"catalog.json": "catalog", "encoder.json": "encoder", "index.sqlite": "index"}
    if not path.exists():
        raise PerisphereError(f"{path}: no such folder.")
    for mark, kind in marks.items():
        if (path / mark).is_file():
            return kind
    raise PerisphereError(
        f"{path}: neither a catalog, an encoder nor an index (none of {', '.join(marks)} in it)."
    )


def _show_catalog(path: Path, sheet: Path | None, classes: int, seed: int, as_json: bool) -> None:
    from perisphere.catalog import Catalog
    from perisphere.catalog.summary import summary
    from perisphere.cli.catalog_text import print_summary

    catalog = Catalog.load(path)
    facts = summary(catalog)
    if sheet is not None:
        from perisphere.catalog.contact_sheet import save_contact_sheet

        save_contact_sheet(catalog, sheet, title=catalog.root.name, classes=classes, seed=seed)
        facts["sheet"] = str(sheet)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    print_summary(str(path), facts)
    if sheet is not None:
        typer.echo(f"sheet  {sheet}")


def _encoder(path: Path) -> dict[str, Any]:
    file = path / "encoder.json"
    try:
        facts = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PerisphereError(f"{file}: cannot be read ({error}). Write the encoder again.") from error
    if not isinstance(facts, dict):
        raise PerisphereError(f"{file}: not the facts of an encoder. Write the encoder again.")
    return facts


def _index(path: Path) -> dict[str, Any]:
    from perisphere.index import Index

    with Index.open(path) as index:
        return index.info()


def _flat(facts: dict[str, Any], above: str = "") -> list[str]:
    """Return one line a value, its name the path of keys that leads to it."""
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            lines += _flat(value, f"{above}{name}.")
        elif value not in (None, {}, []):
            lines.append(f"{above + name:28} {value}")
    return lines

"""``perisphere show``: what is in a catalog, an encoder, embeddings or an index."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError


@app.command("show")
def show(
    path: Annotated[Path, typer.Argument(help="A catalog, encoder, embeddings or index folder.")],
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Draw a contact sheet of a catalog (.jpg, .png, .webp).")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=1, max=200, help="Rows of the sheet at most; 12 if not given.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Which photos the sheet shows.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show what is in a catalog, an encoder, embeddings or an index: counts, sizes, a contact sheet.

    **Examples**

    `perisphere show catalog --sheet catalog.jpg`

    `perisphere show encoder --json`

    `perisphere show vectors`

    `perisphere show index`
    """
    kind = _kind(path)
    if sheet is not None and kind != "catalog":
        raise UsageError(f"--sheet: {path} holds an {kind}; a contact sheet shows a catalog. Leave it out.")
    for option, value in (("--classes", classes), ("--seed", seed)):
        if value is not None and sheet is None:
            raise UsageError(f"{option} {value}: goes with --sheet FILE, which is missing.")
    if kind == "catalog":
        _show_catalog(path, sheet, 12 if classes is None else classes, seed or 0, as_json)
    else:
        facts = {"encoder": _encoder, "embedding": _embeddings, "index": _index}[kind](path)
        typer.echo(json.dumps(facts, indent=2, default=str) if as_json else "\n".join(_flat(facts)))


def _kind(path: Path) -> str:
    """Tell by the one file that each kind of folder always holds."""
    marks = {
        "catalog.json": "catalog",
        "encoder.json": "encoder",
        "embeddings.json": "embedding",
        "index.sqlite": "index",
    }
    if not path.exists():
        raise PerisphereError(f"{path}: no such folder.")
    for mark, kind in marks.items():
        if (path / mark).is_file():
            return kind
    raise PerisphereError(
        f"{path}: neither a catalog, an encoder, embeddings nor an index (none of {', '.join(marks)} in it)."
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
    return facts | _models(path)


def _models(path: Path) -> dict[str, Any]:
    """Return what was exported of an encoder, as it was measured then."""
    from perisphere.encoder.runtimes.exported import manifest
    from perisphere.encoder.runtimes.places import models_in

    told = {folder.name: manifest(folder).told() for folder in models_in(path)}
    return {"runtimes": told} if told else {}


def _embeddings(path: Path) -> dict[str, Any]:
    from perisphere.encoder import Embeddings

    embeddings = Embeddings.load(path)
    splits = embeddings.rows["split"].drop_nulls().value_counts(sort=True)
    return {
        "rows": len(embeddings),
        "dim": embeddings.dim,
        "classes": embeddings.rows["label"].drop_nulls().n_unique(),
        "splits": dict(splits.iter_rows()),
        "root": str(embeddings.root),
        "encoder": embeddings.encoder,
        "run": embeddings.run,
        "skipped": len(embeddings.skipped),
    }


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

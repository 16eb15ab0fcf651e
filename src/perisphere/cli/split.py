"""``perisphere split``: stratified, seeded splits of a catalog."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError

if TYPE_CHECKING:
    from perisphere.catalog.split import Division

SHOWN = 10  # small classes named on the screen; --json names all


@app.command("split")
def split(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder, from `perisphere read`.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The new catalog folder.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Also write a CSV file.")] = None,
    csv_style: Annotated[
        Literal["catalog", "pairs"],
        typer.Option(help="All columns, or only image_path,class_image."),
    ] = "catalog",
    folders: Annotated[
        Path | None, typer.Option("--folders", help="Also write DIR/SPLIT/CLASS/IMAGE.")
    ] = None,
    link: Annotated[
        Literal["symlink", "hard", "copy"] | None,
        typer.Option(help="What --folders is made of; symlink if not given."),
    ] = None,
    train: Annotated[float | None, typer.Option(help="Fraction for training.")] = None,
    val: Annotated[float | None, typer.Option(help="Fraction for validation.")] = None,
    test: Annotated[float | None, typer.Option(help="Fraction for testing.")] = None,
    query: Annotated[float | None, typer.Option(help="Fraction for queries.")] = None,
    gallery: Annotated[float | None, typer.Option(help="Fraction for the gallery.")] = None,
    index: Annotated[float | None, typer.Option(help="Fraction for the index.")] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="documented, coded, overlapping, seventy-thirty or tenth; see below."),
    ] = None,
    rounding: Annotated[
        Literal["largest", "published"],
        typer.Option(help="By largest remainder, or as the preset's published program."),
    ] = "largest",
    seed: Annotated[int, typer.Option(min=0, help="Of the shuffle.")] = 0,
    of: Annotated[str | None, typer.Option("--of", help="Divide only this split.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Forget the splits there are.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Divide a catalog into splits, every class in the same proportions.

    Without a fraction: train .6, val .1, test .2, index .1. Where fractions are given the others are 0, and
    what they leave of 1 is in no split. Classes too small for every split are named.

    Presets: `documented` (train, val, test, index 60/10/20/10), `coded` (60/10/10/20), `overlapping`
    (80/10/10, and an index of 20 drawn again from train and val), `seventy-thirty` (test, index) and `tenth`
    (train, test 90/10).

    **Examples**

    `perisphere split catalog -o divided`

    `perisphere split catalog --train .8 --test .2 --seed 7 -o divided --csv divided.csv`

    `perisphere split catalog --preset coded --folders divided --link copy`

    `perisphere split catalog --preset overlapping --rounding published -o divided`

    `perisphere split catalog --of train --train .9 --val .1 -o with-val`
    """
    given = {"train": train, "val": val, "test": test, "query": query, "gallery": gallery, "index": index}
    fractions = {name: value for name, value in given.items() if value is not None}
    if not (out or csv or folders):
        raise UsageError("split: nothing to write. Give -o CATALOG, --csv FILE or --folders DIR.")
    if link is not None and folders is None:
        raise UsageError(f"--link {link}: goes with --folders DIR, which is missing.")
    if csv_style == "pairs" and csv is None:
        raise UsageError("split: --csv-style says how --csv FILE is written; give that too.")
    _refuse_existing([out, csv, folders], overwrite)

    from perisphere.catalog import Catalog
    from perisphere.catalog.presets import preset as named
    from perisphere.catalog.split import split as divide

    if preset is not None and fractions:
        raise UsageError(f"split: --preset and --{next(iter(fractions))} exclude each other. Leave one out.")
    chosen = named(preset) if preset is not None else fractions or None
    division = divide(Catalog.load(catalog), chosen, seed=seed, of=of, replace=replace, rounding=rounding)
    written = _write(division, out, csv, csv_style, folders, link or "symlink", overwrite)
    _report(division, written, as_json)


def _refuse_existing(targets: list[Path | None], overwrite: bool) -> None:
    """Refuse before anything is written, so that no half of the targets is."""
    for target in targets:
        if target is not None and target.exists() and not overwrite:
            raise PerisphereError(f"{target}: exists already. Name another, or pass --overwrite.")


def _write(
    division: "Division",
    out: Path | None,
    csv: Path | None,
    csv_style: Literal["catalog", "pairs"],
    folders: Path | None,
    link: Literal["symlink", "hard", "copy"],
    overwrite: bool,
) -> list[str]:
    from perisphere.catalog.export import write_csv, write_folders, write_pairs

    if folders is not None:
        write_folders(division.catalog, folders, link=link, overwrite=overwrite)
    if csv is not None:
        (write_csv if csv_style == "catalog" else write_pairs)(division.catalog, csv)
    if out is not None:
        division.catalog.save(out, overwrite=overwrite)
    return [str(target) for target in (out, csv, folders) if target is not None]


def _report(division: "Division", written: list[str], as_json: bool) -> None:
    from dataclasses import asdict

    from perisphere.catalog.summary import summary

    splits: dict[str, Any] = summary(division.catalog)["splits"]
    if as_json:
        small = [asdict(item) for item in division.small]
        typer.echo(json.dumps({"written": written, "splits": splits, "small_classes": small}, indent=2))
        return
    for name, counts in splits.items():
        typer.echo(f"{name or 'no split':10} {counts['images']:>8,} images  {counts['classes']:>6,} classes")
    for item in division.small[:SHOWN]:
        name = "images without a label" if item.label is None else f"class {item.label!r}"
        typer.echo(
            f"{name}: {item.images} image{'s' * (item.images != 1)}, none for {', '.join(item.without)}"
        )
    if len(division.small) > SHOWN:
        typer.echo(f"... and {len(division.small) - SHOWN:,} more classes too small for every split (--json)")
    typer.echo(f"written: {', '.join(written)}")

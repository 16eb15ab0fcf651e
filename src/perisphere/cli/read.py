"""``perisphere read``: a published layout on disk to a catalog."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError

SHOWN = 5  # skipped files named on the screen; the rest stand in catalog.json
_COLUMN = "Columns of a table (csv; tags takes --images, --separator and --delimiter)"
_PART = "Part of a data set (cifar100, cub, cars, inat)"
_CONCEPTS = "Tags and concepts (flickr25k, nuswide, mirflickr, nuswide-original, hashing-lists)"
_PAIRS = "Re-identification and fashion (cuhk03, fashion, deepfashion)"
_TREE = "Landmarks (wikiscenes, wikiscenes-masks, correspondences)"
_TRUTH = "Files of a benchmark (oxford5k, paris6k, revisited, distractors, gldv2)"


@app.command("read")
def read(
    format: Annotated[str | None, typer.Argument(help="folders, names, oxford5k ...; see --list.")] = None,
    root: Annotated[Path | None, typer.Argument(help="The folder, or the CSV file.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The catalog folder to write.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Name every format and its layout.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="A bad image is an error, not a skip.")] = False,
    workers: Annotated[int, typer.Option(min=0, max=1024, help="Checking threads; 0: one a core.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older catalog.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder that the paths start from; the table's own. Also the photos of street2shop.",
            rich_help_panel=_COLUMN,
        ),
    ] = None,
    path_column: Annotated[str | None, typer.Option(help="Image path.", rich_help_panel=_COLUMN)] = None,
    label_column: Annotated[str | None, typer.Option(help="Label.", rich_help_panel=_COLUMN)] = None,
    split_column: Annotated[str | None, typer.Option(help="Split.", rich_help_panel=_COLUMN)] = None,
    camera_column: Annotated[str | None, typer.Option(help="Camera.", rich_help_panel=_COLUMN)] = None,
    domain_column: Annotated[str | None, typer.Option(help="Domain.", rich_help_panel=_COLUMN)] = None,
    tags_column: Annotated[str | None, typer.Option(help="Tags.", rich_help_panel=_COLUMN)] = None,
    caption_column: Annotated[str | None, typer.Option(help="Caption.", rich_help_panel=_COLUMN)] = None,
    categories_column: Annotated[
        str | None, typer.Option(help="Category path, root first.", rich_help_panel=_COLUMN)
    ] = None,
    concepts_column: Annotated[
        str | None, typer.Option(help="What the photo truly shows.", rich_help_panel=_COLUMN)
    ] = None,
    url_column: Annotated[str | None, typer.Option(help="Address.", rich_help_panel=_COLUMN)] = None,
    box_columns: Annotated[
        str | None, typer.Option(help="left,top,right,bottom in pixels.", rich_help_panel=_COLUMN)
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(help="Parts tags, categories, concepts; | by default.", rich_help_panel=_COLUMN),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Parts columns; found by itself.", rich_help_panel=_COLUMN)
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Ground truth: gnd_*.pkl or .json, folder of text files, or CSV.", rich_help_panel=_TRUTH
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(help="Text file of the photos' names (distractors).", rich_help_panel=_TRUTH),
    ] = None,
    subset: Annotated[
        str | None, typer.Option(help="cifar100: a, b or b-consec.", rich_help_panel=_PART)
    ] = None,
    per_class: Annotated[
        int | None,
        typer.Option(help="cub: the split of train_test_split_N.txt.", rich_help_panel=_PART),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            help="cub: rows of each training photo; 30 / N with --per-class N.", rich_help_panel=_PART
        ),
    ] = None,
    year: Annotated[
        int | None, typer.Option(help="inat: 2018 or 2019, where both are there.", rich_help_panel=_PART)
    ] = None,
    supercategory: Annotated[
        str | None, typer.Option(help="inat: such as Aves; all if not given.", rich_help_panel=_PART)
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            help="cars: the MATLAB file; cars_annos.mat. mirflickr: the folder of them.",
            rich_help_panel=_PART,
        ),
    ] = None,
    concepts: Annotated[
        Path | None, typer.Option(help="Names of the concepts, one a line.", rich_help_panel=_CONCEPTS)
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(help="mirflickr: potential, relevant or all.", rich_help_panel=_CONCEPTS),
    ] = None,
    tag_list: Annotated[
        str | None,
        typer.Option(help="nuswide-original: all that users typed, or 1k.", rich_help_panel=_CONCEPTS),
    ] = None,
    without_photos: Annotated[
        bool | None,
        typer.Option(
            "--without-photos",
            help="hashing-lists, wikiscenes: keep rows without looking for their photos.",
            rich_help_panel=_CONCEPTS,
        ),
    ] = None,
    boxes: Annotated[
        str | None, typer.Option(help="cuhk03: detected or labeled.", rich_help_panel=_PAIRS)
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(help="fashion: COCO file of the training photos; train*.json.", rich_help_panel=_PAIRS),
    ] = None,
    query: Annotated[
        Path | None,
        typer.Option(help="fashion: COCO file of the queries; query*.json.", rich_help_panel=_PAIRS),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(help="fashion: COCO file of the gallery; gallery*.json.", rich_help_panel=_PAIRS),
    ] = None,
    high_res: Annotated[
        bool | None,
        typer.Option("--high-res", help="deepfashion: the photos of img_highres.", rich_help_panel=_PAIRS),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Folder of WikiScenes, such as cathedrals.", rich_help_panel=_TREE),
    ] = None,
    lists: Annotated[
        Path | None, typer.Option(help="Folder of the lists; data in ROOT.", rich_help_panel=_TREE)
    ] = None,
    correspondences: Annotated[
        Path | None,
        typer.Option(help="File of keypoints or matches, in ROOT by default.", rich_help_panel=_TREE),
    ] = None,
    colmap: Annotated[
        Path | None,
        typer.Option(help="wikiscenes: folder of COLMAP's text models.", rich_help_panel=_TREE),
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="wikiscenes: folder of label images.", rich_help_panel=_TREE)
    ] = None,
) -> None:
    """Read a folder of photos or a table into a catalog.

    Every image is decoded once. What cannot be used is left out, counted by reason and listed in
    `catalog.json`; with `--strict` the first bad image is an error.

    Photos that a data set keeps in arrays (CIFAR) are unpacked as PNG files into the catalog's folder. Where
    classes have ids, `classes.txt` in it says which label each has, for `--names` beside a taxonomy.

    **Examples**

    `perisphere read folders photos -o catalog`

    `perisphere read csv list.csv -o catalog --path-column file --label-column place`

    `perisphere read images holiday -o catalog --json`

    `perisphere read revisited roxford5k -o catalog`

    `perisphere read cifar100 cifar-100-python -o cifar100`

    `perisphere read inat inat2018 -o birds --supercategory Aves`

    `perisphere read tags tagged -o catalog`

    `perisphere read wikiscenes towers -o catalog`

    `perisphere read market1501 Market-1501-v15.09.15 -o market`

    `perisphere read --list`
    """
    given = {
        "images": images, "path_column": path_column, "label_column": label_column,
        "split_column": split_column, "camera_column": camera_column, "domain_column": domain_column,
        "tags_column": tags_column, "caption_column": caption_column, "categories_column": categories_column,
        "concepts_column": concepts_column, "url_column": url_column, "box_columns": box_columns,
        "separator": separator, "delimiter": delimiter, "truth": truth, "names": names, "subset": subset,
        "per_class": per_class, "repeats": repeats, "year": year, "supercategory": supercategory,
        "annotations": annotations, "boxes": boxes, "train": train, "query": query, "gallery": gallery,
        "high_res": high_res, "concepts": concepts, "variant": variant, "tag_list": tag_list,
        "without_photos": without_photos, "kind": kind, "lists": lists, "correspondences": correspondences,
        "colmap": colmap, "masks": masks,
    }  # fmt: skip
    if listed:
        _print_formats(as_json)
        return
    if format is None or root is None or out is None:
        lacking = "FORMAT" if format is None else "ROOT" if root is None else "-o CATALOG"
        raise UsageError(
            f"read: {lacking} is missing. For example: perisphere read folders photos -o catalog"
        )
    options = {name: value for name, value in given.items() if value is not None}
    _read(format, root, out, options, strict, workers, overwrite, as_json)


def _read(
    format: str,
    root: Path,
    out: Path,
    options: dict[str, Any],
    strict: bool,
    workers: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    from perisphere.catalog import readers
    from perisphere.catalog.summary import summary
    from perisphere.cli.catalog_text import print_summary

    if out.exists() and not overwrite:
        raise PerisphereError(f"{out}: exists already. Name another folder, or pass --overwrite.")
    catalog = readers.read(
        format, root, out=out, overwrite=overwrite, workers=workers, strict=strict, **options
    )
    facts = summary(catalog)
    if as_json:
        names = {"names": str(out / "classes.txt")} if catalog.classes else {}
        typer.echo(json.dumps({"catalog": str(out), **names, **facts}, indent=2))
    else:
        print_summary(str(out), facts)
        if catalog.classes:
            typer.echo(f"class ids and names: {out / 'classes.txt'} (for --names beside a taxonomy)")
        for skipped in catalog.skipped[:SHOWN]:
            typer.echo(f"skipped {skipped.path}: {skipped.reason}")
        if len(catalog.skipped) > SHOWN:
            typer.echo(f"... {len(catalog.skipped):,} skipped in all, listed in {out / 'catalog.json'}")
        for remark, names in catalog.source.get("remarks", {}).items():
            shown = ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")
            typer.echo(f"{len(names):,} x {remark}: {shown}")


def _print_formats(as_json: bool) -> None:
    from perisphere.catalog.readers import READERS, reader_options

    if as_json:
        formats = {
            name: {"layout": reader.layout, "options": reader_options(name)}
            for name, reader in READERS.items()
        }
        typer.echo(json.dumps(formats, indent=2))
        return
    for name, reader in READERS.items():
        typer.echo(f"{name:16} {reader.layout}")
        options = ", ".join(f"--{option.replace('_', '-')}" for option in reader_options(name))
        if options:
            typer.echo(f"{'':16} takes {options}")

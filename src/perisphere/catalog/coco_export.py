"""Crops as three COCO files with ``pair_id`` and ``source``, as the reader ``fashion`` takes them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import polars as pl

from perisphere.storage import whole_file

SPLITS = ("train", "query", "gallery")


def file_name(row: dict[str, Any]) -> str:
    """Return the name of a row's crop within the folder of its split: the label up to the last underscore."""
    return f"{row['label']}_{row['id']}.jpg"


def write_coco(folder: Path, table: pl.DataFrame, height: int, width: int) -> None:
    """Write ``train.json``, ``query.json`` and ``gallery.json`` of crops that lie in ``folder``.

    A row without a domain gets no ``source``, and a reader of this layout leaves it out.

    Args:
        folder: where the crops' folders are.
        table: the catalog's rows that the crops were made of.
        height: of every crop, in pixels.
        width: of every crop, in pixels.
    """
    names = table["categories"].list.last().drop_nulls().unique().sort()
    kinds = {name: number for number, name in enumerate(names)}
    categories = [{"id": id, "name": name, "supercategory": "fashion"} for name, id in kinds.items()]
    for split in SPLITS:
        rows = table.filter(pl.col("split") == split)
        with whole_file(folder / f"{split}.json") as part, part.open("w", encoding="utf-8") as file:
            file.write('{"categories": ' + json.dumps(categories))
            _write_list(file, "images", (_image(row, height, width) for row in rows.iter_rows(named=True)))
            _write_list(file, "annotations", (_annotation(row, kinds) for row in rows.iter_rows(named=True)))
            file.write("}")


def _write_list(file: IO[str], name: str, entries: Iterable[dict[str, Any]]) -> None:
    """Write a list entry by entry: all at once they would take many times the memory of the table."""
    file.write(f', "{name}": [')
    for number, entry in enumerate(entries):
        file.write((",\n" if number else "\n") + json.dumps(entry))
    file.write("]")


def _image(row: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    entry = {"id": row["id"], "file_name": file_name(row), "width": width, "height": height}
    return entry | {"original": row["path"]}


def _annotation(row: dict[str, Any], kinds: dict[str, int]) -> dict[str, Any]:
    x0, y0, x1, y1 = row["box"] or (0, 0, row["width"], row["height"])
    entry = {"id": row["id"], "image_id": row["id"], "pair_id": int(row["label"])}
    entry |= {"source": row["domain"]} if row["domain"] else {}
    entry |= {"category_id": kinds[row["categories"][-1]]} if row["categories"] else {}
    return entry | {"bbox": "", "area": (x1 - x0) * (y1 - y0), "segmentation": "", "iscrowd": 0}

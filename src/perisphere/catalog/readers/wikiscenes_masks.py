"""The hand-labelled masks of WikiScenes: photos and label images of the ten concepts.

Source: Wu et al., "Towers of Babel", ICCV 2021; the validation set of the published program.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from perisphere.catalog.catalog import MASKS, Skipped
from perisphere.catalog.label_images import read_labels
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import is_inside, read_lines
from perisphere.errors import PerisphereError
from perisphere.progress import track
from perisphere.tags.architecture import AMBIGUOUS, CONCEPTS

LIST = "wikiscenes_val.txt"
PART = "concepts"
"""Part of the masks of a catalog that are label images of its concepts."""


def list_images(root: Path, *, lists: Path | None = None) -> Listing:
    """List the photos of ``wikiscenes_val.txt`` in split ``test``, each with its mask.

    A mask is a PNG of one channel in the size of its photo: 0 is background, ``k + 1`` the ``k``-th of
    :data:`~perisphere.tags.architecture.CONCEPTS`, 255 what nobody can tell. A photo without a mask of this
    form is left out. ``concepts`` are those that the mask shows, the largest first.

    Args:
        root: the folder that the list's paths start from, which holds ``val_seg``.
        lists: the folder of the list, plain or ``.gz``; ``data`` in ``root``, or ``root``, if not given.

    Raises:
        PerisphereError: a folder or the list is missing, or is no text.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder of photos and masks.")
    folders = [root / "data", root] if lists is None else [Path(lists).absolute()]
    files = [folder / f"{LIST}{packed}" for folder in folders for packed in ("", ".gz")]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        where = "data" if lists is None else folders[0]
        raise PerisphereError(f"{root}: holds no {where}/{LIST}, so that no image is known.")
    listing = Listing(root, facts={"concepts": list(CONCEPTS)})
    masks = _Masks()
    for number, line in read_lines(file):
        words = [word.removeprefix("./") for word in line.split()]
        if len(words) == 2 and all(map(is_inside, words)):
            listing.rows.append({"path": words[0], "split": "test"})
            masks.paths[words[0]] = words[1]
        else:
            listing.bad.append(Skipped(f"{file.name}:{number}", "line is not IMAGE MASK, two paths"))
    listing.check = masks.check
    listing.side_tables = masks.side_tables
    return listing


@dataclass
class _Masks:
    """The path of each photo's mask."""

    paths: dict[str, str] = field(default_factory=dict)

    def check(self, listing: Listing, table: pl.DataFrame) -> pl.DataFrame:
        """Return the photos whose masks can be used, with the concepts that these show."""
        rows: list[dict[str, Any]] = []
        for row in track(table.to_dicts(), "checking masks"):
            try:
                shape = (row["height"], row["width"])
                rows.append(row | {"concepts": shown_concepts(listing.root / self.paths[row["path"]], shape)})
            except PerisphereError as error:
                reason = str(error).removeprefix(f"{listing.root}/").removesuffix(".")
                listing.bad.append(Skipped(row["path"], f"mask {reason}", "mask cannot be used"))
        return pl.DataFrame(rows, table.schema)

    def side_tables(self, table: pl.DataFrame, scratch: Path) -> dict[str, pl.LazyFrame]:
        """Return the table of masks."""
        rows = [(id, PART, self.paths[path]) for id, path in table.select("id", "path").iter_rows()]
        return {"masks": pl.LazyFrame(rows, MASKS, orient="row")}


def shown_concepts(file: Path, shape: tuple[int, int]) -> list[str]:
    """Return the concepts that a mask shows, the largest first.

    Args:
        file: a PNG of one channel: 0 background, ``k + 1`` the ``k``-th of ``CONCEPTS``, 255 ambiguous.
        shape: height and width that it must have.

    Raises:
        PerisphereError: it is missing, broken, of another size, or has other values.
    """
    labels = read_labels(file)
    if labels.shape != shape:
        height, width = labels.shape
        raise PerisphereError(
            f"{file}: {width} x {height} pixels where the photo has {shape[1]} x {shape[0]}."
        )
    counts = np.bincount(labels.ravel(), minlength=256)
    strange = np.flatnonzero(counts[len(CONCEPTS) + 1 : AMBIGUOUS]) + len(CONCEPTS) + 1
    if len(strange):
        raise PerisphereError(f"{file}: value {strange[0]}; known are 0 to {len(CONCEPTS)} and {AMBIGUOUS}.")
    found = counts[1 : len(CONCEPTS) + 1]
    return [CONCEPTS[place] for place in np.argsort(-found, kind="stable") if found[place]]

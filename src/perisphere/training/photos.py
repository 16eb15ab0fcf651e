"""The photos of one data set of a recipe: paths and class numbers for training and for validation."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from perisphere.catalog import Catalog
from perisphere.catalog.readers import read
from perisphere.errors import PerisphereError
from perisphere.training.judged_photos import Judged, judged, judged_rows
from perisphere.training.recipe import Data, Judge


@dataclass(frozen=True)
class Photos:
    """Photos with a class each.

    Attributes:
        paths: of the files.
        targets: int64 ``[n]``, positions in the list of classes.
    """

    paths: Sequence[Path]
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class LabelledData:
    """What one stage of training learns from.

    Attributes:
        classes: names, in code-point order; a target is a position in it.
        train: photos to learn from.
        val: photos to choose the best epoch by, or ``None``.
        fingerprint: sha256 (first 16 digits) over paths, labels and file sizes of all.
        notes: what was left out or looks wrong, one sentence each.
        judged: photos to judge retrieval by, or ``None``.
    """

    classes: list[str]
    train: Photos
    val: Photos | None
    fingerprint: str
    notes: list[str]
    judged: Judged | None = None


def labelled_data(
    data: Data, seed: int, *, judge: Judge | None = None, tell: Callable[[str], None] = lambda _: None
) -> LabelledData:
    """Read the photos that a data entry of a recipe names, and those that the judge asks for.

    Raises:
        PerisphereError: a split without photos, fewer than two classes, or nothing to judge by.
    """
    catalog = open_catalog(data)
    notes: list[str] = []
    rows = _with_label(catalog, notes)
    train = of_split(rows, data.train, "train", catalog)
    if data.val_fraction is not None:
        train, val = held_out(train, data.val_fraction, seed)
    elif data.val is None:
        val = None
    else:
        val = of_split(rows, data.val, "val", catalog)
    classes = sorted(train["label"].unique().to_list())
    if len(classes) < 2:
        raise PerisphereError(
            f"{catalog.root}: the training photos have one class only ({classes[0]!r}); "
            "training needs at least two. Put the photos of each class in a folder of their own."
        )
    if val is not None:
        val = _of_known_classes(val, classes, notes)
    sides = None if judge is None else judged_rows(catalog, judge)
    for note in notes:
        tell(note)
    return LabelledData(
        classes,
        _photos(train, classes, catalog.root),
        None if val is None else _photos(val, classes, catalog.root),
        fingerprint([train, *([] if val is None else [val]), *(sides or ())], catalog.root),
        notes,
        None if sides is None else judged(catalog.root, sides),
    )


def open_catalog(data: Data) -> Catalog:
    """Load the catalog that a data entry names, or read it with a reader."""
    if data.catalog is not None:
        return Catalog.load(data.catalog)
    assert data.format is not None
    assert data.root is not None
    return read(data.format, data.root, **data.options)


def _with_label(catalog: Catalog, notes: list[str]) -> pl.DataFrame:
    rows = catalog.table.filter(pl.col("label").is_not_null())
    if without := len(catalog) - len(rows):
        notes.append(f"{catalog.root}: {without} of {len(catalog)} photos have no label and are left out.")
    if rows.is_empty():
        raise PerisphereError(
            f"{catalog.root}: no photo has a label. Read it with a format that gives labels."
        )
    return rows


def of_split(
    rows: pl.DataFrame, split: str | None, key: str, catalog: Catalog, kind: str = "labelled photos"
) -> pl.DataFrame:
    """Return the rows of a split; ``None`` names all.

    Raises:
        PerisphereError: there are none; ``key`` of the recipe is to be changed; ``kind`` is what it lacks.
    """
    if split is None:
        return rows
    chosen = rows.filter(pl.col("split") == split)
    if chosen.is_empty():
        found = (catalog.table if rows.is_empty() else rows)["split"].drop_nulls()
        there = sorted(found.unique().to_list())
        known = f"its splits are {', '.join(there)}" if there else "it has no splits"
        mend = (
            "Set data.0.val_fraction=0.1 to hold out a share of each class, or data.0.val=null for none"
            if key == "val"
            else "Set data.0.train=null to learn from every photo, or divide it with `perisphere split`"
        )
        raise PerisphereError(f"{catalog.root}: split {split!r} has no {kind}; {known}. {mend}.")
    return chosen


def held_out(rows: pl.DataFrame, fraction: float, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Divide the rows of each class at random; a class keeps at least one photo to learn from."""
    draw = np.random.default_rng([seed, 1])
    held = np.zeros(len(rows), bool)
    labels = rows["label"].to_numpy()
    for label in sorted(set(labels.tolist())):
        members = draw.permutation(np.flatnonzero(labels == label))
        held[members[: min(max(1, round(fraction * len(members))), len(members) - 1)]] = True
    return rows.filter(~held), rows.filter(held)


def _of_known_classes(val: pl.DataFrame, classes: list[str], notes: list[str]) -> pl.DataFrame | None:
    """Leave out the validation photos whose class has nothing to learn from, and say so."""
    there = set(val["label"].unique().to_list())
    if unknown := sorted(there - set(classes)):
        notes.append(
            f"{len(unknown)} classes have validation photos but none to learn from "
            f"({_few(unknown)}); those photos are left out."
        )
        val = val.filter(pl.col("label").is_in(classes))
    if missing := sorted(set(classes) - there):
        notes.append(f"{len(missing)} classes have no validation photos ({_few(missing)}).")
    return None if val.is_empty() else val


def _few(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")


def _photos(rows: pl.DataFrame, classes: list[str], root: Path) -> Photos:
    number = {name: position for position, name in enumerate(classes)}
    targets = np.array([number[label] for label in rows["label"].to_list()], np.int64)
    return Photos([root / path for path in rows["path"].to_list()], targets)


def fingerprint(parts: list[pl.DataFrame], root: Path) -> str:
    """Return 16 hexadecimal digits over paths, labels and file sizes."""
    digest = hashlib.sha256()
    for rows in parts:
        digest.update(b"\0split\0")
        for path, label in zip(rows["path"].to_list(), rows["label"].to_list(), strict=True):
            try:
                size = (root / path).stat().st_size
            except OSError as error:
                raise PerisphereError(
                    f"{root / path}: cannot be read ({error.strerror}). "
                    "Read the folder again with `perisphere read`."
                ) from error
            digest.update(f"{path}\0{label}\0{size}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]

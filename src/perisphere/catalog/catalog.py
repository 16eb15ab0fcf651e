"""A catalog: one table with one row an image, and where it came from."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import polars as pl

from perisphere.catalog.stored_table import StoredTable
from perisphere.errors import PerisphereError
from perisphere.storage import whole_folder

VERSION = 1
SPLITS = ("train", "val", "test", "query", "gallery", "index")
SCHEMA: dict[str, pl.DataType] = {
    "id": pl.Int64(),
    "path": pl.String(),
    "split": pl.String(),
    "label": pl.String(),
    "camera": pl.String(),
    "domain": pl.String(),
    "tags": pl.List(pl.String()),
    "caption": pl.String(),
    "categories": pl.List(pl.String()),
    "concepts": pl.List(pl.String()),
    "box": pl.List(pl.Int64()),
    "url": pl.String(),
    "width": pl.Int64(),
    "height": pl.Int64(),
}
KEYPOINTS: dict[str, pl.DataType] = {
    "image": pl.Int64(),
    "point": pl.Int64(),
    "x": pl.Float32(),
    "y": pl.Float32(),
}
MASKS: dict[str, pl.DataType] = {"image": pl.Int64(), "part": pl.String(), "path": pl.String()}
REGIONS: dict[str, pl.DataType] = {
    "image": pl.Int64(),
    "concept": pl.String(),
    "score": pl.Float32(),
    "share": pl.Float32(),
    "x0": pl.Int64(),
    "y0": pl.Int64(),
    "x1": pl.Int64(),
    "y1": pl.Int64(),
}

PROPERTIES: dict[str, pl.DataType] = {"image": pl.Int64(), "value": pl.String()}

_SIDES = {"keypoints": KEYPOINTS, "masks": MASKS, "regions": REGIONS, "properties": PROPERTIES}
_HERE = "./"  # starts the path of a mask that lies in the catalog's own folder
_LISTS = ("tags", "categories", "concepts")
_ADDED = ("concepts",)  # columns that files of earlier versions lack


@dataclass(frozen=True)
class Skipped:
    """A file that is not in the catalog, and why.

    Attributes:
        path: relative to the catalog's root.
        reason: why.
        group: the reason without what belongs to this one file, to count by.
    """

    path: str
    reason: str
    group: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.group or self.reason)


class Catalog:
    """A table of images, saved as one folder that a person can look at.

    Args:
        table: columns of :data:`SCHEMA`; ``path`` must be there, the others are filled with nulls, empty
            lists and ids from 0. ``path`` is relative to ``root`` with ``/``; ``box`` is ``[x0, y0, x1, y1]``
            in pixels, ``x1`` and ``y1`` outside; ``categories`` go from the root of the taxonomy downwards;
            ``tags`` are what users typed, ``concepts`` what a photo truly shows (several may hold).
        root: the folder that the paths start from.
        source: where the catalog came from, as JSON values.
        skipped: files that were left out.
        keypoints: ``image`` (an id), ``point`` (the same number is the same point in every image), ``x``,
            ``y`` in pixels; those of a file are read when they are first asked for.
        masks: ``image`` (an id), ``part``, ``path`` of a mask, relative to ``root`` or absolute; masks in the
            catalog's own folder move with it.
        regions: what a segmentation found: ``image`` (an id), ``concept``, ``score`` (0..1), ``share`` of the
            picture's pixels (0..1), and the box of those pixels: ``x0``, ``y0``, ``x1``, ``y1``, the last two
            outside.
        classes: label by class id, where the data set gives its classes ids of their own.
        properties: ``image`` (an id) and ``value``, JSON that the data set tells of a photo, kept as it is.

    Raises:
        PerisphereError: a column is missing, unknown or of another type, an id occurs twice, a box is empty.
    """

    def __init__(
        self,
        table: pl.DataFrame,
        root: Path,
        source: dict[str, Any] | None = None,
        skipped: Sequence[Skipped] = (),
        keypoints: pl.DataFrame | StoredTable | None = None,
        masks: pl.DataFrame | None = None,
        classes: Mapping[str, str] | None = None,
        regions: pl.DataFrame | None = None,
        properties: pl.DataFrame | None = None,
    ) -> None:
        self.table = _conform(table)
        self.root = Path(root).absolute()
        self.source = dict(source or {})
        self.skipped = list(skipped)
        if isinstance(keypoints, pl.DataFrame):
            keypoints = _side(keypoints, "keypoints", KEYPOINTS, self.table)
        self._keypoints = keypoints
        self.masks = None if masks is None else _side(masks, "masks", MASKS, self.table)
        self.regions = None if regions is None else _side(regions, "regions", REGIONS, self.table)
        self.properties = (
            None if properties is None else _side(properties, "properties", PROPERTIES, self.table)
        )
        self.classes = dict(classes or {})

    def __len__(self) -> int:
        return self.table.height

    def __repr__(self) -> str:
        classes = self.table["label"].drop_nulls().n_unique()
        splits = self.table["split"].drop_nulls().unique().sort().to_list()
        return f"Catalog({len(self)} images, {classes} classes, splits {splits}, root {str(self.root)!r})"

    @property
    def keypoints(self) -> pl.DataFrame | None:
        """The side table of keypoints, or ``None``; a file's is read when it is first asked for.

        Raises:
            PerisphereError: the file is broken, was replaced, or has keypoints of images that are not there.
        """
        if isinstance(self._keypoints, StoredTable):
            self._keypoints = _side(self._keypoints.read(), "keypoints", KEYPOINTS, self.table)
        return self._keypoints

    def keypoint_count(self) -> int:
        """Return the number of keypoints, without reading those of a file."""
        if self._keypoints is None:
            return 0
        if isinstance(self._keypoints, StoredTable):
            return self._keypoints.count()
        return self._keypoints.height

    def paths(self) -> list[Path]:
        """Return the absolute path of every image, in the order of the rows."""
        return [self.root / path for path in self.table["path"]]

    def labels(self) -> list[str | None]:
        """Return the label of every image, in the order of the rows."""
        return self.table["label"].to_list()

    def splits(self) -> list[str]:
        """Return the splits that occur, the usual ones first."""
        found = set(self.table["split"].drop_nulls().unique())
        return [split for split in SPLITS if split in found] + sorted(found.difference(SPLITS))

    def select(self, *, split: str | Sequence[str] | None = None) -> "Catalog":
        """Return the images of one split or several, in order; ``None`` selects all.

        Raises:
            PerisphereError: no image is in one of the splits.
        """
        if split is None:
            return self
        wanted = [split] if isinstance(split, str) else list(split)
        known = self.splits()
        for name in wanted:
            if name not in known:
                has = (
                    f"its splits are {', '.join(known)}"
                    if known
                    else "it has no splits; `perisphere split` makes them"
                )
                raise PerisphereError(f"{self.root}: no image is in split {name!r} ({has}).")
        return self.with_table(self.table.filter(pl.col("split").is_in(wanted)))

    def with_table(self, table: pl.DataFrame) -> "Catalog":
        """Return this catalog with another table; side tables lose images that are gone."""
        kept = pl.col("image").is_in(table["id"].implode())
        keypoints = None if self._keypoints is None else self._keypoints.filter(kept)
        masks, regions, properties = (
            None if side is None else side.filter(kept)
            for side in (self.masks, self.regions, self.properties)
        )
        return Catalog(
            table,
            self.root,
            self.source,
            self.skipped,
            keypoints,
            masks,
            self.classes,
            regions,
            properties,
        )

    def save(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write ``catalog.json``, ``images.parquet``, side tables and ``classes.txt``; whole or not at all.

        ``classes.txt`` has a line ``ID LABEL`` for each class that has an id. Photos that lie within
        ``folder`` stay there when it is replaced.

        Raises:
            PerisphereError: ``folder`` exists and ``overwrite`` is false, or the disk refuses.
        """
        folder = Path(folder).absolute()
        with whole_folder(folder, overwrite=overwrite) as part:
            self._keep_masks(folder, part)
            if self.root != folder and self.root.is_relative_to(folder) and self.root.is_dir():
                place = part / self.root.relative_to(folder)
                shutil.copytree(self.root, place, copy_function=linked, dirs_exist_ok=True)
                self._write(part, place, folder)
            else:
                self._write(part, self.root, folder)

    def write(self, folder: Path) -> None:
        """Write the same files into a folder that is there; photos in it are found wherever it is moved."""
        folder = Path(folder).absolute()
        self._write(folder, self.root, folder)

    def mask_paths(self, part: str) -> dict[int, Path]:
        """Return the absolute path of the mask of one part by image id."""
        if self.masks is None:
            return {}
        rows = self.masks.filter(pl.col("part") == part).select("image", "path").iter_rows()
        return {image: self.root / path for image, path in rows}

    def _keep_masks(self, folder: Path, part: Path) -> None:
        """Give the masks that lie within ``folder`` a second name in ``part``, which takes its place."""
        for path in [] if self.masks is None else map(Path, self.masks["path"]):
            if path.is_absolute() and path.is_relative_to(folder) and path.is_file():
                place = part / path.relative_to(folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                linked(str(path), str(place))

    def _write(self, folder: Path, root: Path, name: Path) -> None:
        """Write into ``folder``, whose name is or will be ``name``."""
        inside = root != folder and root.is_relative_to(folder)
        head = {
            "kind": "perisphere catalog",
            "version": VERSION,
            "images": len(self),
            "root": root.relative_to(folder).as_posix() if inside else str(root),
            "source": self.source,
            "skipped": [asdict(item) for item in self.skipped],
        }
        self.table.write_parquet(folder / "images.parquet")
        if self._keypoints is not None:
            self._keypoints.write_parquet(folder / "keypoints.parquet")
        if self.masks is not None:
            _beside(self.masks, name).write_parquet(folder / "masks.parquet")
        if self.regions is not None:
            self.regions.write_parquet(folder / "regions.parquet")
        if self.properties is not None:
            self.properties.write_parquet(folder / "properties.parquet")
        if self.classes:
            lines = "".join(f"{id} {label}\n" for id, label in self.classes.items())
            (folder / "classes.txt").write_text(lines, "utf-8")
        (folder / "catalog.json").write_text(json.dumps(head, indent=1, ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open a catalog that :meth:`save` wrote.

        Raises:
            PerisphereError: a file is missing or broken, a column differs, or a newer Perisphere wrote it.
        """
        folder = Path(folder)
        head = _read_head(folder)
        table = _read_parquet(folder / "images.parquet", SCHEMA)
        if table.height != head["images"]:
            raise PerisphereError(
                f"{folder}: images.parquet has {table.height} rows where catalog.json counts "
                f"{head['images']}. Read the images again with `perisphere read`."
            )
        there = {name: folder / f"{name}.parquet" for name in _SIDES if (folder / f"{name}.parquet").exists()}
        sides = {
            name: _read_parquet(file, _SIDES[name]) for name, file in there.items() if name != "keypoints"
        }
        keypoints = StoredTable(there["keypoints"], KEYPOINTS) if "keypoints" in there else None
        if "masks" in sides:
            own = f"{folder.absolute()}/"
            path = pl.col("path")
            placed = pl.when(path.str.starts_with(_HERE)).then(own + path.str.strip_prefix(_HERE))
            sides["masks"] = sides["masks"].with_columns(placed.otherwise(path).alias("path"))
        skipped = [Skipped(**item) for item in head["skipped"]]
        classes = _read_classes(folder / "classes.txt")
        root = folder.absolute() / head["root"]
        return cls(table, root, head["source"], skipped, keypoints, classes=classes, **sides)


def with_added_columns(table: pl.DataFrame) -> pl.DataFrame:
    """Return rows of an earlier version with empty lists in the columns that have come since."""
    lacking = [name for name in _ADDED if name not in table.columns]
    return table.with_columns(pl.lit([], dtype=SCHEMA[name]).alias(name) for name in lacking)


def concepts_of(rows: pl.DataFrame) -> list[list[str]]:
    """Return what each photo truly shows: its concepts, its label where it has none, nothing without both.

    Two photos are relevant to each other where these share one (multi-label retrieval).

    Args:
        rows: with the columns ``concepts`` and ``label``, as a catalog's or embeddings' rows.
    """
    label = pl.concat_list("label").list.drop_nulls()
    shown = pl.when(pl.col("concepts").list.len() > 0).then("concepts").otherwise(label)
    return rows.select(shown.alias("concepts"))["concepts"].to_list()


def linked(source: str, target: str) -> None:
    """Give a file a second name, or copy it where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _beside(masks: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Return masks whose absolute paths within ``folder`` start there, so that it can be moved."""
    own, path = f"{folder}/", pl.col("path")
    placed = pl.when(path.str.starts_with(own)).then(_HERE + path.str.strip_prefix(own))
    return masks.with_columns(placed.otherwise(path).alias("path"))


def _read_classes(file: Path) -> dict[str, str]:
    """Return label by class id of a file that :meth:`Catalog.save` wrote; nothing where there is none."""
    if not file.is_file():
        return {}
    try:
        lines = [line.partition(" ") for line in file.read_text("utf-8").split("\n") if line]
    except (OSError, UnicodeDecodeError) as error:
        raise PerisphereError(f"{file}: cannot be read. Read the images again.") from error
    if not all(id and label for id, _, label in lines):
        raise PerisphereError(f"{file}: a line is not ID LABEL. Read the images again.")
    return {id: label for id, _, label in lines}


def _conform(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table with every column of the schema, in its order and with its types."""
    unknown = [name for name in table.columns if name not in SCHEMA]
    if unknown:
        raise PerisphereError(
            f"catalog table: unknown column {unknown[0]!r}; the columns are {', '.join(SCHEMA)}."
        )
    if "id" not in table.columns:
        table = table.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("id"))
    missing = [pl.lit(None).alias(name) for name in SCHEMA if name not in table.columns]
    try:
        table = table.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
    except pl.exceptions.PolarsError as error:
        raise PerisphereError(f"catalog table: {' '.join(str(error).split())}.") from error
    table = table.with_columns(pl.col(name).fill_null([]) for name in _LISTS)
    _check(table)
    return table


def _check(table: pl.DataFrame) -> None:
    for name in ("id", "path"):
        if table[name].null_count():
            raise PerisphereError(f"catalog table: {table[name].null_count()} rows have no {name}.")
    doubled = table["id"].filter(table["id"].is_duplicated())
    if len(doubled):
        raise PerisphereError(
            f"catalog table: id {doubled[0]} occurs more than once; every image needs its own."
        )
    box = [pl.col("box").list.get(at, null_on_oob=True) for at in range(4)]
    good = (pl.col("box").list.len() == 4) & (box[0] < box[2]) & (box[1] < box[3])
    bad = table.filter(pl.col("box").is_not_null() & ~good.fill_null(False))
    if bad.height:
        raise PerisphereError(
            f"catalog table: {bad['path'][0]}: box {bad['box'][0].to_list()} is not x0, y0, x1, y1 "
            "with an area; x1 and y1 lie outside it."
        )


def _side(
    table: pl.DataFrame, name: str, schema: dict[str, pl.DataType], images: pl.DataFrame
) -> pl.DataFrame:
    try:
        table = table.select(pl.col(column).cast(kind) for column, kind in schema.items())
    except pl.exceptions.PolarsError as error:
        raise PerisphereError(f"catalog {name}: {' '.join(str(error).split())}.") from error
    strange = table.filter(~pl.col("image").is_in(images["id"].implode()))
    if strange.height:
        raise PerisphereError(f"catalog {name}: image {strange['image'][0]} is not in the table.")
    return table


def _read_head(folder: Path) -> dict[str, Any]:
    file = folder / "catalog.json"
    if not folder.exists():
        raise PerisphereError(f"{folder}: no such catalog. `perisphere read` makes one.")
    if not file.is_file():
        raise PerisphereError(
            f"{folder}: not a catalog (catalog.json is missing). `perisphere read` makes one."
        )
    try:
        head = json.loads(file.read_text("utf-8"))
        version = head["version"]
        if version > VERSION:
            raise PerisphereError(
                f"{file}: catalog format {version} is newer than this Perisphere's ({VERSION}). "
                "Upgrade Perisphere."
            )
        if head["kind"] != "perisphere catalog" or not {"images", "root", "source", "skipped"} <= head.keys():
            raise ValueError
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror}). Check its permissions.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PerisphereError(f"{file}: not a catalog's head. Read the images again.") from error
    return head


def _read_parquet(file: Path, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    if not file.is_file():
        raise PerisphereError(f"{file}: missing. Read the images again with `perisphere read`.")
    try:
        table = pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise PerisphereError(
            f"{file}: broken ({' '.join(str(error).split())}). Read the images again."
        ) from error
    if schema is SCHEMA:
        table = with_added_columns(table)
    for name, kind in schema.items():
        if table.schema.get(name) != kind:
            has = table.schema.get(name, "missing")
            raise PerisphereError(
                f"{file}: column {name!r} is {has} where {kind} belongs. Read the images again."
            )
    return table.select(list(schema))

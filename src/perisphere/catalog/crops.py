"""Pictures cut out by their boxes beforehand, at the network's size, with COCO files and a catalog of them.

Source: the preparation of fashion photos in Wieczorek et al., "On the Unreasonable Effectiveness of Centroids
in Image Retrieval", ICONIP 2021.
"""

import fcntl
import hashlib
import io
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import polars as pl
from PIL import Image

from perisphere.catalog.catalog import Catalog, Skipped, linked
from perisphere.catalog.coco_export import SPLITS, file_name, write_coco
from perisphere.catalog.images import ImageError, decode
from perisphere.catalog.readers import read
from perisphere.catalog.threads import in_order
from perisphere.errors import PerisphereError, UsageError
from perisphere.progress import track
from perisphere.storage import check_replaceable, whole_folder

MAX_SIDE = 8192
Fit = Literal["pad", "squash"]
PHOTOS = "photos"
_STATE = "crops.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Style:
    """How a box becomes a picture.

    Attributes:
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        fit: ``pad`` keeps the proportions, shrinks where needed, never enlarges and leaves white around;
            ``squash`` fills the picture.
        quality: of the JPEG files, 1 to 100.
        min_area: boxes of fewer square pixels are left out.
    """

    height: int
    width: int
    fit: Fit = "pad"
    quality: int = 95
    min_area: int = 1

    def __post_init__(self) -> None:
        if not (1 <= self.height <= MAX_SIDE and 1 <= self.width <= MAX_SIDE):
            raise UsageError(f"size: {self.height}x{self.width} is not from 1x1 to {MAX_SIDE}x{MAX_SIDE}.")
        if self.fit not in ("pad", "squash"):
            raise UsageError(f"fit: {self.fit!r} is neither 'pad' nor 'squash'.")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"quality: {self.quality} is not from 1 to 100.")
        if self.min_area < 0:
            raise UsageError(f"min_area: {self.min_area} is negative.")


@dataclass(frozen=True)
class Crops:
    """The catalog of the crops, how many were made now, and how many an earlier run had made."""

    catalog: Catalog
    made: int
    resumed: int


def crop(catalog: Catalog, style: Style, out: Path, *, workers: int = 0, overwrite: bool = False) -> Crops:
    """Cut every box out of its photo, into the layout that the reader ``fashion`` takes.

    ``out/photos`` gets ``train/``, ``query/`` and ``gallery/`` with a file ``LABEL_ID.jpg`` for each row, and
    three COCO files; ``out`` is their catalog. A row without a box is taken whole. Photos that cannot be read
    are skipped and counted. The work grows in ``.NAME.partial`` beside ``out``; called again after a kill,
    with the same photos and style, it goes on where it was.

    Args:
        catalog: rows in the splits train, query and gallery, whose labels are pair_ids (numbers).
        style: how a box becomes a picture.
        out: a new folder.
        workers: threads; 0 takes one for each core.
        overwrite: replace an earlier ``out``.

    Raises:
        PerisphereError: ``out`` exists, a label is no pair_id, no row can be cropped, or the disk refuses.
        UsageError: ``workers`` is negative.
    """
    out = Path(out).absolute()
    check_replaceable(out, overwrite)
    table, skipped = _wanted(catalog)
    with _partial(out, _state(catalog, table, style)) as partial:
        verdicts = _crop_all(catalog.root, table, style, partial, workers)
        made = [not isinstance(found, Skipped) for found in verdicts]
        skipped += [found for found in verdicts if isinstance(found, Skipped)]
        if not any(made):
            last = skipped[-1]
            raise PerisphereError(f"{catalog.root}: no box can be cropped; {last.path}: {last.reason}.")
        with whole_folder(out, overwrite=overwrite) as part:
            photos = part / PHOTOS
            _collect(partial, photos, table.filter(pl.Series(made)), style)
            _described(photos, out, catalog, style, skipped, workers).write(part)
        shutil.rmtree(partial)
    return Crops(Catalog.load(out), verdicts.count(True), verdicts.count(False))


def _crop_all(
    root: Path, table: pl.DataFrame, style: Style, folder: Path, workers: int
) -> list[bool | Skipped]:
    rows = table.rows(named=True)
    work = in_order(lambda row: _crop(root, row, style, folder), rows, workers=workers)
    return list(track(work, "cropping", len(rows)))


def _wanted(catalog: Catalog) -> tuple[pl.DataFrame, list[Skipped]]:
    """Return the rows of the three splits, and what is left out of the others."""
    table = catalog.table.filter(pl.col("split").is_in(SPLITS))
    if not table.height:
        raise PerisphereError(
            f"{catalog.root}: no image is in split train, query or gallery. `perisphere split` makes splits."
        )
    for label in table["label"].unique().sort():
        if label is None or not (label.isascii() and label.isdigit() and str(int(label)) == label):
            raise PerisphereError(
                f"{catalog.root}: the label {label!r} is no pair_id (a number from 0). Crops are made of "
                "what `perisphere read fashion`, deepfashion or street2shop gives."
            )
    others = catalog.table.filter(~pl.col("split").is_in(SPLITS).fill_null(False))["path"]
    return table, [Skipped(path, "in none of the splits train, query and gallery") for path in others]


def _state(catalog: Catalog, table: pl.DataFrame, style: Style) -> str:
    """Return what a run must have in common with the one that it goes on with."""
    digest = hashlib.sha256(str(catalog.root).encode())
    for row in table.iter_rows(named=True):
        try:
            found = (catalog.root / row["path"]).stat()
            facts = [found.st_size, found.st_mtime_ns]
        except OSError:
            facts = []
        parts = [row[name] for name in ("id", "path", "split", "label", "box")]
        digest.update(json.dumps([parts, facts]).encode())
    return json.dumps({"style": style.__dict__, "photos": digest.hexdigest()})


@contextmanager
def _partial(out: Path, state: str) -> Iterator[Path]:
    """Yield the folder of the unfinished work, without the work of another state."""
    folder = out.parent / f".{out.name}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _STATE).open("a+", encoding="utf-8") as file:
            _lock(file, folder)
            file.seek(0)
            found = file.read()
            if found != state:
                if found:
                    log.warning("%s: other photos or another style; starting again", folder)
                for split in SPLITS:
                    shutil.rmtree(folder / split, ignore_errors=True)
                file.truncate(0)
                file.write(state)
                file.flush()
            for split in SPLITS:
                (folder / split).mkdir(exist_ok=True)
            yield folder
    except OSError as error:
        raise PerisphereError(
            f"{folder}: cannot be written ({error.strerror or error}). "
            "Make room, or name a place that can be written."
        ) from error


def _lock(file: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PerisphereError(
            f"{folder}: another run is writing here; wait for it, or name another output folder."
        ) from error


def _crop(root: Path, row: dict[str, Any], style: Style, folder: Path) -> bool | Skipped:
    """Write a row's crop; tell whether it was not there yet, or why it cannot be made."""
    file = folder / row["split"] / file_name(row)
    if file.is_file() and file.stat().st_size:
        return False
    x0, y0, x1, y1 = row["box"] or (0, 0, row["width"], row["height"])
    if row["box"] and (x1 - x0) * (y1 - y0) < style.min_area:
        reason = f"box of less than {style.min_area:,} square pixels"
        return Skipped(row["path"], reason)
    try:
        pixels = decode(root / row["path"])
    except ImageError as error:
        return Skipped(row["path"], error.reason, error.group)
    cut = pixels[y0:y1, x0:x1] if row["box"] else pixels
    if not cut.size:
        return Skipped(row["path"], "box outside the image")
    written = io.BytesIO()
    fitted(Image.fromarray(cut), style).save(written, "JPEG", quality=style.quality)
    # A name appears only over whole contents, so that a kill leaves no half picture to be taken for a crop.
    part = file.with_suffix(".part")
    part.write_bytes(written.getvalue())
    part.replace(file)
    return True


def fitted(picture: Image.Image, style: Style) -> Image.Image:
    """Return an RGB picture of the style's size."""
    size = (style.width, style.height)
    if style.fit == "squash":
        return picture.resize(size, Image.Resampling.LANCZOS)
    picture.thumbnail(size, Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", size, (255, 255, 255))
    canvas.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return canvas


def _collect(partial: Path, photos: Path, table: pl.DataFrame, style: Style) -> None:
    """Give the crops of ``table`` their place in the new folder, and write the COCO files beside them."""
    for split in SPLITS:
        (photos / split).mkdir(parents=True)
    for row in table.iter_rows(named=True):
        place = f"{row['split']}/{file_name(row)}"
        linked(str(partial / place), str(photos / place))
    write_coco(photos, table, style.height, style.width)


def _described(
    photos: Path, out: Path, catalog: Catalog, style: Style, skipped: list[Skipped], workers: int
) -> Catalog:
    """Return the catalog of the crops in ``photos``, which are to lie in ``out``."""
    found = read("fashion", photos, workers=workers)
    found.source |= {"root": str(out / PHOTOS), "crops": {**style.__dict__, "of": catalog.source}}
    found.skipped = sorted([*skipped, *found.skipped], key=lambda item: item.path)
    return found


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width of ``HEIGHTxWIDTH``, such as ``256x128``.

    Raises:
        UsageError: the text is another.
    """
    height, _, width = text.lower().partition("x")
    if not (height.isascii() and height.isdigit() and width.isascii() and width.isdigit()):
        raise UsageError(f"--size {text!r}: is not HEIGHTxWIDTH, such as 256x128.")
    return int(height), int(width)

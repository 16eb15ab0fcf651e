"""Masks of every photo of a catalog: a catalog of its own, which a killed run goes on with."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from perisphere.catalog import Catalog, Skipped, decode
from perisphere.catalog.catalog import REGIONS, linked
from perisphere.catalog.label_images import read_labels, write_labels
from perisphere.catalog.painting import paint
from perisphere.encoder.embedding_loop import SYNC_SECONDS, Photos
from perisphere.encoder.journal import Journal
from perisphere.encoder.segment import Segmentation, Segmenter, regions
from perisphere.errors import PerisphereError
from perisphere.progress import bar
from perisphere.storage import check_replaceable, whole_file, whole_folder

PART = "concepts"
"""Part of the ``masks`` side table that holds label images of all classes."""

SCORES, MASKS, PAINTED = "scores.npy", "masks", "painted"


@dataclass(frozen=True)
class Segmented:
    """A catalog whose photos have been segmented.

    Attributes:
        catalog: with masks and regions; ``source["concepts"]`` names the classes.
        scores: float32 ``[n, C]``, 0..1, of the catalog's rows.
    """

    catalog: Catalog
    scores: np.ndarray

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the scores and of the masks' numbers from 1."""
        return list(self.catalog.source["concepts"])

    @classmethod
    def load(cls, folder: Path) -> "Segmented":
        """Open a folder of :func:`segment_catalog`.

        Raises:
            PerisphereError: it is none, or damaged.
        """
        catalog = Catalog.load(folder)
        file = folder / SCORES
        if "segmented" not in catalog.source or not file.is_file():
            raise PerisphereError(f"{folder}: was not segmented. `perisphere segment predict` makes masks.")
        try:
            # mapped, so that a header which promises more than there is asks for no memory
            scores = np.lib.format.open_memmap(file, mode="r")
        except (OSError, ValueError, EOFError, TokenError) as error:
            raise PerisphereError(f"{file}: damaged. Segment the photos again.") from error
        classes = catalog.source.get("concepts")
        wanted = (len(catalog), len(classes)) if isinstance(classes, list) else None
        if scores.shape != wanted or scores.dtype != np.float32:
            raise PerisphereError(f"{file}: does not fit the catalog beside it. Segment the photos again.")
        return cls(catalog, np.array(scores))


def segment_catalog(
    catalog: Catalog, segmenter: Segmenter, out: Path | str, *, painted: bool = False, overwrite: bool = False
) -> Segmented:
    """Segment every photo into the folder ``out``, a catalog; the photos stay where they are.

    It holds ``masks/ID.png`` (palette PNG of class numbers), the side table ``regions``, ``scores.npy``, and
    the keypoints that the photos had; masks that they had are left out. The work grows in ``.NAME.partial``:
    called again after a kill, with the same photos, encoder and options, it goes on. Photos that cannot be
    read are left out and listed with the reason. With ``keep="labels"`` the photos' concepts are kept.

    Args:
        catalog: the photos.
        segmenter: what segments them.
        out: a new folder.
        painted: also write ``painted/ID.jpg``, photos with their masks laid over.
        overwrite: replace an earlier ``out``.

    Raises:
        PerisphereError: ``out`` exists, no photo can be read, the encoder has no classes, no photo has
            a concept to keep, the disk refuses.
    """
    out = Path(out).absolute()
    check_replaceable(out, overwrite)
    if not len(catalog):
        raise PerisphereError(f"the catalog of {catalog.root} has no images; read a folder that has some.")
    segmenter.check_classes()
    _check_labels(catalog, segmenter)
    state = _state(catalog, segmenter, painted)
    with Journal(out, len(segmenter.classes), state) as journal:
        begun, resumed_at = time.perf_counter(), journal.done
        _segment_rest(catalog, segmenter, journal, painted)
        if not journal.kept:
            row, reason = journal.skipped[0]
            path = catalog.table["path"][row]
            raise PerisphereError(f"none of the {len(catalog)} images can be segmented; {path}: {reason}.")
        seconds = time.perf_counter() - begun
        run = {"resumed_at": resumed_at, "images": len(catalog) - resumed_at, "seconds": round(seconds, 3)}
        with whole_folder(out, overwrite=overwrite) as part:
            _finish(catalog, segmenter, journal, part, state["options"] | {"run": run})
        journal.remove()
    return Segmented.load(out)


def _check_labels(catalog: Catalog, segmenter: Segmenter) -> None:
    if segmenter.keep != "labels":
        return
    if not set(segmenter.classes) & set(catalog.table["concepts"].explode().drop_nulls()):
        raise PerisphereError(
            f"{catalog.root}: no photo has a concept that could be kept; label the photos with `perisphere "
            "concepts label`, or choose another --keep."
        )


def options_of(segmenter: Segmenter) -> dict[str, Any]:
    """Return what the masks depend on beside the photo, as JSON values."""
    return {
        "encoder": {
            "name": segmenter.encoder.name,
            "identity": segmenter.encoder.identity,
            "path": str(segmenter.encoder.path) if segmenter.encoder.path else None,
        },
        "scales": list(segmenter.scales),
        "flip": segmenter.flip,
        "background_power": segmenter.background_power,
        "keep": segmenter.keep,
        "refine": segmenter.refine,
        "crf": segmenter.crf,
        "size": segmenter.size,
        "precision": str(segmenter.dtype).removeprefix("torch."),
    }


def _state(catalog: Catalog, segmenter: Segmenter, painted: bool) -> dict[str, Any]:
    """Return what a run must share with a killed one to go on with its work; JSON values."""
    photos = Photos(catalog.paths(), [None] * len(catalog))
    kept: object = catalog.table["concepts"].to_list() if segmenter.keep == "labels" else None
    ids = catalog.table["id"].to_list()
    state = {
        "options": options_of(segmenter),
        "images": photos.fingerprint(),
        "rows": [ids, kept],
        "painted": painted,
    }
    return dict(json.loads(json.dumps(state)))


def _segment_rest(catalog: Catalog, segmenter: Segmenter, journal: Journal, painted: bool) -> None:
    """Segment what the journal has not yet; what a kill costs is a few seconds."""
    rows = catalog.table.select("id", "concepts").rows()
    paths = catalog.paths()
    waiting: list[np.ndarray] = []
    skipped: list[tuple[int, str]] = []
    synced = time.perf_counter()
    with bar("segmenting", len(rows)) as advance:
        advance(journal.done)
        for row in range(journal.done, len(rows)):
            image, concepts = rows[row]
            try:
                picture = decode(paths[row])
            except PerisphereError as error:
                skipped.append((row, str(getattr(error, "reason", error))))
            else:
                found = segmenter.segment(picture, labels=concepts)
                _write(journal.folder, image, picture, found, segmenter.classes, painted)
                waiting.append(found.scores)
            advance()
            if time.perf_counter() - synced > SYNC_SECONDS or row + 1 == len(rows):
                scores = np.stack(waiting) if waiting else np.empty((0, len(segmenter.classes)), np.float32)
                journal.append(scores, done=row + 1, skipped=skipped)
                waiting, skipped, synced = [], [], time.perf_counter()


def _write(
    folder: Path,
    image: int,
    picture: np.ndarray,
    found: Segmentation,
    classes: Sequence[str],
    painted: bool,
) -> None:
    with whole_file(folder / MASKS / f"{image}.png") as part:
        write_labels(part, found.labels, len(classes))
    if painted:
        scores = dict(zip(classes, map(float, found.scores), strict=True))
        with whole_file(folder / PAINTED / f"{image}.jpg") as part:
            paint(picture, found.labels, classes, scores).save(part, "JPEG", quality=92)


def _finish(
    catalog: Catalog, segmenter: Segmenter, journal: Journal, folder: Path, facts: dict[str, Any]
) -> None:
    """Write the catalog, and give masks and paintings their second name in it."""
    scores = journal.finish(folder, SCORES)
    skipped = dict(journal.skipped)
    left = pl.Series([row not in skipped for row in range(len(catalog))])
    kept = catalog.with_table(catalog.table.filter(left))
    paths = catalog.table["path"].to_list()
    failed = [Skipped(paths[row], reason) for row, reason in skipped.items()]
    ids = kept.table["id"].to_list()
    for name, suffix in ((MASKS, "png"), (PAINTED, "jpg")):
        if (journal.folder / name).is_dir():
            (folder / name).mkdir()
            for image in ids:
                linked(
                    str(journal.folder / name / f"{image}.{suffix}"), str(folder / name / f"{image}.{suffix}")
                )
    places = [str(folder / MASKS / f"{image}.png") for image in ids]
    Catalog(
        kept.table,
        kept.root,
        {**kept.source, "concepts": list(segmenter.classes), "segmented": facts},
        [*kept.skipped, *failed],
        kept.keypoints,
        pl.DataFrame({"image": ids, "part": [PART] * len(ids), "path": places}),
        kept.classes,
        _regions(ids, folder, scores, segmenter.classes),
    ).write(folder)


def _regions(ids: Sequence[int], folder: Path, scores: np.ndarray, classes: Sequence[str]) -> pl.DataFrame:
    tables = [pl.DataFrame(schema=REGIONS)]
    for row, image in enumerate(ids):
        labels = read_labels(folder / MASKS / f"{image}.png")
        found = Segmentation(labels, np.empty(0), scores[row], np.empty(0))
        tables.append(regions(found, classes, image))
    return pl.concat(tables)


def photos_as_catalog(paths: Sequence[Path]) -> Catalog:
    """Return a catalog of single photos, wherever they lie.

    Raises:
        PerisphereError: one of them is no file.
    """
    for path in paths:
        if not path.is_file():
            raise PerisphereError(f"{path}: no such photo; name a catalog's folder, or photos.")
    sizes = [_size(path) for path in paths]
    table = pl.DataFrame(
        {
            "path": [path.absolute().as_posix().removeprefix("/") for path in paths],
            "width": [size and size[0] for size in sizes],
            "height": [size and size[1] for size in sizes],
        }
    )
    return Catalog(table, Path("/"), {"format": "photos"})


def _size(path: Path) -> tuple[int, int] | None:
    try:
        picture = decode(path)
    except PerisphereError:
        return None
    return picture.shape[1], picture.shape[0]


def paint_photo(
    photo: Path, segmenter: Segmenter, labels: Sequence[str] = ()
) -> tuple[Image.Image, pl.DataFrame]:
    """Segment one photo, and return it painted and its regions (as image 0).

    Raises:
        PerisphereError: it cannot be read.
    """
    picture = decode(photo)
    found = segmenter.segment(picture, labels=labels)
    scores = dict(zip(segmenter.classes, map(float, found.scores), strict=True))
    return paint(picture, found.labels, segmenter.classes, scores), regions(found, segmenter.classes, 0)

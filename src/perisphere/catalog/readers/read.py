"""From a layout on disk to a catalog of images that are known to decode."""

import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from perisphere.catalog.catalog import SCHEMA, Catalog, Skipped
from perisphere.catalog.images import ImageError, ImageInfo, display, upright_box
from perisphere.catalog.readers import (
    cars,
    correspondences,
    csv_table,
    cuhk03,
    deepfashion,
    distractors,
    fashion,
    file_names,
    flat,
    flowers,
    folders,
    gldv2,
    hashing_lists,
    ilsvrc,
    inat,
    market,
    mirflickr,
    msmt17,
    nuswide,
    street2shop,
    tagged,
    wikiscenes,
    wikiscenes_masks,
)
from perisphere.catalog.readers.birds import list_cub, list_nabirds
from perisphere.catalog.readers.cifar import list_cifar10, list_cifar100
from perisphere.catalog.readers.landmark_benchmarks import list_classic, list_revisited
from perisphere.catalog.readers.listed_folders import list_divided, list_mit67
from perisphere.catalog.readers.listing import Listing, is_utf8
from perisphere.catalog.readers.published_hashing import list_flickr25k, list_nuswide
from perisphere.catalog.readers.unpacking import unpack
from perisphere.catalog.verify import verify
from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.storage import check_replaceable, whole_folder

BLOCK = 1 << 16  # rows that are checked together
BOX_CUT = "box cut at the edge of its image"


@dataclass(frozen=True)
class Reader:
    """A layout: what it looks like on disk, and the function that lists its images."""

    layout: str
    list_images: Callable[..., Listing]


_MARKET = "bounding_box_train, query and bounding_box_test with images IDENTITY_cCAMERA..."
_BIRDS = "images.txt, image_class_labels.txt, train_test_split.txt, classes.txt and images/"

READERS: dict[str, Reader] = {
    "folders": Reader("[SPLIT/][CATEGORY/...]CLASS/IMAGE, a class per directory", folders.list_images),
    "csv": Reader("a CSV file, one row an image, its columns named by options", csv_table.list_images),
    "images": Reader("any folder of images, without labels", flat.list_images),
    "names": Reader("images named CLASS_NUMBER, in any folder", file_names.list_images),
    "oxford5k": Reader("jpg/CLASS_NUMBER.jpg and text files QUERY_query, _good, _ok, _junk", list_classic),
    "paris6k": Reader("paris_CLASS_NUMBER.jpg and text files QUERY_query, _good, _ok, _junk", list_classic),
    "revisited": Reader("jpg/IMAGE and gnd_NAME.pkl or .json", list_revisited),
    "distractors": Reader("jpg/IMAGE and a text file of their names", distractors.list_images),
    "gldv2": Reader(
        "train.csv, index.csv, retrieval_solution*.csv and PART/a/b/c/abcdef.jpg", gldv2.list_images
    ),
    "cifar10": Reader("data_batch_1 to 5 and test_batch, as Python pickles or .bin", list_cifar10),
    "cifar100": Reader("train and test, as Python pickles or .bin", list_cifar100),
    "ilsvrc2012": Reader(
        "ILSVRC2012_img_train/WNID/IMAGE and ILSVRC2012_img_val/WNID/IMAGE", ilsvrc.list_images
    ),
    "nabirds": Reader(_BIRDS, list_nabirds),
    "cub": Reader(_BIRDS, list_cub),
    "cars": Reader("cars_annos.mat and the images that it names, in car_ims", cars.list_images),
    "flowers102": Reader("imagelabels.mat, setid.mat and jpg/image_00001.jpg", flowers.list_images),
    "inat": Reader("train2018.json and val2018.json, or 2019, and the images they name", inat.list_images),
    "mit67": Reader("TrainImages.txt, TestImages.txt and Images/CLASS/IMAGE", list_mit67),
    "ucmerced": Reader("train.txt, test.txt and CLASS/IMAGE", list_divided),
    "resisc45": Reader("train.txt, test.txt and CLASS/IMAGE", list_divided),
    "market1501": Reader(_MARKET, market.list_images),
    "dukemtmc": Reader(_MARKET, market.list_images),
    "cuhk03": Reader("detected/ and labeled/, each in the layout of Market-1501", cuhk03.list_images),
    "msmt17": Reader("list_train.txt, list_query.txt, list_gallery.txt, train/, test/", msmt17.list_images),
    "fashion": Reader(
        "train*.json, query*.json, gallery*.json, train/, query/, gallery/", fashion.list_images
    ),
    "deepfashion": Reader(
        "Eval/list_eval_partition.txt, Anno/list_bbox_consumer2shop.txt and img/", deepfashion.list_images
    ),
    "street2shop": Reader(
        "meta/json/train_pairs_*.json, test_pairs_*.json, retrieval_*.json and images/",
        street2shop.list_images,
    ),
    "tags": Reader(
        "tags.jsonl or tags.csv (image, tags, split, concepts ...) and images/", tagged.list_images
    ),
    "flickr25k": Reader(
        "data/flickr25k/{train,database,test}_{img,tag,label}.txt and datasets/flickr25k/", list_flickr25k
    ),
    "nuswide": Reader(
        "data/nus-wide/{train,database,test}_{img,tag,label}.txt and datasets/nus-wide/", list_nuswide
    ),
    "mirflickr": Reader(
        "mirflickr/imN.jpg, meta/tags/tagsN.txt and annotations/CONCEPT.txt", mirflickr.list_images
    ),
    "nuswide-original": Reader("ImageList/, Groundtruth/, NUS_WID_Tags/ and Flickr/", nuswide.list_images),
    "hashing-lists": Reader(
        "train.txt, database.txt, test.txt of lines PATH 0 1 0 ...", hashing_lists.list_images
    ),
    "wikiscenes": Reader(
        "WikiScenes/KIND/ with category.json, pictures/; correspondence.json; data/*.txt",
        wikiscenes.list_images,
    ),
    "wikiscenes-masks": Reader(
        "data/wikiscenes_val.txt of lines IMAGE MASK, and val_seg/", wikiscenes_masks.list_images
    ),
    "correspondences": Reader(
        "PLACE/IMAGE and correspondences.csv (image1, image2, x1, y1, x2, y2)", correspondences.list_images
    ),
}


STRICT_MEND = "Mend or remove it, or leave strict out to skip such files."


def reader_options(format: str) -> list[str]:
    """Return the names of the options that a format takes.

    Raises:
        UsageError: there is no such format.
    """
    return list(inspect.signature(_reader(format).list_images).parameters)[1:]


def read(
    format: str,
    root: Path,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    workers: int = 0,
    strict: bool = False,
    **options: Any,
) -> Catalog:
    """Read a layout and check every image by decoding it.

    Rows are in the order of the layout (sorted paths, or the table's lines) with ids from 0.

    Args:
        format: a key of :data:`READERS`.
        root: the folder, or the CSV file.
        out: a folder to save the catalog to, whole or not at all. Photos that the layout keeps in arrays are
            unpacked to ``out/photos``, so that such a layout needs it.
        overwrite: replace an older catalog at ``out``.
        workers: threads that decode; 0 takes one for each core.
        strict: a bad image is an error instead of a counted skip.
        **options: the reader's own.

    Raises:
        UsageError: an unknown format or option, or ``out`` is missing where it is needed.
        PerisphereError: ``root`` is missing, no image can be used, or one cannot and ``strict`` is set;
            ``out`` exists or cannot be written.
    """
    _check_options(format, options)
    root = Path(root).absolute()
    if out is not None:
        check_replaceable(Path(out), overwrite)
    listing = _reader(format).list_images(root, **options)
    if strict and listing.bad:
        raise PerisphereError(f"{listing.bad[0].path}: {listing.bad[0].reason}. {STRICT_MEND}")
    _check_name(listing.root)
    source = {
        "format": format,
        "root": str(root),
        "options": {name: str(value) for name, value in options.items() if value is not None},
        "read_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if out is not None:
        return _saved(listing, source, Path(out), overwrite, workers, strict)
    if listing.packed is not None:
        raise UsageError(
            f"{format}: its photos lie in arrays. `perisphere read {format} {root} -o CATALOG` unpacks them "
            "into a catalog to use in its place; in Python, read(..., out=CATALOG)."
        )
    return _catalog(listing, source, workers, strict)


def _saved(
    listing: Listing, source: dict[str, Any], out: Path, overwrite: bool, workers: int, strict: bool
) -> Catalog:
    with whole_folder(out.absolute(), overwrite=overwrite) as part:
        if listing.packed is not None:
            listing = unpack(listing, part / "photos")
        _catalog(listing, source, workers, strict, part).write(part)
    return Catalog.load(out)


def _catalog(
    listing: Listing, source: dict[str, Any], workers: int, strict: bool, part: Path | None = None
) -> Catalog:
    """Check the images and their side tables, which are written at once where a folder for them is given."""
    table, bad = _checked(listing, workers, strict)
    if listing.check is not None:
        table = listing.check(listing, table)
    if table.height == 0:
        raise PerisphereError(f"{display(Path(source['root']))}: {_nothing(_skipped(listing, bad))}")
    images = Catalog(table, listing.root).table
    sides = _side_tables(listing, images, part)
    if listing.side_tables is not None:
        _refuse(listing.bad, strict)
    remarks = {"remarks": listing.remarks} if listing.remarks else {}
    source = source | listing.facts | remarks
    skipped = _skipped(listing, bad)
    return Catalog(images, listing.root, source, skipped, classes=listing.classes, **sides)


def _skipped(listing: Listing, bad: list[Skipped]) -> list[Skipped]:
    return sorted(listing.bad + bad + listing.ignored, key=lambda item: item.path)


def _side_tables(listing: Listing, table: pl.DataFrame, part: Path | None) -> dict[str, pl.DataFrame]:
    """Return the side tables, or write them into a folder batch by batch and return none."""
    if listing.side_tables is None:
        return {}
    with TemporaryDirectory(dir=part) as scratch:
        sides = listing.side_tables(table, Path(scratch))
        if part is None:
            return {name: side.collect() for name, side in sides.items()}
        for name, side in sides.items():
            side.sink_parquet(part / f"{name}.parquet")
    return {}


def _check_name(root: Path) -> None:
    if not is_utf8(str(root)):
        raise PerisphereError(f"{display(root)}: the folder's name is not UTF-8. Rename it.")


def _reader(format: str) -> Reader:
    if format not in READERS:
        mend = nearest(format, list(READERS)) or f" The formats are {', '.join(READERS)}."
        raise UsageError(f"no reader for the format {format!r}.{mend}")
    return READERS[format]


def _check_options(format: str, options: dict[str, Any]) -> None:
    known = reader_options(format)
    for name in options:
        if name not in known:
            others = [other for other in READERS if name in reader_options(other)]
            mend = f" It belongs to {', '.join(others)}." if others else nearest(name, known)
            raise UsageError(f"the format {format!r} takes no option {name!r}.{mend}")


def _checked(listing: Listing, workers: int, strict: bool) -> tuple[pl.DataFrame, list[Skipped]]:
    """Check the rows block by block, and return the good rows and the bad files."""
    schema = {name: kind for name, kind in SCHEMA.items() if name != "id"}
    tables = [pl.DataFrame(schema=schema)]
    bad: list[Skipped] = []
    rows = chain(listing.rows, listing.later)
    while block := list(islice(rows, BLOCK)):
        _refuse(listing.bad, strict)
        good, refused = _checked_block(block, listing, workers, strict)
        tables.append(pl.DataFrame(good, schema=schema))
        bad += refused
    _refuse(listing.bad, strict)
    return pl.concat(tables), list(dict.fromkeys(bad))


def _refuse(bad: list[Skipped], strict: bool) -> None:
    if strict and bad:
        raise PerisphereError(f"{bad[0].path}: {bad[0].reason}.")


def _checked_block(
    block: list[dict[str, Any]], listing: Listing, workers: int, strict: bool
) -> tuple[list[dict[str, Any]], list[Skipped]]:
    """Check each file once, however many of the rows name it; remark the boxes that are cut."""
    if listing.unseen:
        return block, []
    root = listing.root
    paths = list(dict.fromkeys(row["path"] for row in block))
    found: dict[str, ImageInfo] = {}
    bad = []
    for path, verdict in zip(paths, verify([root / path for path in paths], workers=workers), strict=True):
        if isinstance(verdict, ImageInfo):
            found[path] = verdict
        elif strict:
            raise PerisphereError(f"{verdict} {STRICT_MEND}") from verdict
        else:
            bad.append(Skipped(path, verdict.reason, verdict.group))
    rows = []
    for row in block:
        if row["path"] in found:
            try:
                row, cut = _with_size(row, found[row["path"]])
                rows.append(row)
                if cut:
                    listing.remarks.setdefault(BOX_CUT, []).append(row["path"])
            except ImageError as error:
                if strict:
                    raise PerisphereError(f"{error} {STRICT_MEND}") from error
                bad.append(Skipped(row["path"], error.reason, error.group))
    return rows, bad


def _with_size(row: dict[str, Any], info: ImageInfo) -> tuple[dict[str, Any], bool]:
    """Return the row with the photo's size and its box within it, and whether the box was cut for that."""
    row = {**row, "width": info.width, "height": info.height}
    stored = row.pop("stored_box", None)
    box = upright_box(stored, info) if stored is not None else row.get("box")
    if box is None:
        return row, False
    x0, y0, x1, y1 = box
    row["box"] = [max(x0, 0), max(y0, 0), min(x1, info.width), min(y1, info.height)]
    if row["box"][0] >= row["box"][2] or row["box"][1] >= row["box"][3]:
        raise ImageError(
            row["path"],
            f"box {[x0, y0, x1, y1]} lies outside the image of {info.width} x {info.height} pixels",
            "box outside the image",
        )
    return row, row["box"] != [x0, y0, x1, y1]


def _nothing(skipped: list[Skipped]) -> str:
    if not skipped:
        return "holds no images. Name a folder of photos, or a table that names some."
    reasons = Counter(item.group for item in skipped).most_common(3)
    return f"no image can be used ({'; '.join(f'{count} x {reason}' for reason, count in reasons)})."

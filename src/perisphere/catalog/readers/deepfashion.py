"""DeepFashion, consumer-to-shop: the original annotation files.

Source: Liu et al., "DeepFashion: Powering Robust Clothes Recognition and Retrieval with Rich Annotations",
CVPR 2016; what is query and what is gallery: Wieczorek et al., "On the Unreasonable Effectiveness of
Centroids in Image Retrieval", ICONIP 2021.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.images import ImageError, header
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import is_inside, read_lines
from perisphere.catalog.readers.pairs import CAMERAS, check_pairs
from perisphere.errors import PerisphereError
from perisphere.progress import track

_PARTITION, _BOXES = "Eval/list_eval_partition.txt", "Anno/list_bbox_consumer2shop.txt"
_DOMAINS = {"1": "shop", "2": "user"}
_CLOTHES = {"1": "upper-body", "2": "lower-body", "3": "full-body"}
_SPLITS = {
    ("train", "user"): "train",
    ("train", "shop"): "train",
    ("test", "user"): "query",
    ("test", "shop"): "gallery",
    ("val", "shop"): "gallery",
}
_VAL_USER = "user photo of the validation part, which the published protocol leaves out"
_TWO_PARTS = "its item is in more than one part"


def list_images(root: Path, *, high_res: bool = False) -> Listing:
    """List DeepFashion's consumer-to-shop photos, a row a photo: labels are the items' numbers.

    Queries are the user photos of the test part; the gallery holds the shop photos of the test and the
    validation part. Cameras, and what is left out, are as in ``fashion``. A box goes from ``x_1, y_1`` to
    ``x_2, y_2``, as the data set defines it.

    Args:
        root: the folder of ``Anno``, ``Eval`` and ``img`` (or ``Img/img``).
        high_res: take the photos of ``img_highres``; the boxes, which are those of the small photos in
            ``img`` or ``img_low_res``, grow with them.

    Raises:
        PerisphereError: a file or folder is missing or of another form.
    """
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    listing = Listing(root)
    photos = _Photos(root, high_res)
    parts = _parts(listing, root / _PARTITION)
    for path, words in track(_table(listing, root / _BOXES, 7), "listing"):
        row = _row(path, words, parts)
        if isinstance(row, dict):
            row = photos.place(row)
        if isinstance(row, dict):
            listing.rows.append(row)
        else:
            left_out = listing.ignored if row == _VAL_USER else listing.bad
            left_out.append(Skipped(path, row))
    listing.check = check_pairs
    return listing


def _table(listing: Listing, file: Path, columns: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the first word and the others of each line after the count and the header."""
    lines = read_lines(file)
    count = next(lines, (0, ""))[1]
    if not (count.isascii() and count.isdigit()) or next(lines, None) is None:
        raise PerisphereError(f"{file}: does not begin with a count and a line of headers. Get it again.")
    found = 0
    for number, line in lines:
        found += 1
        words = line.split()
        if len(words) == columns:
            yield words[0], words[1:]
        else:
            where = f"{file.name}: line {number}"
            listing.bad.append(Skipped(where, f"line has not {columns} words"))
    if found != int(count):
        lengths = f"{file.name} ({count} announced, {found} there)"
        listing.remarks.setdefault("list of another length than it announces", []).append(lengths)


def _parts(listing: Listing, file: Path) -> dict[str, str]:
    """Return the part (train, val, test) by item; an item of several parts has an empty one."""
    parts: dict[str, str] = {}
    for path, (_, item, part) in _table(listing, file, 4):
        if part not in ("train", "val", "test"):
            listing.bad.append(Skipped(path, "its part is not train, val or test"))
        elif parts.setdefault(item, part) != part:
            parts[item] = ""
    return parts


def _row(path: str, words: list[str], parts: dict[str, str]) -> dict[str, Any] | str:
    """Return the row of a line, or why there is none."""
    clothes, source, *numbers = words
    item = PurePosixPath(path).parent.name
    number = item.removeprefix("id_")
    if not is_inside(path) or not (number.isascii() and number.isdigit()):
        return "path is not img/CATEGORY/.../id_NUMBER/IMAGE"
    if source not in _DOMAINS or clothes not in _CLOTHES:
        return "clothes type or source type is unknown"
    part, domain = parts.get(item), _DOMAINS[source]
    if not part:
        return "its item is in no part" if part is None else _TWO_PARTS
    if (part, domain) not in _SPLITS:
        return _VAL_USER
    if not all(text.removeprefix("-").isdecimal() for text in numbers):
        return "box is no four whole numbers"
    box = [int(text) for text in numbers]
    if box[0] >= box[2] or box[1] >= box[3]:
        return "box without an area"
    split = _SPLITS[part, domain]
    return {
        "path": path,
        "split": split,
        "label": str(int(number)),
        "camera": CAMERAS[split],
        "domain": domain,
        "categories": [_CLOTHES[clothes]],
        "stored_box": box,
    }


class _Photos:
    """Where the photos lie, and how their boxes follow to those of high resolution."""

    def __init__(self, root: Path, high_res: bool) -> None:
        small = ("img_low_res", "img", "Img/img") if high_res else ("img", "Img/img")
        self.root, self.high_res = root, high_res
        self.small = _first(root, small)
        if high_res:
            _first(root, ("img_highres",))
        # The photos of one category lie in a folder of another name than the lists have.
        clothing = root / "img_highres" / "CLOTHING"
        self.renamed = not (clothing / "Summer_Wear").is_dir() and (clothing / "Summer_Suit").is_dir()

    def place(self, row: dict[str, Any]) -> dict[str, Any] | str:
        """Return the row with its photo's path, or why the photo cannot be used."""
        inner = row["path"].removeprefix("img/")
        small = f"{self.small}/{inner}"
        if not self.high_res:
            return {**row, "path": small}
        if self.renamed:
            inner = inner.replace("CLOTHING/Summer_Wear/", "CLOTHING/Summer_Suit/")
        path = f"img_highres/{inner}"
        try:
            (width, height), (w, h) = header(self.root / path), header(self.root / small)
        except ImageError as error:
            return error.group
        x0, y0, x1, y1 = row["stored_box"]
        box = [x0 * width // w, y0 * height // h, x1 * width // w, y1 * height // h]
        return {**row, "path": path, "stored_box": box}


def _first(root: Path, names: tuple[str, ...]) -> str:
    for name in names:
        if (root / name).is_dir():
            return name
    raise PerisphereError(f"{root}: holds no folder {' or '.join(names)}. Is the data set complete?")

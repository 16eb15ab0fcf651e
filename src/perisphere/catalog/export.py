"""Write a catalog as a CSV file or as folders, for programs that know nothing of catalogs."""

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import quote

from perisphere.catalog.catalog import Catalog
from perisphere.errors import PerisphereError, UsageError
from perisphere.progress import track
from perisphere.storage import whole_file, whole_folder

Link = Literal["symlink", "hard", "copy"]
SEPARATOR = "|"

_COLUMNS = ("path", "split", "label", "camera", "domain", "tags", "caption", "categories", "concepts", "url")
_LISTS = ("tags", "categories", "concepts")
_CORNERS = ("x0", "y0", "x1", "y1")
_LONGEST_NAME = 255


def write_csv(catalog: Catalog, file: Path) -> None:
    """Write one line an image, in columns that the ``csv`` reader takes without options.

    Paths are relative to the catalog's root; tags, categories and concepts are parted by :data:`SEPARATOR`.

    Raises:
        PerisphereError: a tag, category or concept holds the separator, or the disk refuses.
    """
    for name in _LISTS:
        for value in catalog.table[name].explode(empty_as_null=True).drop_nulls().unique():
            if SEPARATOR in value:
                raise PerisphereError(
                    f"{file}: {name[:-1]} {value!r} holds {SEPARATOR!r}, which parts {name} in CSV."
                )
    with whole_file(file) as part, part.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([*_COLUMNS, *_CORNERS])
        for row in catalog.table.iter_rows(named=True):
            cells = [SEPARATOR.join(row[name]) if name in _LISTS else row[name] for name in _COLUMNS]
            writer.writerow([*cells, *(row["box"] or [None] * 4)])


def write_pairs(catalog: Catalog, file: Path) -> None:
    """Write ``image_path,class_image``, one line an image, as the published landmark system has it.

    The path starts with the name of the catalog's root; the class of an image without a label is the folder
    that holds it. ``perisphere read csv FILE --images FOLDER`` reads it back, ``FOLDER`` holding the root.

    Raises:
        PerisphereError: the disk refuses.
    """
    with whole_file(file) as part, part.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["image_path", "class_image"])
        for path, label in catalog.table.select("path", "label").iter_rows():
            place = PurePosixPath(catalog.root.name, path)
            writer.writerow([str(place), place.parent.name if label is None else label])


def write_folders(catalog: Catalog, folder: Path, *, link: Link = "symlink", overwrite: bool = False) -> int:
    """Write ``folder/SPLIT/CLASS/IMAGE`` for every image that is in a split, and return how many.

    Characters of a label that a folder's name cannot carry everywhere are percent-encoded (``AC/DC`` becomes
    ``AC%2FDC``). Where two images of one class have the same name, the later one's id is appended. The folder
    appears under its name only when it is whole.

    Args:
        catalog: with splits.
        folder: where to write; must not exist unless ``overwrite`` is set.
        link: symbolic links to the images, hard links, or copies.
        overwrite: replace an older folder, if it was written by this function.

    Raises:
        PerisphereError: no image is in a split, an image is gone, or the disk refuses.
    """
    if link not in ("symlink", "hard", "copy"):
        raise UsageError(f"link: {link!r} is not symlink, hard or copy.")
    targets = _targets(catalog)
    if not targets:
        raise PerisphereError(f"{folder}: no image is in a split, so there is nothing to write.")
    with whole_folder(folder, overwrite=overwrite) as part:
        record = {"images": len(targets), "root": str(catalog.root), "source": catalog.source}
        (part / "splits.json").write_text(json.dumps(record, indent=1, ensure_ascii=False), "utf-8")
        for target, source in track(list(targets.items()), f"writing {folder}"):
            _place(source, part / target, link)
    return len(targets)


def _targets(catalog: Catalog) -> dict[str, Path]:
    """Return relative target to image; an image with several rows in one class is placed once."""
    targets: dict[str, Path] = {}
    placed = set()
    rows = catalog.table.select("id", "path", "split", "label").iter_rows()
    for id, path, split, label in rows:
        if split is None:
            continue
        source = catalog.root / path
        if (split, label, source) in placed:
            continue
        placed.add((split, label, source))
        parents = [folder_name(split)] + ([] if label is None else [folder_name(label)])
        stem, suffix = os.path.splitext(os.path.basename(path))  # noqa: PTH119, PTH122
        target = "/".join([*parents, stem + suffix])
        while target in targets:
            stem = f"{stem}-{id}"
            target = "/".join([*parents, stem + suffix])
        targets[target] = source
    return targets


def folder_name(label: str) -> str:
    """Return a folder name for any text: two texts never share one."""
    name = "".join(_encoded(character) for character in label)
    if name.startswith("."):
        name = "%2E" + name[1:]
    if name.endswith((".", " ")):
        name = name[:-1] + quote(name[-1], safe="").replace(".", "%2E")
    if not name:
        return "%"
    if len(name.encode()) > _LONGEST_NAME:
        digest = hashlib.sha256(label.encode()).hexdigest()[:16]
        name = name.encode()[: _LONGEST_NAME - 17].decode("utf-8", "ignore") + "%" + digest
    return name


def _encoded(character: str) -> str:
    return (
        quote(character, safe="") if character in '%/\\<>:"|?*' or not character.isprintable() else character
    )


def _place(source: Path, target: Path, link: Link) -> None:
    if not source.is_file():
        raise PerisphereError(f"{source}: gone since the catalog was read. Read it again.")
    target.parent.mkdir(parents=True, exist_ok=True)
    if link == "symlink":
        target.symlink_to(source.resolve())
    elif link == "copy":
        shutil.copy2(source, target)
    else:
        try:
            target.hardlink_to(source.resolve())
        except OSError as error:
            mend = "Use --link symlink or --link copy."
            raise PerisphereError(f"{source}: cannot be hard-linked ({error.strerror}). {mend}") from error

"""A class per beginning of the file name, as flat collections of landmark photos have it."""

from pathlib import Path

from perisphere.catalog.ground_truth import stem
from perisphere.catalog.readers.listing import Listing, walk


def list_images(root: Path) -> Listing:
    """List the images below ``root``; the class is the file name up to its last underscore.

    ``all_souls_000013.jpg`` is of the class ``all_souls``, ``paris_eiffel_000012.jpg`` of ``paris_eiffel``,
    whatever folder they lie in. A name without an underscore has no class.
    """
    listing = walk(root)
    for row in listing.rows:
        row["label"] = class_of(stem(row["path"]))
    return listing


def class_of(name: str) -> str | None:
    """Return a file name's class: all before the last underscore."""
    return name.rpartition("_")[0] or None

"""Photos out of arrays: one PNG each, so that everything else sees a folder of photos."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from perisphere.catalog.readers.listing import Listing
from perisphere.progress import track


def unpack(listing: Listing, folder: Path) -> Listing:
    """Write the photos that a listing holds as arrays, lossless, and return the listing of the files.

    Args:
        listing: with ``packed`` rows.
        folder: new; it becomes the root of the paths.
    """
    made: set[Path] = set()
    rows = [_write(row, folder, made) for row in track(listing.packed or (), "unpacking")]
    return Listing(folder, rows, bad=listing.bad, ignored=listing.ignored, classes=listing.classes)


def _write(row: dict[str, Any], folder: Path, made: set[Path]) -> dict[str, Any]:
    file = folder / row["path"]
    if file.parent not in made:
        file.parent.mkdir(parents=True, exist_ok=True)
        made.add(file.parent)
    Image.fromarray(np.ascontiguousarray(row.pop("pixels"))).save(file, "PNG")
    return row

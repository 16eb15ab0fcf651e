"""Images without labels."""

from pathlib import Path

from perisphere.catalog.readers.listing import Listing, walk


def list_images(root: Path) -> Listing:
    """List the images in a folder and the folders below it; nothing is known about them but their paths."""
    return walk(root)

"""What every layout on disk answers."""

from pathlib import Path
from typing import Protocol

from perisphere.catalog.scenes.photo import Photo
from perisphere.catalog.scenes.world import Landmark


class Layout(Protocol):
    """Writes one collection under ``out``.

    ``write`` runs in several processes at once, each with its own photos, and returns what ``finish`` needs
    to know of the photo; ``finish`` runs once, with the records of all photos in order.
    """

    def __init__(self, out: Path, *, truth: bool) -> None: ...

    def write(self, photo: Photo) -> dict[str, object]:
        """Write the files of one photo; return its record (picklable)."""

    def finish(self, landmarks: list[Landmark], records: list[dict[str, object]]) -> None:
        """Write the files about the whole collection."""

    def label(self, landmark: Landmark) -> str:
        """Return the label that the reader of this layout gives a landmark."""

    @property
    def photos(self) -> Path:
        """Where the reader of this layout is pointed."""

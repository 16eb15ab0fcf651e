"""What every layout on disk answers."""

from pathlib import Path
from typing import NamedTuple, Protocol

from perisphere.catalog.scenes.photo import Photo, take_photo
from perisphere.catalog.scenes.world import Landmark, landmark

OUTSIDE = 100_000
"""Landmarks from here on are no query's, photos from here on junk; a collection asks for fewer of either."""


class Roll(NamedTuple):
    """Photos ``first`` to ``end`` (exclusive) of one landmark."""

    landmark: int
    first: int
    end: int


class Layout(Protocol):
    """Writes one collection under ``out``.

    ``write`` runs in several processes at once, each with its own photos, and returns what ``finish`` needs
    to know of the photo; ``finish`` runs once, with the records of all photos in order.
    """

    def __init__(self, out: Path, *, truth: bool) -> None: ...

    def rolls(self, landmarks: int, photos: int) -> list[Roll]:
        """Return what is to be photographed, where ``photos`` of each of ``landmarks`` are asked for."""
        return [Roll(number, 0, photos) for number in range(landmarks)]

    def build(self, seed: int, number: int, spread: float) -> Landmark:
        """Build one landmark; see :func:`perisphere.catalog.scenes.world.landmark`."""
        return landmark(seed, number, spread)

    def take(self, seed: int, of: int, number: int, *, size: int, difficulty: str) -> Photo:
        """Take one photo; see :func:`perisphere.catalog.scenes.photo.take_photo`."""
        return take_photo(seed, of, number, size=size, difficulty=difficulty)

    def write(self, photo: Photo) -> dict[str, object]:
        """Write the files of one photo; return its record (picklable)."""

    def finish(self, landmarks: list[Landmark], records: list[dict[str, object]]) -> None:
        """Write the files about the whole collection."""

    def label(self, landmark: Landmark) -> str:
        """Return the label that the reader of this layout gives a landmark."""

    @property
    def photos(self) -> Path:
        """Where the reader of this layout is pointed."""

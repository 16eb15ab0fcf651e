"""Layout ``folders``: one folder per landmark, below style and family; truth lies beside the photos.

::

    OUT/photos/church/gothic/belmere-cathedral/0001.jpg
"""

from pathlib import Path

from perisphere.catalog.scenes.layouts.layout import Layout
from perisphere.catalog.scenes.layouts.truth import write_mask, write_truth
from perisphere.catalog.scenes.photo import Photo
from perisphere.catalog.scenes.world import Landmark


class Folders(Layout):
    """Writes ``OUT/photos/FAMILY/STYLE/LANDMARK/0001.jpg`` and, with ``truth``, ``OUT/truth``."""

    def __init__(self, out: Path, *, truth: bool) -> None:
        self.out, self.truth = out, truth

    @property
    def photos(self) -> Path:
        """The folder for ``perisphere read folders``."""
        return self.out / "photos"

    def label(self, landmark: Landmark) -> str:
        """Return the name of its folder."""
        return landmark.slug

    def write(self, photo: Photo) -> dict[str, object]:
        """Write the JPEG and the mask; paths in the record are relative to the photos' folder."""
        path = Path(*photo.landmark.categories, f"{photo.number + 1:04d}.jpg")
        file = self.photos / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo.jpeg())
        return write_mask(self.out / "truth", path, photo) if self.truth else {}

    def finish(self, landmarks: list[Landmark], records: list[dict[str, object]]) -> None:
        """Write what is true of the photos."""
        if self.truth:
            write_truth(self.out / "truth", landmarks, records)

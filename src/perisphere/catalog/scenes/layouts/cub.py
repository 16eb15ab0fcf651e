"""Layout ``cub``: a folder for each landmark, and the lists of Caltech-UCSD Birds.

::

    OUT/cub/images/001.Belmere_Cathedral/Belmere_Cathedral_0001.jpg
    OUT/cub/images.txt, image_class_labels.txt, train_test_split.txt, classes.txt
"""

from collections.abc import Sequence
from pathlib import Path

from perisphere.catalog.scenes.layouts.layout import Layout
from perisphere.catalog.scenes.layouts.truth import write_mask, write_truth
from perisphere.catalog.scenes.photo import Photo
from perisphere.catalog.scenes.world import Landmark


class Cub(Layout):
    """Every second photo is for training, the others for testing."""

    def __init__(self, out: Path, *, truth: bool) -> None:
        self.out, self.truth = out, truth

    @property
    def photos(self) -> Path:
        """The folder for ``perisphere read cub``."""
        return self.out / "cub"

    def label(self, landmark: Landmark) -> str:
        """Return the name of its class."""
        return f"{landmark.number + 1:03d}.{landmark.name.replace(' ', '_')}"

    def write(self, photo: Photo) -> dict[str, object]:
        """Write the JPEG and the mask; paths in the record are relative to the photos' folder."""
        label = self.label(photo.landmark)
        inner = Path(label, f"{label.partition('.')[2]}_{photo.number + 1:04d}.jpg")
        file = self.photos / "images" / inner
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo.jpeg())
        record = write_mask(self.out / "truth", "images" / inner, photo) if self.truth else {}
        train = int(photo.number % 2 == 0)
        return {**record, "line": inner.as_posix(), "class": photo.landmark.number + 1, "train": train}

    def finish(self, landmarks: list[Landmark], records: list[dict[str, object]]) -> None:
        """Write the lists, and what is true of the photos."""
        for name, key in (("images", "line"), ("image_class_labels", "class"), ("train_test_split", "train")):
            self._list(name, [record[key] for record in records])
        self._list("classes", [self.label(landmark) for landmark in landmarks])
        if self.truth:
            write_truth(self.out / "truth", landmarks, records)

    def _list(self, name: str, values: Sequence[object]) -> None:
        lines = "".join(f"{number} {value}\n" for number, value in enumerate(values, 1))
        (self.photos / f"{name}.txt").write_text(lines, "utf-8")

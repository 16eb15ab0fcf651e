"""Layouts ``oxford5k``, ``paris6k`` and ``revisited``: photos with queries, boxes and lists of what is right.

::

    OUT/oxford5k/jpg/belmere_cathedral_000001.jpg     OUT/oxford5k/gt/belmere_cathedral_1_query.txt, _good ...
    OUT/paris6k/belmere/paris_belmere_000001.jpg      OUT/paris6k/gt/...
    OUT/revisited/jpg/belmere_cathedral_000001.jpg    OUT/revisited/gnd_scenes.pkl
"""

import pickle
from pathlib import Path
from typing import ClassVar, cast

from perisphere.catalog.scenes.layouts.layout import Layout
from perisphere.catalog.scenes.layouts.relevance import Shot, choose_queries, classic_lists, revisited_lists
from perisphere.catalog.scenes.layouts.truth import write_mask, write_truth
from perisphere.catalog.scenes.photo import Photo
from perisphere.catalog.scenes.world import Landmark


class _Benchmark(Layout):
    """Writes ``CLASS_NUMBER.jpg``, then the ground truth from what the photos show."""

    name: ClassVar[str]

    def __init__(self, out: Path, *, truth: bool) -> None:
        self.out, self.truth = out, truth

    @property
    def photos(self) -> Path:
        """The folder for ``perisphere read``."""
        return self.out / self.name

    def label(self, landmark: Landmark) -> str:
        """Return what its photos' names begin with."""
        return landmark.slug.replace("-", "_")

    def write(self, photo: Photo) -> dict[str, object]:
        """Write the JPEG and the mask; paths in the record are relative to the photos' folder."""
        path = self.place(photo)
        file = self.photos / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo.jpeg())
        record = write_mask(self.out / "truth", path, photo) if self.truth else {}
        return {**record, "shot": Shot.of(photo, path.stem)}

    def finish(self, landmarks: list[Landmark], records: list[dict[str, object]]) -> None:
        """Write the ground truth, and what is true of the photos."""
        self.write_ground_truth([cast(Shot, record["shot"]) for record in records])
        if self.truth:
            write_truth(self.out / "truth", landmarks, records)

    def place(self, photo: Photo) -> Path:
        """Return the path of a photo, relative to the photos' folder."""
        return Path("jpg", f"{self.label(photo.landmark)}_{photo.number + 1:06d}.jpg")

    def write_ground_truth(self, shots: list[Shot]) -> None:
        """Choose queries and write what is right for them."""
        raise NotImplementedError


class Oxford5k(_Benchmark):
    """Oxford 5k: four text files a query; the queries' photos stay in the gallery."""

    name = "oxford5k"
    mark = "oxc1_"  # what the published query files put before the photo's name

    def write_ground_truth(self, shots: list[Shot]) -> None:
        """Write ``gt/CLASS_1_query.txt``, ``_good``, ``_ok`` and ``_junk``."""
        folder = self.photos / "gt"
        folder.mkdir()
        numbers: dict[str, int] = {}
        for query in choose_queries(shots):
            numbers[query.label] = numbers.get(query.label, 0) + 1
            base = f"{query.name.rpartition('_')[0]}_{numbers[query.label]}"
            corners = " ".join(f"{corner:.1f}" for corner in query.box)
            (folder / f"{base}_query.txt").write_text(f"{self.mark}{query.name} {corners}\n", "utf-8")
            for part, names in classic_lists(query, shots).items():
                (folder / f"{base}_{part}.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")


class Paris6k(Oxford5k):
    """Paris 6k: as Oxford 5k, but with a folder for each landmark and ``paris_`` in each name."""

    name = "paris6k"
    mark = ""

    def place(self, photo: Photo) -> Path:
        """Return the path of a photo, relative to the photos' folder."""
        folder = super().label(photo.landmark)
        return Path(folder, f"{self.label(photo.landmark)}_{photo.number + 1:06d}.jpg")

    def label(self, landmark: Landmark) -> str:
        """Return what its photos' names begin with."""
        return f"paris_{super().label(landmark)}"


class Revisited(_Benchmark):
    """ROxford 5k and RParis 6k: the queries' photos are not in the gallery; easy, hard and junk by index."""

    name = "revisited"

    def write_ground_truth(self, shots: list[Shot]) -> None:
        """Write ``gnd_scenes.pkl``."""
        queries = choose_queries(shots)
        asked = {query.name for query in queries}
        gallery = [shot for shot in shots if shot.name not in asked]
        truth = {
            "imlist": [shot.name for shot in gallery],
            "qimlist": [query.name for query in queries],
            "gnd": [
                {"bbx": [float(corner) for corner in query.box], **revisited_lists(query, gallery)}
                for query in queries
            ],
        }
        (self.photos / "gnd_scenes.pkl").write_bytes(pickle.dumps(truth, protocol=2))

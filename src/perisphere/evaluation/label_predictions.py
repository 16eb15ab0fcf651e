"""What is predicted of a photo's concepts: masks read back, masks made at once, or the truth made coarse."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from perisphere.catalog import Catalog, decode
from perisphere.catalog.label_images import read_labels
from perisphere.encoder.segment import Segmenter
from perisphere.encoder.segment_catalog import PART, Segmented, options_of
from perisphere.errors import PerisphereError
from perisphere.tags.architecture import AMBIGUOUS, CONCEPTS


class Predicted(NamedTuple):
    """Of one photo.

    Attributes:
        labels: uint8 ``[h, w]``: 0 background, ``k + 1`` the ``k``-th class; ``None`` without masks.
        scores: float32 ``[C]``, higher is likelier; ``None`` where only masks are known.
    """

    labels: np.ndarray | None
    scores: np.ndarray | None


class Predictions(Protocol):
    """Classes in the order of the labels' numbers, and what is predicted for the photo at a path."""

    classes: list[str]

    def __call__(self, path: Path) -> Predicted | None:
        """Return ``None`` where there is no prediction."""

    def described(self) -> dict[str, Any]:
        """Return JSON values for the report."""


class FromFolder:
    """Masks and scores of a folder of ``segment predict``.

    Raises:
        PerisphereError: it is none, or damaged.
    """

    def __init__(self, folder: Path) -> None:
        found = Segmented.load(folder)
        self.folder, self.classes = folder, found.classes
        masks = found.catalog.mask_paths(PART)
        ids = found.catalog.table["id"].to_list()
        if not masks.keys() >= set(ids):
            raise PerisphereError(f"{folder}: lacks masks of some photos. Segment the photos again.")
        self._found: Mapping[Path, tuple[Path, np.ndarray]] = {
            path: (masks[image], found.scores[row])
            for row, (path, image) in enumerate(zip(found.catalog.paths(), ids, strict=True))
        }
        self._facts = dict(found.catalog.source["segmented"])

    def __call__(self, path: Path) -> Predicted | None:
        """Read the mask of a photo."""
        if path not in self._found:
            return None
        mask, scores = self._found[path]
        return Predicted(read_labels(mask), scores)

    def described(self) -> dict[str, Any]:
        """Return what the masks were made with."""
        return {"masks": str(self.folder), **self._facts}


class FromEncoder:
    """Masks and scores made at once; they are kept nowhere."""

    def __init__(self, segmenter: Segmenter) -> None:
        if segmenter.keep == "labels":
            raise PerisphereError("masks of given labels are no prediction; use `segment predict` for them.")
        segmenter.check_classes()
        self.segmenter, self.classes = segmenter, list(segmenter.classes)

    def __call__(self, path: Path) -> Predicted | None:
        """Segment a photo; ``None`` where it cannot be read."""
        try:
            picture = decode(path)
        except PerisphereError:
            return None
        found = self.segmenter.segment(picture)
        return Predicted(found.labels, found.scores)

    def described(self) -> dict[str, Any]:
        """Return what the masks are made with."""
        return options_of(self.segmenter)


class Oracle:
    """The true masks at a coarse resolution: the best that a network with maps of that size can do.

    Each class is made small and large again (bilinear), and holds where more than half of it is left.
    """

    def __init__(self, truth: Catalog, size: tuple[int, int]) -> None:
        self.classes, self.size = classes_of(truth), size
        masks = truth.mask_paths(PART)
        ids = truth.table["id"].to_list()
        self._masks = {path: masks.get(image) for path, image in zip(truth.paths(), ids, strict=True)}

    def __call__(self, path: Path) -> Predicted | None:
        """Return the true mask of a photo, made coarse."""
        mask = self._masks.get(path)
        if mask is None:
            return None
        truth = read_labels(mask)
        labels = np.zeros_like(truth)
        for place in np.unique(truth):
            if place in (0, AMBIGUOUS):
                continue
            small = cv2.resize((truth == place).astype(np.float32), self.size[::-1])
            labels[cv2.resize(small, truth.shape[::-1]) > 0.5] = place
        return Predicted(labels, None)

    def described(self) -> dict[str, Any]:
        """Return the resolution."""
        return {"oracle": list(self.size)}


def classes_of(truth: Catalog) -> list[str]:
    """Return the names behind the numbers of a catalog's ``concepts`` masks."""
    return [str(name) for name in truth.source.get("concepts") or CONCEPTS]


def renumbered(predicted: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Return the truth's class number by that of the predictions, 255 for classes that it does not know."""
    table = np.full(256, AMBIGUOUS, np.uint8)
    table[0] = 0
    for place, name in enumerate(predicted):
        if name in names:
            table[place + 1] = names.index(name) + 1
    return table

"""A model of 8 bits: fitted to calibration photos, and its loss measured on others."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from perisphere.catalog import Catalog
from perisphere.encoder.loading import batches
from perisphere.encoder.preprocessing import Box
from perisphere.encoder.runtimes.agreement import compared, unit_rows
from perisphere.encoder.runtimes.choice import module_of
from perisphere.encoder.runtimes.compiled import Compiled
from perisphere.encoder.runtimes.export import Judged, kept
from perisphere.encoder.runtimes.exported import Exported, Quantisation
from perisphere.encoder.runtimes.names import Engine
from perisphere.encoder.runtimes.program import exported_program
from perisphere.errors import PerisphereError, UsageError
from perisphere.metrics.ranks import exact_ranks
from perisphere.metrics.retrieval import average_precision, mean
from perisphere.progress import bar

if TYPE_CHECKING:
    from perisphere.encoder.encoder import Encoder

CALIBRATION = 300
MEASURED = 2000
LEAST_COSINE = 0.9
"""Of a row of int8 and torch's, on the mean; a model below it is of no use."""


@dataclass(frozen=True)
class Drawn:
    """Photos of a catalog, and the part of each that is embedded.

    Attributes:
        paths: their files.
        boxes: ``None`` is the whole photo.
        labels: ``None`` is none.
    """

    paths: list[Path]
    boxes: list[Box | None]
    labels: list[str | None]


def quantise(
    encoder: "Encoder",
    runtime: Engine,
    catalog: Catalog,
    *,
    images: int = CALIBRATION,
    measured: int = MEASURED,
    seed: int = 0,
    named: str = "",
) -> Exported:
    """Export to a runtime as int8, into the encoder's folder, with its loss in mAP.

    Half of a small catalog calibrates at most, so that the loss is measured on photos that the model was not
    fitted to.

    Args:
        encoder: any but SIFT + VLAD, and none that is int8.
        runtime: to export to; an earlier model of it is replaced.
        catalog: of photos like those that will be embedded; the loss is measured where they have labels.
        images: to take the ranges of activations from.
        measured: photos at most to measure the loss on.
        seed: of the draw.
        named: the catalog, for people.

    Raises:
        UsageError: less than one image.
        PerisphereError: an empty catalog, a network that torch cannot export, or vectors that have little to
            do with torch's; nothing is kept then.
    """
    if images < 1 or measured < 0:
        raise UsageError(f"--images {images}: must be at least 1.")
    fitted, others = _drawn(catalog, images, measured, seed)
    program = exported_program(encoder)
    inputs = Inputs(encoder, fitted)
    attention = any("attention" in type(part).__name__.lower() for part in encoder.net.modules())

    def write(folder: Path) -> None:
        if next(iter(inputs), None) is None:
            raise PerisphereError(f"{named}: none of the photos to calibrate with can be read.")
        module_of(runtime).quantise(program, inputs, folder, attention)

    def judge(run: Compiled) -> Judged:
        shown = others if others.paths else fitted
        known, read = unit_rows(encoder, shown.paths, shown.boxes)
        rows = unit_rows(
            encoder, [shown.paths[row] for row in read], [shown.boxes[row] for row in read], run
        )[0]
        found = compared(known, rows, named)
        if not found.mean_cosine >= LEAST_COSINE:
            raise PerisphereError(
                f"{encoder.name}: int8 by {runtime} gives other vectors (mean cosine "
                f"{found.mean_cosine:.3f} to float32), so it was not kept. Calibrate with more photos."
            )
        about = Quantisation(calibration=len(fitted.paths), photos=named, seed=seed)
        if others.paths:
            about = about.model_copy(update=_loss(known, rows, [others.labels[row] for row in read]))
        return found, about

    return kept(encoder, runtime, write, judge, int8=True)


def _drawn(catalog: Catalog, images: int, measured: int, seed: int) -> tuple[Drawn, Drawn]:
    """Return the photos to calibrate with, and others to measure on, the labelled ones first."""
    if not len(catalog):
        raise PerisphereError(f"the catalog of {catalog.root} has no images; read a folder that has some.")
    order = np.random.default_rng(seed).permutation(len(catalog))
    count = min(images, max(1, len(order) // 2))
    labels, paths, boxes = catalog.labels(), catalog.paths(), catalog.table["box"].to_list()

    def some(rows: np.ndarray) -> Drawn:
        return Drawn(
            [paths[row] for row in rows], [boxes[row] for row in rows], [labels[row] for row in rows]
        )

    rest = order[count:]
    unlabelled = np.array([not labels[row] for row in rest], bool)
    return some(order[:count]), some(rest[np.argsort(unlabelled, kind="stable")][:measured])


def _loss(known: np.ndarray, rows: np.ndarray, labels: list[str | None]) -> dict[str, int | float]:
    """Return the mAP of each photo with a label as a query against all others, by torch and by int8."""
    kept_rows = np.array([bool(label) for label in labels], bool)
    _, classes, counts = np.unique(
        np.array([label for label in labels if label], dtype=str), return_inverse=True, return_counts=True
    )
    if not (counts > 1).any():
        return {}
    by_class = [np.flatnonzero(classes == number) for number in range(len(counts))]

    def figure(vectors: np.ndarray) -> float:
        ranks = exact_ranks(
            vectors[kept_rows],
            vectors[kept_rows],
            lambda query: by_class[classes[query]],
            ignored=lambda query: np.array([query]),
        )
        return mean(average_precision(ranks))

    return {"measured": int(kept_rows.sum()), "map_float32": figure(known), "map_int8": figure(rows)}


class Inputs:
    """What the network is given for photos: every view at every scale, one by one, decoded as asked for.

    Args:
        encoder: whose preprocessing and scales are applied.
        photos: those that cannot be read are left out.
    """

    def __init__(self, encoder: "Encoder", photos: Drawn) -> None:
        self.encoder, self.photos = encoder, photos

    def __len__(self) -> int:
        """Return how many there are where every photo can be read."""
        scales = self.encoder.scales
        return len(self.photos.paths) * len(scales.factors) * (10 if scales.views == "ten" else 1)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield float32 ``[1, 3, h, w]``."""
        scales, own = self.encoder.scales, self.encoder.preprocessing
        preprocessing, view = (own.uncut(), own.size) if scales.views == "ten" else (own, None)
        seen: list[np.ndarray] = []

        def record(images: torch.Tensor) -> torch.Tensor:
            seen.append(images.contiguous().numpy())
            return torch.ones(len(images), 1)

        with bar("calibrating", len(self.photos.paths)) as advance:
            for batch in batches(self.photos.paths, preprocessing, batch_size=1, boxes=self.photos.boxes):
                for picture in batch.pictures:
                    scales(record, preprocessing.normalise(torch.from_numpy(picture[None])), view)
                yield from seen
                seen.clear()
                advance(1)

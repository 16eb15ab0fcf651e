"""Which power of the background gives the best masks, on photos whose masks are known."""

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from perisphere.catalog import Catalog, decode
from perisphere.catalog.label_images import read_labels
from perisphere.encoder.segment import Segmenter
from perisphere.encoder.segment_catalog import PART
from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation.label_predictions import classes_of, renumbered
from perisphere.metrics.segmentation import agreement, confusion
from perisphere.progress import track

if TYPE_CHECKING:
    from rich.table import Table

MEAN = "mean IoU of occurring with background"
"""What the best power has most of."""

Tried = dict[float, dict[str, float]]


def try_powers(
    segmenter: Segmenter,
    truth: Catalog,
    powers: Sequence[float],
    *,
    split: str | Sequence[str] | None = None,
) -> Tried:
    """Return figures of the masks by the background's power; each photo is seen once.

    Args:
        segmenter: whose own power is passed over.
        truth: photos with true masks of concepts; those without are passed over.
        powers: to try, each above 0.
        split: whose photos; ``None``: all.

    Raises:
        PerisphereError: no photo has a mask, or one cannot be read.
        UsageError: no power, or one that is not above 0.
    """
    if not powers or not all(np.isfinite(power) and power > 0 for power in powers):
        raise UsageError(f"powers {list(powers)}: give numbers above 0; 1 changes nothing.")
    part = truth.select(split=split)
    masks, names = part.mask_paths(PART), classes_of(truth)
    if not masks:
        raise PerisphereError(f"{truth.root}: no photo has a mask of concepts; read the photos with theirs.")
    numbers = renumbered(segmenter.classes, names)
    shown = [
        (path, masks[image], concepts)
        for image, path, concepts in zip(part.table["id"], part.paths(), part.table["concepts"], strict=True)
        if image in masks
    ]
    totals = np.zeros((len(powers), len(names) + 1, len(names) + 2), np.int64)
    for path, mask, concepts in track(shown, "trying"):
        true = read_labels(mask)
        for place, found in enumerate(segmenter.segment_at(decode(path), powers, concepts.to_list())):
            same = found.labels.shape == true.shape
            totals[place] += confusion(true, numbers[found.labels] if same else None, len(names))
    return {power: _means(counts) for power, counts in zip(powers, totals, strict=True)}


def best_power(tried: Tried) -> float:
    """Return the power with the largest :data:`MEAN`; of equal ones that nearest to 1."""
    return max(tried, key=lambda power: (tried[power][MEAN], -abs(np.log(power))))


def power_table(tried: Tried) -> "Table":
    """Return the figures as a table, the best power in bold."""
    from rich.table import Table

    table = Table(title="background powers", title_justify="left")
    table.add_column("power", justify="right")
    for name in next(iter(tried.values())):
        table.add_column(name, justify="right")
    best = best_power(tried)
    for power, figures in tried.items():
        cells = ["undefined" if isnan(value) else f"{value:.4f}" for value in figures.values()]
        table.add_row(f"{power:g}", *cells, style="bold" if power == best else "")
    return table


def _means(counts: np.ndarray) -> dict[str, float]:
    found = agreement(counts)
    means = found.means("iou")
    return {
        "mean IoU of occurring": means["occurring"],
        MEAN: means["occurring with background"],
        "background IoU": float(found.iou[0]),
    }

"""Masks and scores of concepts against the truth: IoU, precision, recall, average precision."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from perisphere.catalog import Catalog
from perisphere.catalog.label_images import read_labels
from perisphere.encoder.segment_catalog import PART
from perisphere.errors import PerisphereError
from perisphere.evaluation.label_predictions import Predicted, Predictions, classes_of, renumbered
from perisphere.evaluation.report import Report
from perisphere.metrics.class_scores import average_precision, class_accuracies, top_one
from perisphere.metrics.segmentation import agreement, confusion, photo_scores
from perisphere.progress import track

BACKGROUND = "background"
UNSEEN = ", landmarks not in training"
"""Ends the names of figures over photos whose label no photo of the split ``train`` has."""

CONVENTIONS = {
    "mean IoU": "over all classes without the background; one that never occurs counts 0 (published)",
    "mean IoU with background": "the same over the background too",
    "mean IoU of occurring": "over the classes with a true pixel, without the background",
    "ambiguous": "pixels of value 255 in the truth count nowhere",
    "missing": "a photo without a prediction, or with one of another size: all its pixels are missed",
    "mAP": "each photo's first concept is right; over classes that occur; ties are taken together",
    "mAP related": "all of a photo's concepts are right",
    "top-1": "the class with the best score is the photo's first concept",
    "top-1 related": "it is any of its concepts",
}


@dataclass(frozen=True)
class JudgedSegmentation:
    """A report, and what each photo has to do with it.

    Attributes:
        report: its ``classes`` hold the figures of each class.
        photos: ``class``, ``path``, ``score`` (TP - FN - FP in pixels), ``pixels``, ``iou``: a row for each
            class in each photo that truly shows it, best scores first.
    """

    report: Report
    photos: pl.DataFrame


@dataclass
class _Counted:
    """What all photos add up to.

    Attributes:
        matrices: confusion of each photo with a true mask, by row of the truth.
        scores: of each photo, by row; ``None`` without.
        missing: paths of photos with a true mask or concepts, and no prediction.
        misshapen: those whose prediction has another size.
    """

    matrices: dict[int, np.ndarray] = field(default_factory=dict)
    scores: dict[int, np.ndarray | None] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)


def judge_segmentation(
    predictions: Predictions, truth: Catalog, *, split: str | Sequence[str] | None = None
) -> JudgedSegmentation:
    """Compare predictions with the masks and the concepts of a catalog.

    Masks are judged where a photo has a true one (part ``concepts``), scores where it has concepts. Where
    some of the photos are of labels (landmarks) that are also in the split ``train``, all figures are given
    a second time without those photos, under names that end in :data:`UNSEEN`.

    Args:
        predictions: matched with the truth by the photos' paths.
        truth: photos with masks or concepts.
        split: which of its photos; ``None``: all.

    Raises:
        PerisphereError: nothing can be judged: no mask and no concept, or no prediction for any photo.
    """
    names = classes_of(truth)
    part = truth.select(split=split)
    masks = part.mask_paths(PART)
    counted = _count(predictions, part, masks, names)
    if not counted.matrices and not counted.scores:
        raise PerisphereError(
            f"{truth.root}: no photo has a mask of concepts or a concept among {', '.join(names)}; "
            "read the truth with its masks, or label the photos with `perisphere concepts label`."
        )
    if len(counted.missing) == len(set(counted.matrices) | set(counted.scores)):
        raise PerisphereError(
            f"no photo of {truth.root} has a prediction; segment the photos of this very catalog."
        )
    values, classes = _figures(counted, part, names, list(range(len(part))))
    unseen = _unseen(truth, part)
    if 0 < len(unseen) < len(part):
        again, _ = _figures(counted, part, names, unseen)
        values |= {f"{name}{UNSEEN}": value for name, value in again.items()}
    report = Report(
        protocol="segmentation",
        values=values,
        counts=_counts(counted, part, unseen),
        conventions=CONVENTIONS,
        options=predictions.described(),
        data=_data(truth, split, counted),
        classes=classes,
    )
    return JudgedSegmentation(report, _photo_table(counted, part, names))


def _count(
    predictions: Predictions, truth: Catalog, masks: dict[int, Path], names: Sequence[str]
) -> _Counted:
    counted = _Counted()
    numbers = renumbered(predictions.classes, names)
    rows = zip(truth.table["id"], truth.paths(), truth.table["concepts"], strict=True)
    for row, (image, path, concepts) in enumerate(track(list(rows), "judging")):
        labelled = any(concept in names for concept in concepts)
        if image not in masks and not labelled:
            continue
        found = predictions(path)
        if found is None:
            counted.missing.append(truth.table["path"][row])
        if image in masks:
            true = read_labels(masks[image])
            labels = None if found is None or found.labels is None else numbers[found.labels]
            if labels is not None and labels.shape != true.shape:
                counted.misshapen.append(truth.table["path"][row])
                labels = None
            counted.matrices[row] = confusion(true, labels, len(names))
        if labelled and (found is None or found.scores is not None):
            counted.scores[row] = None if found is None else _reordered(found, predictions.classes, names)
    return counted


def _reordered(found: Predicted, predicted: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Return scores in the truth's order; a class that is not predicted has the lowest."""
    assert found.scores is not None
    place = {name: at for at, name in enumerate(predicted)}
    return np.array([found.scores[place[name]] if name in place else -np.inf for name in names])


def _figures(
    counted: _Counted, truth: Catalog, names: Sequence[str], rows: Sequence[int]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return the figures of some rows, and those of each class."""
    values: dict[str, float] = {}
    classes: dict[str, dict[str, float]] = {name: {} for name in (BACKGROUND, *names)}
    matrices = [counted.matrices[row] for row in rows if row in counted.matrices]
    if matrices:
        values |= _mask_figures(np.sum(matrices, axis=0), classes)
    labelled = [row for row in rows if row in counted.scores]
    if labelled:
        concepts = [truth.table["concepts"][row].to_list() for row in labelled]
        values |= _score_figures([counted.scores[row] for row in labelled], concepts, names, classes)
    return values, {name: figures for name, figures in classes.items() if figures}


def _mask_figures(counts: np.ndarray, classes: dict[str, dict[str, float]]) -> dict[str, float]:
    found = agreement(counts)
    for place, figures in enumerate(classes.values()):
        figures |= {"pixels": float(found.pixels[place])}
        figures |= {name: float(getattr(found, name)[place]) for name in ("iou", "precision", "recall")}
    values = {}
    for name, title in (("iou", "mean IoU"), ("precision", "mean precision"), ("recall", "mean recall")):
        means = found.means(name)
        values[title] = means["published"]
        values[f"{title} with background"] = means["published with background"]
        values[f"{title} of occurring"] = means["occurring"]
    values["pixel accuracy"] = float(np.trace(counts) / max(1, counts.sum()))
    return values


def _score_figures(
    scores: Sequence[np.ndarray | None],
    concepts: Sequence[Sequence[str]],
    names: Sequence[str],
    classes: dict[str, dict[str, float]],
) -> dict[str, float]:
    there = np.array([one is not None for one in scores])
    lowest = np.full(len(names), -np.inf)
    table = np.stack([lowest if one is None else one for one in scores])
    places = [[names.index(name) for name in some if name in names] for some in concepts]
    primary = np.array([some[0] for some in places])
    related = np.zeros(table.shape, bool)
    for row, some in enumerate(places):
        related[row, some] = True
    first = np.eye(len(names), dtype=bool)[primary]
    # a photo without a prediction is never right, though its scores are all alike
    right = class_accuracies(np.where(there[:, None], table, -first.astype(float)), primary)
    kinds = {"": first, " related": related}
    means: dict[str, float] = {}
    for kind, relevant in kinds.items():
        found = np.array([average_precision(table[:, at], relevant[:, at]) for at in range(len(names))])
        means[f"mAP{kind}"] = float(np.nanmean(found)) if not np.isnan(found).all() else float("nan")
        means[f"top-1{kind}"] = top_one(table[there], relevant[there]) * there.mean() if there.any() else 0.0
        for name, value in zip(names, found, strict=True):
            classes[name] |= {} if np.isnan(value) else {f"AP{kind}": float(value)}
    for name, value, photos in zip(names, right, first.sum(0), strict=True):
        classes[name] |= {"photos": float(photos)} | ({} if np.isnan(value) else {"accuracy": float(value)})
    return means | {"mean class accuracy": float(np.nanmean(right))}


def _unseen(truth: Catalog, part: Catalog) -> list[int]:
    """Return the rows whose label no photo to learn from has; all rows, where nothing is known of that."""
    if "train" not in truth.splits() or part is truth:
        return list(range(len(part)))
    known = set(truth.select(split="train").labels()) - {None}
    return [row for row, label in enumerate(part.labels()) if label not in known]


def _counts(counted: _Counted, truth: Catalog, unseen: Sequence[int]) -> dict[str, int]:
    counts = {
        "photos": len(truth),
        "photos_with_a_true_mask": len(counted.matrices),
        "photos_with_concepts": len(counted.scores),
        "photos_without_a_prediction": len(counted.missing),
        "predictions_of_another_size": len(counted.misshapen),
    }
    if 0 < len(unseen) < len(truth):
        counts["photos_of_landmarks_not_in_training"] = len(unseen)
    return counts


def _data(truth: Catalog, split: str | Sequence[str] | None, counted: _Counted) -> dict[str, Any]:
    """Return where the truth came from, and the first photos that lack a prediction."""
    data: dict[str, Any] = {"source": str(truth.root), "split": split if split is None else str(split)}
    named = {"missing": counted.missing[:20], "misshapen": counted.misshapen[:20]}
    return data | {name: paths for name, paths in named.items() if paths}


def _photo_table(counted: _Counted, truth: Catalog, names: Sequence[str]) -> pl.DataFrame:
    rows = []
    for row, counts in counted.matrices.items():
        figures, scores = agreement(counts), photo_scores(counts)
        for place, name in enumerate((BACKGROUND, *names)):
            if figures.pixels[place]:
                facts = (int(scores[place]), int(figures.pixels[place]), float(figures.iou[place]))
                rows.append((place, name, truth.table["path"][row], *facts))
    columns = ["place", "class", "path", "score", "pixels", "iou"]
    table = pl.DataFrame(rows, schema=columns, orient="row")
    return table.sort(["place", "score"], descending=[False, True], maintain_order=True).drop("place")

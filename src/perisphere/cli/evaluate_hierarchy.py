"""``perisphere evaluate hierarchy``: what its options mean."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.evaluation import Judged, Points, Report
    from perisphere.evaluation.class_prediction import Predictor
    from perisphere.taxonomy import ClassPoints, Taxonomy


class ScalingName(StrEnum):
    """How vectors are scaled for the SVM."""

    unit = "unit"
    largest = "largest"


class SimilarityName(StrEnum):
    """How similar two classes are."""

    lcs_height = "lcs_height"
    wup = "wup"


SHOWN = {SimilarityName.lcs_height: "LCS height", SimilarityName.wup: "WUP"}


def judge_by_taxonomy(
    source: Path,
    taxonomy: "Taxonomy | None",
    classes: Path | None,
    svm: dict[str, Any] | None,
    run: Path | None,
    options: dict[str, Any],
) -> "Judged":
    """Judge vectors by a taxonomy: the one named, or that of the class points.

    Args:
        source: an embeddings folder or an index.
        taxonomy: named by the user.
        classes: a file of class points named by the user.
        svm: ``splits`` and ``folders`` to learn from, ``scaling`` and ``c``; ``None`` learns no SVM.
        run: folder of a training run whose classifier predicts too.
        options: of :func:`~perisphere.evaluation.hierarchy.judge_hierarchy`.
    """
    from perisphere.evaluation import judge_hierarchy, read_points
    from perisphere.evaluation.class_prediction import by_class_points
    from perisphere.taxonomy import ClassPoints

    points = read_points(source)
    found = ClassPoints.load(classes) if classes else _classes_of_encoder(points)
    known = taxonomy or (found.taxonomy if found else None)
    if known is None:
        raise UsageError("hierarchy needs a taxonomy; name its file with --taxonomy.")
    predictors: list[Predictor] = []
    if found is not None:
        predictors.append(by_class_points(found, known))
    if svm is not None:
        predictors.append(_svm(points, known, **svm))
    if run is not None:
        from perisphere.evaluation.class_prediction import by_classifier
        from perisphere.training.trained_classifier import TrainedClassifier

        predictors.append(by_classifier(TrainedClassifier.of_run(run), known))
    return judge_hierarchy(points, known, predictors=predictors, **options)


def svm_options(
    splits: Sequence[str] | None, folders: Sequence[Path] | None, scaling: ScalingName, c: float
) -> dict[str, Any] | None:
    """Return what an SVM learns from; ``None`` where none is asked for."""
    if splits is None and not folders:
        return None
    return {"splits": splits, "folders": list(folders or ()), "scaling": scaling.value, "c": c}


def write_csv(reports: "dict[str, Report]", path: Path, similarity: SimilarityName) -> None:
    """Write the curves of reports as CSV, and say so."""
    import typer

    from perisphere.evaluation.curve_table import write_curves

    typer.echo(f"wrote {write_curves(reports, path, SHOWN[similarity])}", err=True)


def _svm(
    points: "Points",
    taxonomy: "Taxonomy",
    splits: Sequence[str] | None,
    folders: Sequence[Path],
    scaling: str,
    c: float,
) -> "Predictor":
    from perisphere.evaluation import read_points
    from perisphere.evaluation.svm import by_svm

    learnt = [read_points(folder) for folder in folders] or [points]
    of_splits = [some.of_split(splits) for some in learnt]
    return by_svm(of_splits, taxonomy, scaling=scaling, c=c)  # type: ignore[arg-type]


def _classes_of_encoder(points: "Points") -> "ClassPoints | None":
    """Return the class points that the vectors' encoder was trained towards, if it is there and has any."""
    from perisphere.encoder.companions import CLASSES
    from perisphere.evaluation.points import encoder_folder
    from perisphere.taxonomy import ClassPoints

    folder = encoder_folder(points)
    return ClassPoints.load(folder / CLASSES) if folder and (folder / CLASSES).is_file() else None

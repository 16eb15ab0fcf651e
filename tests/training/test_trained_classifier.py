import json
import os

import numpy as np
import polars as pl
import pytest
import torch

from perisphere.encoder import Encoder
from perisphere.errors import PerisphereError
from perisphere.evaluation import Points
from perisphere.evaluation.class_prediction import by_classifier
from perisphere.taxonomy import Taxonomy
from perisphere.training import train
from perisphere.training.trained_classifier import TrainedClassifier

NET = {"backbone": "small32", "projection": 8}
EASY = {"net": NET, "augmentation": {"flip": 0.5}, "optimizer": {"name": "adam", "lr": 0.01}, "epochs": 3}
ONE_HOT = {"points": "onehot", "cls_weight": 0.5}


def validation(photos):
    files = sorted((photos / "val").rglob("*.png"))
    return files, [file.parent.name for file in files]


@pytest.mark.parametrize(
    ("options", "figure"),
    [
        ({}, "accuracy"),
        pytest.param({"classifier": {"name": "cosine"}}, "accuracy", marks=pytest.mark.slow),
        ({"method": "hierarchy", "hierarchy": ONE_HOT, "net": {"backbone": "small32"}}, "class_accuracy"),
        (
            {
                "method": "hierarchy",
                "hierarchy": ONE_HOT | {"cls_base": "pooled"},
                "net": {"backbone": "small32"},
            },
            "class_accuracy",
        ),
        pytest.param({"method": "center"}, "accuracy", marks=pytest.mark.slow),
        pytest.param({"method": "label_embedding"}, "accuracy", marks=pytest.mark.slow),
    ],
)
def test_it_predicts_what_validation_counted(recipe, photos, options, figure):
    wished = recipe(**EASY | options)
    train(wished)
    files, labels = validation(photos)
    classifier = TrainedClassifier.of_run(wished.folder)
    assert classifier.classes == ("class0", "class1", "class2")
    assert classifier.epoch == 3
    ranked = classifier.predict(files, top=2)
    assert ranked.shape == (24, 2)
    right = np.mean(
        [classifier.classes[first] == label for first, label in zip(ranked[:, 0], labels, strict=True)]
    )
    last = json.loads((wished.folder / "history.json").read_text())[-1]
    assert right == pytest.approx(last[f"val/{figure}"], abs=1 / 24)  # a tie may fall otherwise
    assert right > 0.6


@pytest.fixture
def run(recipe):
    wished = recipe(**EASY | {"epochs": 1})
    train(wished)
    return wished.folder


def test_it_predicts_for_evaluation(run, photos):
    files, labels = validation(photos)
    rows = pl.DataFrame({"id": range(24), "path": map(str, files), "split": ["val"] * 24, "label": labels})
    taxonomy = Taxonomy.from_pairs([("all", f"class{number}") for number in range(3)])
    points = Points(Encoder.load(run / "encoder").encode(files), rows, "here")
    classifier = TrainedClassifier.of_run(run)
    prediction = by_classifier(classifier, taxonomy)(points)
    assert prediction.by == "classifier"
    assert prediction.options == {"classes": 3, "epoch": 1}
    np.testing.assert_array_equal(prediction.ranked, classifier.predict(files))
    lost = Points(points.vectors, rows.with_columns(pl.lit(None, pl.String).alias("path")), "here")
    with pytest.raises(PerisphereError, match="here: row 0 has no photo"):
        by_classifier(classifier, taxonomy)(lost)


def test_runs_without_a_classifier(recipe, tmp_path):
    wished = recipe(
        method="hierarchy",
        hierarchy={"points": "onehot"},
        **EASY | {"epochs": 1, "net": {"backbone": "small32"}},
    )
    train(wished)
    with pytest.raises(PerisphereError, match="method hierarchy that trained no classifier"):
        TrainedClassifier.of_run(wished.folder)
    with pytest.raises(PerisphereError, match="is no finished run"):
        TrainedClassifier.of_run(tmp_path / "none")


def test_damaged_runs(run):
    checkpoint = run / "checkpoints" / "data-1" / "last.ckpt"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PerisphereError, match=r"last\.ckpt: cannot be read"):
        TrainedClassifier.of_run(run)
    (run / "checkpoints" / "data-1" / "data.json").write_text("{}")
    with pytest.raises(PerisphereError, match=r"data\.json: the run's classes cannot be read"):
        TrainedClassifier.of_run(run)


class Hostile:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("again", ["classify", "resume"])
def test_checkpoints_that_want_to_run_something_run_nothing(recipe, tmp_path, again):
    wished = recipe(**EASY | {"epochs": 1})
    train(wished)
    stage, trace = wished.folder / "checkpoints" / "data-1", tmp_path / "ran"
    torch.save({"state_dict": Hostile(trace), "epoch": 0}, stage / "last.ckpt")
    (stage / "done.json").unlink()
    with pytest.raises(PerisphereError, match=r"last\.ckpt"):
        TrainedClassifier.of_run(wished.folder) if again == "classify" else train(wished, resume=True)
    assert not trace.exists()

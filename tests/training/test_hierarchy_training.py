import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from perisphere.encoder import Encoder
from perisphere.errors import PerisphereError, UsageError
from perisphere.taxonomy import ClassPoints
from perisphere.training import Recipe, train

NET = {"backbone": "small32"}
EASY = {"net": NET, "augmentation": {"flip": 0.5}, "optimizer": {"name": "adam", "lr": 0.01}, "epochs": 4}


def history(recipe):
    return json.loads((recipe.folder / "history.json").read_text())


@pytest.fixture
def taxonomy(tmp_path) -> dict:
    """Two of the three classes hang together; a fourth leaf has no photos."""
    tree, names = tmp_path / "tree.txt", tmp_path / "names.txt"
    tree.write_text("10 11\n10 2\n11 0\n11 1\n10 3\n")
    names.write_text("0 class0\n1 class1\n2 class2\n3 none\n10 thing\n11 pair\n")
    return {"taxonomy": str(tree), "names": str(names)}


@pytest.fixture
def points_file(tmp_path) -> Path:
    points = ClassPoints(np.eye(4)[:, :3] + 0.1, ("class2", "other", "class0", "class1"), None, "given")
    path = tmp_path / "points.npz"
    points.save(path)
    return path


@pytest.mark.parametrize("cls_weight", [0, 0.1])
def test_photos_reach_the_points_of_a_taxonomy(recipe, photos, taxonomy, cls_weight):
    wished = recipe(method="hierarchy", hierarchy={**taxonomy, "cls_weight": cls_weight}, **EASY)
    encoder = Encoder.load(train(wished))
    rows = history(wished)
    assert rows[-1]["val/accuracy"] > 0.9
    assert ("val/class_accuracy" in rows[-1]) == bool(cls_weight)
    assert encoder.dim == encoder.net.spec.projection == 3
    classes = encoder.classes
    assert classes.classes == ("0", "1", "2")
    assert classes.method == "unitsphere"
    np.testing.assert_allclose(classes.points @ classes.points.T, [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    # the nearest class point and the accuracy that was logged agree on the validation photos
    files = sorted((photos / "val").rglob("*.png"))
    nearest = (encoder.encode(files) @ classes.points.T).argmax(1)
    truth = classes.rows_of([file.parent.name for file in files])
    assert (nearest == truth).mean() == pytest.approx(encoder.metrics["val/accuracy"])
    np.testing.assert_allclose(classes.point("pair"), (classes.points[0] + classes.points[1]) / np.sqrt(3))


@pytest.mark.parametrize("loss", ["inv_corr", "unnorm_corr", "mse", "softmax_corr", "devise"])
def test_every_loss_learns_one_hot_points(recipe, loss):
    wished = recipe(method="hierarchy", hierarchy={"points": "onehot", "loss": loss}, **EASY)
    encoder = Encoder.load(train(wished))
    rows = history(wished)
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    assert max(row["val/accuracy"] for row in rows) > 0.6
    assert encoder.net.spec.softmax == (loss == "softmax_corr")
    assert encoder.classes.classes == ("class0", "class1", "class2")


def test_points_of_a_file_are_matched_by_name_and_kept_whole(recipe, points_file):
    wished = recipe(method="hierarchy", hierarchy={"points": str(points_file)}, **EASY | {"epochs": 1})
    encoder = Encoder.load(train(wished))
    assert encoder.classes.classes == ("class2", "other", "class0", "class1")
    assert encoder.dim == 3


@pytest.mark.parametrize("method", ["center", "label_embedding"])
def test_comparison_methods_learn(recipe, method):
    options = EASY | {"net": {**NET, "projection": 6}}
    wished = recipe(method=method, **options)
    encoder = Encoder.load(train(wished))
    rows = history(wished)
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    assert max(row["val/accuracy"] for row in rows) > 0.6
    assert encoder.dim == 6
    assert encoder.classes is None


def test_centres_can_be_class_points(recipe, taxonomy):
    wished = recipe(method="center", center={**taxonomy, "weight": 1}, **EASY | {"epochs": 1})
    assert Encoder.load(train(wished)).classes.classes == ("0", "1", "2")


def test_points_off_the_sphere_are_learned_but_not_kept(recipe, taxonomy):
    rule = {**taxonomy, "embedding": "spheres", "loss": "mse"}
    encoder = Encoder.load(train(recipe(method="hierarchy", hierarchy=rule, **EASY | {"epochs": 1})))
    assert encoder.dim == 2
    assert encoder.classes is None


def test_a_resumed_run_refuses_other_points(recipe, points_file):
    changes = {"method": "hierarchy", "hierarchy": {"points": str(points_file)}, **EASY, "epochs": 1}
    wished = recipe(**changes)
    train(wished)
    (wished.folder / "checkpoints" / "data-1" / "done.json").rename(wished.folder / "done.json")
    given = ClassPoints.load(points_file)
    points_file.unlink()
    ClassPoints(given.points + 1, given.classes, None, "given").save(points_file)
    with pytest.raises(PerisphereError, match="class points or tags have changed"):
        train(wished, resume=True)


def test_another_projection_is_refused(recipe, taxonomy):
    with pytest.raises(UsageError, match=r"'net.projection' is 8, but the class points have 3 numbers"):
        train(recipe(method="hierarchy", hierarchy=taxonomy))


def test_labels_without_a_point_are_named(recipe, taxonomy, tmp_path):
    (tmp_path / "names.txt").write_text("0 class0\n1 class1\n2 klass2\n")
    with pytest.raises(PerisphereError, match="'class2'"):
        train(recipe(method="hierarchy", hierarchy=taxonomy, **EASY))


@pytest.mark.parametrize(
    ("changes", "mend"),
    [
        ({"method": "hierarchy"}, "method: hierarchy needs class points"),
        ({"method": "hierarchy", "hierarchy": {"loss": "mse"}}, "set points to a file or to onehot"),
        ({"hierarchy": {"points": "onehot"}}, "hierarchy is for method: hierarchy"),
        ({"method": "hierarchy", "hierarchy": {"points": "onehot", "taxonomy": "t"}}, "not both"),
        ({"method": "hierarchy", "hierarchy": {"points": "onehot", "is_a": True}}, "is_a is of a taxonomy"),
        ({"method": "hierarchy", "hierarchy": {"taxonomy": "t", "num_dim": 3}}, "num_dim is of approx_sim"),
        (
            {"method": "hierarchy", "hierarchy": {"points": "onehot", "margin": 0.3}},
            "margin is of loss: devise",
        ),
        (
            {"method": "hierarchy", "hierarchy": {"points": "onehot", "cls_base": "pooled"}},
            "needs cls_weight",
        ),
        (
            {"method": "hierarchy", "hierarchy": {"points": "onehot"}, "label_smoothing": 0.1},
            "label_smoothing is for method: landmark",
        ),
        ({"center": {"weight": 0.3}}, "center is for method: center"),
        (
            {"method": "center", "label_embedding": {"tau": 1}},
            "label_embedding is for method: label_embedding",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(tree, changes, mend):
    with pytest.raises(ValidationError, match=mend):
        Recipe.model_validate(tree | changes)

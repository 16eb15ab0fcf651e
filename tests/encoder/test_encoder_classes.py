import numpy as np
import pytest

from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.change import change
from perisphere.errors import PerisphereError
from perisphere.nets import NetSpec, build
from perisphere.taxonomy import ClassPoints, Taxonomy, embed

SIZE = Preprocessing(size=(4, 4), resize="squash")


@pytest.fixture
def classes() -> ClassPoints:
    return embed(Taxonomy.from_pairs([(10, 11), (11, 0), (11, 1), (10, 2)], {0: "cat", 11: "mammal"}))


@pytest.fixture
def folder(classes, tmp_path):
    net = build(NetSpec(backbone="pixels", input_size=4, projection=3), seed=0)
    return Encoder(net, SIZE, name="x", classes=classes).save(tmp_path / "encoder")


def test_class_points_come_back_whole(folder, classes):
    found = Encoder.load(folder).classes
    np.testing.assert_array_equal(found.points, classes.points)
    assert found.classes == classes.classes
    np.testing.assert_array_equal(found.point("mammal"), classes.point("mammal"))


def test_class_points_change_no_embedding(folder, classes):
    encoder = Encoder.load(folder)
    assert Encoder(encoder.net, SIZE, name="x").identity == encoder.identity


def test_a_changed_input_keeps_them(folder):
    assert change(Encoder.load(folder), name="y").classes.classes == ("0", "1", "2")


def test_points_of_another_space_are_refused(classes):
    net = build(NetSpec(backbone="pixels", input_size=4, projection=5), seed=0)
    with pytest.raises(PerisphereError, match="class points of 3 numbers do not lie in the space"):
        Encoder(net, SIZE, name="x", classes=classes)


def test_a_missing_or_foreign_file_is_said(folder, classes):
    file = folder / "classes.npz"
    file.unlink()
    with pytest.raises(PerisphereError, match=r"classes.npz: not found; copy the encoder's folder whole"):
        Encoder.load(folder)
    ClassPoints(classes.points[::-1], classes.classes, None, "").save(file)
    with pytest.raises(PerisphereError, match=r"classes.npz: damaged"):
        Encoder.load(folder)

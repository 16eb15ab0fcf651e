import shutil

import pytest
from training_photos import write_photos

from perisphere.errors import PerisphereError
from perisphere.training.photos import labelled_data
from perisphere.training.recipe import Data


def read(root, **options):
    return labelled_data(Data(format="folders", root=root, **options), seed=0)


def test_classes_are_in_code_point_order_and_targets_point_at_them(photos):
    data = read(photos)
    assert data.classes == ["class0", "class1", "class2"]
    assert (len(data.train), len(data.val)) == (48, 24)
    for path, target in zip(data.train.paths, data.train.targets, strict=True):
        assert path.parent.name == data.classes[target]
        assert path.parent.parent.name == "train"


def test_a_saved_catalog_serves_as_well(photos, tmp_path):
    from perisphere.catalog.readers import read as read_layout

    read_layout("folders", photos).save(tmp_path / "catalog")
    assert labelled_data(Data(catalog=tmp_path / "catalog"), 0).fingerprint == read(photos).fingerprint


def test_holding_out_takes_a_share_of_each_class(photos):
    data = read(photos, val_fraction=0.25)
    assert (len(data.train), len(data.val)) == (36, 12)
    assert [list(data.val.targets).count(number) for number in range(3)] == [4, 4, 4]
    assert not set(data.train.paths) & set(data.val.paths)
    assert read(photos, val_fraction=0.25).val.paths == data.val.paths


def test_every_photo_and_no_validation(photos):
    data = read(photos, train=None, val=None)
    assert len(data.train) == 72
    assert data.val is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train": "learn"}, "split 'learn' has no labelled photos; its splits are train, val"),
        ({"val": "test"}, "split 'test' has no labelled photos.*val_fraction"),
    ],
)
def test_a_split_that_is_not_there(photos, options, words):
    with pytest.raises(PerisphereError, match=words):
        read(photos, **options)


def test_one_class_only(tmp_path):
    write_photos(tmp_path / "one", classes=1, train=2, val=1)
    with pytest.raises(PerisphereError, match="one class only"):
        read(tmp_path / "one")


def test_classes_that_lack_photos_are_reported(tmp_path):
    root = write_photos(tmp_path / "gaps", train=2, val=2)
    shutil.rmtree(root / "train" / "class0")
    shutil.rmtree(root / "val" / "class1")
    data = read(root)
    assert data.classes == ["class1", "class2"]
    assert len(data.val) == 2
    assert any("none to learn from ('class0')" in note for note in data.notes)
    assert any("no validation photos ('class1')" in note for note in data.notes)


def test_a_changed_photo_changes_the_fingerprint(tmp_path):
    root = write_photos(tmp_path / "two", classes=2, train=2, val=1)
    before = read(root).fingerprint
    first = root / "train" / "class0" / "0.png"
    first.write_bytes(first.read_bytes() + b"\0")
    assert read(root).fingerprint != before

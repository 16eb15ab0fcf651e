import errno
import os

import pytest

from perisphere import storage
from perisphere.errors import PerisphereError
from perisphere.storage import whole_file, whole_folder


def test_a_file_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "report.json"
    with whole_file(target) as part:
        part.write_text("{}")
        assert not target.exists()
    assert target.read_text() == "{}"
    assert [p.name for p in target.parent.iterdir()] == ["report.json"]


def test_a_failed_write_leaves_the_older_file(tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), whole_file(target) as part:
        part.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_sync", full_disk)
    with (
        pytest.raises(PerisphereError, match=r"catalog: cannot be written \(No space left on device\)"),
        whole_folder(tmp_path / "catalog") as part,
    ):
        (part / "catalog.json").write_text("{}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_when_it_is_whole(tmp_path):
    with whole_folder(tmp_path / "catalog") as part:
        (part / "a").write_text("1")
        assert not (tmp_path / "catalog").exists()
    assert (tmp_path / "catalog" / "a").read_text() == "1"


def test_an_existing_folder_needs_a_word(tmp_path):
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "catalog.json").write_text("x")
    with pytest.raises(PerisphereError, match="--overwrite"), whole_folder(tmp_path / "catalog"):
        pass
    assert (tmp_path / "catalog" / "catalog.json").exists()
    with whole_folder(tmp_path / "catalog", overwrite=True) as part:
        (part / "new").write_text("x")
    assert [p.name for p in (tmp_path / "catalog").iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["catalog"]


def test_a_failed_replacement_leaves_the_older_folder(tmp_path):
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "catalog.json").write_text("x")
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "catalog", overwrite=True):
        raise RuntimeError
    assert (tmp_path / "catalog" / "catalog.json").exists()


def test_a_folder_that_is_not_ours_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"x")
    with (
        pytest.raises(PerisphereError, match="did not write"),
        whole_folder(tmp_path / "photos", overwrite=True),
    ):
        pass
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for whole in (whole_file, whole_folder):
        with pytest.raises(PerisphereError, match="cannot be written"), whole(tmp_path / "file" / "inside"):
            pass


def put_aside(tmp_path, *, part=True):
    """Leave what a kill between the two renames of a replacement leaves."""
    (tmp_path / ".catalog.abc_1234.old").mkdir()
    (tmp_path / ".catalog.abc_1234.old" / "catalog.json").write_text("old")
    if part:
        (tmp_path / ".catalog.abc_1234.part").mkdir()


@pytest.mark.parametrize("part", [True, False])
def test_a_kill_between_two_renames_loses_nothing(tmp_path, part):
    put_aside(tmp_path, part=part)
    with pytest.raises(PerisphereError, match="exists already"), whole_folder(tmp_path / "catalog"):
        pass
    assert (tmp_path / "catalog" / "catalog.json").read_text() == "old"
    with whole_folder(tmp_path / "catalog", overwrite=True) as folder:
        (folder / "catalog.json").write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["catalog"]
    assert (tmp_path / "catalog" / "catalog.json").read_text() == "new"


def test_parts_of_killed_runs_go_and_those_of_others_stay(tmp_path):
    (tmp_path / ".catalog.dead_000.part" / "deep").mkdir(parents=True)
    (tmp_path / ".catalog.other.abc_1234.part").mkdir()
    (tmp_path / ".report.dead_000.part").write_text("{")
    with whole_folder(tmp_path / "catalog") as first, whole_file(tmp_path / "report") as file:
        with whole_folder(tmp_path / "catalog") as second, whole_file(tmp_path / "report"):
            assert first.exists()
            assert file.exists()
            (second / "catalog.json").write_text("second")
        file.write_text("first")
        (first / "catalog.json").write_text("first")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".catalog.other.abc_1234.part", "catalog", "report"]
    assert (tmp_path / "catalog" / "catalog.json").read_text() == "first"

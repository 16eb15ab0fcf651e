from pathlib import Path

import pytest
from photos import write_photo

from perisphere.catalog import Skipped
from perisphere.catalog.readers import read
from perisphere.errors import PerisphereError, UsageError


def photo(root: Path, part: str, id: str) -> str:
    path = f"{part}/{id[0]}/{id[1]}/{id[2]}/{id}.jpg"
    write_photo(root / path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text(
        "id,url,landmark_id\n97c0a12e07ae8dd5,http://example.org/a.jpg,0063\n650c989dd3493748,,7\n"
    )
    (tmp_path / "index.csv").write_text("id\n00000aaa\nfff0123\n")
    (tmp_path / "retrieval_solution_v2.1.csv").write_text(
        "id,images,Usage\nabc1,00000aaa fff0123,Public\nabc2,None,Ignored\nabc3,fff0123,Private\n"
    )
    for part, ids in {
        "train": ("97c0a12e07ae8dd5", "650c989dd3493748"),
        "index": ("00000aaa", "fff0123"),
        "test": ("abc1", "abc2", "abc3"),
    }.items():
        for id in ids:
            photo(tmp_path, part, id)
    return tmp_path


def test_ids_lead_to_paths_and_splits(root: Path) -> None:
    found = read("gldv2", root)
    assert found.table.select("path", "split", "label", "url").rows() == [
        ("train/9/7/c/97c0a12e07ae8dd5.jpg", "train", "0063", "http://example.org/a.jpg"),
        ("train/6/5/0/650c989dd3493748.jpg", "train", "7", None),
        ("index/0/0/0/00000aaa.jpg", "index", None, None),
        ("index/f/f/f/fff0123.jpg", "index", None, None),
        ("test/a/b/c/abc1.jpg", "query", None, None),
        ("test/a/b/c/abc3.jpg", "query", None, None),
    ]
    assert found.skipped == [Skipped("test/a/b/c/abc2.jpg", "query that the ground truth ignores")]


def test_a_part_alone_is_enough(root: Path) -> None:
    (root / "train.csv").unlink()
    (root / "retrieval_solution_v2.1.csv").unlink()
    assert read("gldv2", root).splits() == ["index"]


def test_photos_that_were_not_downloaded_are_counted(root: Path) -> None:
    (root / "index/f/f/f/fff0123.jpg").unlink()
    found = read("gldv2", root)
    assert len(found) == 5
    assert [item.path for item in found.skipped] == ["index/f/f/f/fff0123.jpg", "test/a/b/c/abc2.jpg"]


def test_rows_without_a_usable_id_are_counted(root: Path) -> None:
    (root / "index.csv").write_text("id\n00000aaa\n../../etc/x\nab\n")
    found = read("gldv2", root)
    reason = "no id of at least three letters or digits"
    assert {Skipped("index.csv:3", reason), Skipped("index.csv:4", reason)} <= set(found.skipped)
    with pytest.raises(PerisphereError, match=r"index\.csv:3: no id"):
        read("gldv2", root, strict=True)


def test_two_ground_truths_need_a_word(root: Path) -> None:
    (root / "retrieval_solution_v2.csv").write_text("id,images,Usage\nabc2,fff0123,Public\n")
    with pytest.raises(UsageError, match=r"holds several ground truths .* --truth"):
        read("gldv2", root)
    found = read("gldv2", root, truth=root / "retrieval_solution_v2.csv")
    assert found.select(split="query").table["path"].to_list() == ["test/a/b/c/abc2.jpg"]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [(b"ids\nabc\n", "no column 'id'"), (b"id\n\xff\n", "not CSV in UTF-8"), (b"", "no column")],
)
def test_damaged_tables(root: Path, data: bytes, complaint: str) -> None:
    (root / "index.csv").write_bytes(data)
    with pytest.raises(PerisphereError, match=rf"index\.csv: {complaint}"):
        read("gldv2", root)


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match=r"neither train\.csv nor index\.csv"):
        read("gldv2", tmp_path)
    with pytest.raises(PerisphereError, match=r"none\.csv: no such ground truth"):
        read("gldv2", tmp_path, truth=tmp_path / "none.csv")

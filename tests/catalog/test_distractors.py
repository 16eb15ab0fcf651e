import importlib
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest
from photos import write_photo

from perisphere.catalog import Skipped
from perisphere.catalog.readers import distractors, read
from perisphere.errors import PerisphereError

# The package gives its function read the same name as this module.
READ = importlib.import_module("perisphere.catalog.readers.read")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    first = write_photo(tmp_path / "jpg/0.jpg")
    for number in range(1, 10):
        (tmp_path / f"jpg/{number}.jpg").hardlink_to(first)
    (tmp_path / "revisitop1m.txt").write_text("".join(f"{number}.jpg\n" for number in range(10)) + "\n")
    return tmp_path


def test_the_list_is_the_order_and_all_are_distractors(root: Path) -> None:
    found = read("distractors", root)
    assert found.table["path"].to_list() == [f"jpg/{number}.jpg" for number in range(10)]
    assert found.splits() == ["distractor"]


@pytest.mark.parametrize("block", [1, 3, 10, 11])
def test_blocks_change_nothing(root: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "jpg/4.jpg").unlink()
    (root / "jpg/4.jpg").write_bytes(b"")
    with (root / "revisitop1m.txt").open("a") as file:
        file.write("4.jpg\n7.jpg\n")  # named a second time, maybe in another block
    whole = read("distractors", root)
    monkeypatch.setattr(READ, "BLOCK", block)
    found = read("distractors", root)
    assert found.table.equals(whole.table)
    assert len(found) == 10
    assert found.skipped == whole.skipped == [Skipped("jpg/4.jpg", "empty file (0 bytes)", "empty file")]


def test_strict_also_sees_what_is_found_late(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (root / "revisitop1m.txt").open("a") as file:
        file.write("../secret.jpg\n")
    monkeypatch.setattr(READ, "BLOCK", 4)
    assert (
        Skipped("revisitop1m.txt:12", "leads out of the folder of photos")
        in read("distractors", root).skipped
    )
    with pytest.raises(PerisphereError, match="leads out of the folder"):
        read("distractors", root, strict=True)


def test_a_long_list_is_not_held_in_memory(root: Path) -> None:
    with (root / "revisitop1m.txt").open("a") as file:
        file.writelines(f"{number:032x}.jpg\n" for number in range(100_000))
    tracemalloc.start()
    listing = distractors.list_images(root)
    assert sum(1 for _ in listing.later) == 100_010
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # the rows alone would take over 30 MB


def test_another_list_by_name(root: Path, tmp_path: Path) -> None:
    (root / "few.txt").write_text("3.jpg\r\n1.jpg")
    with pytest.raises(PerisphereError, match=r"holds 2 \.txt files"):
        read("distractors", root)
    found = read("distractors", root, names=root / "few.txt")
    assert found.table["path"].to_list() == ["jpg/3.jpg", "jpg/1.jpg"]
    with pytest.raises(PerisphereError, match=r"none\.txt: no such list"):
        read("distractors", root, names=tmp_path / "none.txt")


def test_bytes_that_are_no_text(root: Path) -> None:
    (root / "revisitop1m.txt").write_bytes(b"\xff\xfe\n")
    with pytest.raises(PerisphereError, match="not UTF-8"):
        list(islice(distractors.list_images(root).later, 1))

import os
import shutil
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photos import write_classes, write_photo

from perisphere.catalog import Catalog
from perisphere.catalog.export import folder_name, write_csv, write_folders
from perisphere.catalog.readers import read
from perisphere.catalog.split import split
from perisphere.errors import PerisphereError


@pytest.fixture
def divided(tmp_path: Path) -> Catalog:
    root = write_classes(tmp_path / "photos", {"dome": 10, "a, b\nc": 10, ".hidden?": 0})
    return split(read("folders", root)).catalog


def rows(catalog: Catalog) -> list[tuple]:
    return sorted(catalog.table.select("split", "label", "width").rows())


def test_the_csv_reads_back_as_it_was(divided: Catalog, tmp_path: Path) -> None:
    write_csv(divided, tmp_path / "out.csv")
    again = read("csv", tmp_path / "out.csv", images=divided.root)
    assert again.table.equals(divided.table)


def test_lists_read_back_from_the_csv(divided: Catalog, tmp_path: Path) -> None:
    lists = {name: pl.lit([f"{name} 1", "x, y"], pl.List(pl.String)) for name in ("tags", "concepts")}
    listed = divided.with_table(divided.table.with_columns(**lists))
    write_csv(listed, tmp_path / "out.csv")
    assert read("csv", tmp_path / "out.csv", images=divided.root).table.equals(listed.table)


def test_a_tag_with_the_separator_is_refused(divided: Catalog, tmp_path: Path) -> None:
    tagged = divided.with_table(divided.table.with_columns(tags=pl.lit(["a|b"], pl.List(pl.String))))
    with pytest.raises(PerisphereError, match=r"tag 'a\|b' holds"):
        write_csv(tagged, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("link", ["symlink", "hard", "copy"])
def test_folders_read_back_with_splits_and_counts(divided: Catalog, link: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write_folders(divided, out, link=link) == 20
    again = read("folders", out, strict=True)
    assert sorted(unquote(label) for label in again.labels()) == sorted(divided.labels())
    assert (
        again.table["split"]
        .value_counts()
        .sort("split")
        .equals(divided.table["split"].value_counts().sort("split"))
    )
    file = next(path for path in out.rglob("*.jpg"))
    assert file.is_symlink() == (link == "symlink")
    assert (file.stat().st_nlink > 1) == (link == "hard")


def test_images_of_one_name_do_not_collide(tmp_path: Path) -> None:
    for seed, folder in enumerate(("x/dome", "y/dome", "z")):
        write_photo(tmp_path / "photos" / folder / "a.jpg", seed)
    write_photo(tmp_path / "photos/y/dome/a-1.jpg", 9)
    (tmp_path / "list.csv").write_text(
        "path,label,split\nx/dome/a.jpg,dome,train\ny/dome/a.jpg,dome,train\ny/dome/a-1.jpg,dome,train\n"
        "z/a.jpg,dome,train\nz/a.jpg,dome,train\nz/a.jpg,,train\nz/a.jpg,,\n"
    )
    catalog = read("csv", tmp_path / "list.csv", images=tmp_path / "photos")
    assert write_folders(catalog, tmp_path / "out") == 5
    found = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.jpg"))
    assert found == [
        "train/a.jpg",
        "train/dome/a-1-2.jpg",
        "train/dome/a-1.jpg",
        "train/dome/a-3.jpg",
        "train/dome/a.jpg",
    ]
    targets = {os.path.realpath(path) for path in (tmp_path / "out/train/dome").iterdir()}
    assert len(targets) == 4


@given(st.text(max_size=90), st.text(max_size=90))
def test_folder_names_are_safe_and_never_shared(first: str, second: str) -> None:
    name = folder_name(first)
    assert name not in ("", ".", "..")
    assert not set(name) & set('/\\\0<>:"|?*')
    assert not name.startswith(".")
    assert len(name.encode()) <= 255
    assert (name == folder_name(second)) == (first == second)


def test_an_image_that_is_gone_leaves_nothing(divided: Catalog, tmp_path: Path) -> None:
    divided.paths()[7].unlink()
    with pytest.raises(PerisphereError, match="gone since the catalog was read"):
        write_folders(divided, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_a_full_disk_leaves_nothing(
    divided: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = []

    def full(source: Path, target: Path) -> None:
        if len(copied) == 5:
            raise OSError(28, "No space left on device")
        copied.append(shutil.copyfile(source, target))

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(PerisphereError, match="No space left"):
        write_folders(divided, tmp_path / "out", link="copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_only_its_own_folders_are_overwritten(divided: Catalog, tmp_path: Path) -> None:
    write_folders(divided, tmp_path / "out")
    write_folders(divided, tmp_path / "out", overwrite=True)
    with pytest.raises(PerisphereError, match="exists already"):
        write_folders(divided, tmp_path / "out")
    with pytest.raises(PerisphereError, match="did not write"):
        write_folders(divided, tmp_path / "photos", overwrite=True)
    assert divided.paths()[0].is_file()


def test_hard_links_that_cannot_be_made_name_the_mend(
    divided: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with pytest.raises(PerisphereError, match=r"Invalid cross-device link.*--link symlink"):
        write_folders(divided, tmp_path / "out", link="hard")


def test_without_splits_there_is_nothing_to_write(tmp_path: Path) -> None:
    catalog = read("folders", write_classes(tmp_path / "photos", {"dome": 1}))
    with pytest.raises(PerisphereError, match="no image is in a split"):
        write_folders(catalog, tmp_path / "out")

from pathlib import Path

from photos import write_classes, write_photo

from perisphere.catalog.readers import read


def test_a_class_per_directory(tmp_path: Path) -> None:
    found = read("folders", write_classes(tmp_path, {"dome": 2, "tower": 1}))
    assert found.labels() == ["dome", "dome", "tower"]
    assert found.table["split"].null_count() == 3
    assert found.table["categories"].to_list() == [["dome"], ["dome"], ["tower"]]


def test_one_class_only(tmp_path: Path) -> None:
    assert read("folders", write_classes(tmp_path, {"dome": 2})).labels() == ["dome", "dome"]


def test_top_folders_become_splits(tmp_path: Path) -> None:
    splits = ["Train", "gallery", "index", "query", "test", "validation"]
    found = read("folders", write_classes(tmp_path, {f"{split}/dome": 1 for split in splits}))
    assert found.table["split"].to_list() == ["train", "gallery", "index", "query", "test", "val"]
    assert set(found.labels()) == {"dome"}
    assert found.splits() == ["train", "val", "test", "query", "gallery", "index"]


def test_a_split_word_deeper_down_is_a_class(tmp_path: Path) -> None:
    found = read("folders", write_classes(tmp_path, {"train/index": 1}))
    assert found.table.select("split", "label").rows() == [("train", "index")]


def test_deeper_directories_are_the_category_path(tmp_path: Path) -> None:
    found = read("folders", write_classes(tmp_path, {"train/church/gothic/reims": 1, "test/church": 1}))
    rows = found.table.select("split", "label", "categories").rows()
    assert rows == [("test", "church", ["church"]), ("train", "reims", ["church", "gothic", "reims"])]


def test_the_same_name_under_two_parents_is_two_classes(tmp_path: Path) -> None:
    counts = {"train/old/tower": 1, "train/new/tower": 1, "train/new/dome": 1, "test/new/tower": 1}
    found = read("folders", write_classes(tmp_path, counts))
    assert found.labels() == ["new/tower", "dome", "new/tower", "old/tower"]


def test_images_outside_any_class_have_no_label(tmp_path: Path) -> None:
    write_photo(tmp_path / "loose.jpg")
    write_photo(tmp_path / "query/loose.jpg")
    write_photo(tmp_path / "query/dome/one.jpg")
    rows = read("folders", tmp_path).table.select("path", "split", "label").rows()
    assert rows == [
        ("loose.jpg", None, None),
        ("query/loose.jpg", "query", None),
        ("query/dome/one.jpg", "query", "dome"),
    ]


def test_odd_names_survive(tmp_path: Path) -> None:
    names = ["a,b", "line\nbreak", "007", "größe ☃"]
    assert sorted(read("folders", write_classes(tmp_path, dict.fromkeys(names, 1))).labels()) == sorted(names)


def test_real_photos(shared: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(shared / "data/places/places-640px.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    by_column = read("csv", tmp_path / "images.csv", path_column="name", label_column="place", strict=True)
    assert len(by_column) == 147
    assert len(set(by_column.labels())) == 13
    by_folder = read("folders", tmp_path)
    place = dict(zip(by_folder.table["path"], by_folder.labels(), strict=True))
    assert all(
        place[path] == label for path, label in zip(by_column.table["path"], by_column.labels(), strict=True)
    )

from pathlib import Path

import pytest
from photos import write_photo

from perisphere.catalog.readers import read
from perisphere.errors import PerisphereError, UsageError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(3):
        write_photo(tmp_path / f"img/{number}.jpg", number, 40, 30)
    return tmp_path


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    file = folder / "list.csv"
    file.write_bytes(text.encode(encoding))
    return file


def test_every_column_by_option(photos: Path) -> None:
    file = table(
        photos,
        "file;place;part;cam;who;words;text;tree;shown;l;t;r;b;web\n"
        "img/0.jpg;007;validation;c2;user;a/b / c;A dome.;church/dome;sky/ dome;1;2.5;9.1;8;http://x/0\n"
        "img/1.jpg;;;;;;;;;;;;;\n",
    )
    found = read(
        "csv", file, path_column="file", label_column="place", split_column="part", camera_column="cam",
        domain_column="who", tags_column="words", caption_column="text", categories_column="tree",
        concepts_column="shown",
        box_columns="l,t,r,b", url_column="web", separator="/", delimiter=";",
    )  # fmt: skip
    first, second = found.table.drop("width", "height").rows(named=True)
    assert first == {
        "id": 0, "path": "img/0.jpg", "split": "val", "label": "007", "camera": "c2", "domain": "user",
        "tags": ["a", "b", "c"], "caption": "A dome.", "categories": ["church", "dome"],
        "concepts": ["sky", "dome"], "box": [1, 2, 10, 8], "url": "http://x/0",
    }  # fmt: skip
    assert {name for name, value in second.items() if value} == {"id", "path"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_delimiter_and_byte_order_mark_are_found(photos: Path, delimiter: str, encoding: str) -> None:
    file = table(photos, f"path{delimiter}label\nimg/0.jpg{delimiter}größe\n", encoding)
    assert read("csv", file).labels() == ["größe"]


def test_labels_with_newline_comma_and_quote_survive(photos: Path) -> None:
    file = table(photos, 'path,label\nimg/0.jpg,"two\nlines"\nimg/1.jpg,"a, b"\nimg/2.jpg,"say ""x"""\n')
    assert read("csv", file).labels() == ["two\nlines", "a, b", 'say "x"']


def test_numeric_labels_stay_text(photos: Path) -> None:
    file = table(photos, "path,label\nimg/0.jpg,007\nimg/1.jpg,1e3\nimg/2.jpg,-1\n")
    assert read("csv", file).labels() == ["007", "1e3", "-1"]


def test_missing_images_are_skipped_with_the_reason(photos: Path) -> None:
    file = table(photos, "path,label\nimg/0.jpg,x\nimg/9.jpg,x\n,x\n")
    found = read("csv", file)
    assert [(item.path, item.reason) for item in found.skipped] == [
        ("img/9.jpg", "cannot be read (No such file or directory)"),
        ("list.csv:4", "row without a path"),
    ]
    with pytest.raises(PerisphereError, match="row without a path"):
        read("csv", file, strict=True)


def test_boxes_are_clipped_and_empty_ones_skipped(photos: Path) -> None:
    file = table(
        photos,
        "path,x0,y0,x1,y1\nimg/0.jpg,-5,0,10,99\nimg/0.jpg,50,0,60,9\nimg/1.jpg,9,9,9,9\nimg/2.jpg,a,1,2,3\n"
        "img/2.jpg,nan,1,2,3\nimg/2.jpg,inf,1,2,3\n",
    )
    found = read("csv", file)
    assert found.table["box"].to_list() == [[0, 0, 10, 30]]
    assert {item.group for item in found.skipped} == {
        "box is not four numbers with an area",
        "box outside the image",
    }
    with pytest.raises(PerisphereError, match="not four numbers"):
        read("csv", file, strict=True)


def test_several_boxes_of_one_image_are_several_rows(photos: Path) -> None:
    file = table(photos, "path,label,x0,y0,x1,y1\nimg/0.jpg,a,0,0,5,5\nimg/0.jpg,b,5,5,9,9\n")
    found = read("csv", file)
    assert found.table.select("id", "label").rows() == [(0, "a"), (1, "b")]


def test_paths_of_windows_absolute_and_elsewhere(photos: Path) -> None:
    lists = photos / "lists"
    lists.mkdir()
    file = table(lists, f"path\n{photos / 'img/0.jpg'}\n..\\img\\1.jpg\n../lists/../img/2.jpg\n")
    found = read("csv", file)
    assert found.table["path"].to_list() == ["../img/0.jpg", "../img/1.jpg", "../img/2.jpg"]
    from_images = read("csv", file, images=photos / "img").table["path"].to_list()
    assert from_images == ["0.jpg", "../img/1.jpg", "../img/2.jpg"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"path_column": "pth"}, r"no column 'pth' for --path-column\. Did you mean 'path'"),
        ({"label_column": "zzz"}, r"no column 'zzz' for --label-column\. Name one of path, lable"),
        ({"label_column": "label"}, "Did you mean 'lable'"),
        ({"box_columns": "a,b,c"}, "names 3 columns"),
        ({"box_columns": "path,b,c,d"}, "no column 'b' for --box-columns"),
        ({"separator": ""}, "separator: must not be empty"),
        ({"delimiter": "ab"}, "is not one character"),
    ],
)
def test_wrong_options_name_the_mend(photos: Path, options: dict, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        read("csv", table(photos, "path,lable\nimg/0.jpg,x\n"), **options)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "empty. Its first line"),
        (b"path,path\n1,2\n", "two columns are named 'path'"),
        (b"path\ncaf\xe9.jpg\n", "not UTF-8 at byte 8"),
        (b"path\n" + b"x" * 200_000 + b"\n", "line 2 is not CSV"),
    ],
)
def test_broken_tables_are_errors(photos: Path, content: bytes, complaint: str) -> None:
    (photos / "list.csv").write_bytes(content)
    with pytest.raises(PerisphereError, match=complaint):
        read("csv", photos / "list.csv")


def test_a_folder_with_one_table_will_do(photos: Path) -> None:
    with pytest.raises(PerisphereError, match="holds no CSV file"):
        read("csv", photos)
    table(photos, "path\nimg/0.jpg\n")
    assert len(read("csv", photos)) == 1
    (photos / "more.csv").write_text("path\n")
    with pytest.raises(UsageError, match=r"holds 2 CSV files \(list.csv, more.csv\)"):
        read("csv", photos)


def test_a_missing_folder_of_images(photos: Path) -> None:
    with pytest.raises(PerisphereError, match="no such folder"):
        read("csv", table(photos, "path\nimg/0.jpg\n"), images=photos / "none")

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photos import write_photo

from perisphere.catalog.readers import read
from perisphere.errors import PerisphereError, UsageError

LINES = [
    {
        "image": "images/0.jpg", "tags": ["Sunset Beach", "geo:lat=1"], "split": "training", "label": "bay",
        "concepts": ["sky", "sea"], "caption": "A bay.", "user": 7,
    },
    {"image": "1.jpg", "tags": [" été ", ""], "split": "gallery"},
    {"image": "images/2.jpg"},
]  # fmt: skip


def collection(root: Path, lines: list[Any] = LINES) -> Path:
    for number in range(3):
        write_photo(root / f"images/{number}.jpg", number, 12, 8)
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (root / "tags.jsonl").write_text(text + "\n", "utf-8")
    return root


def test_json_lines(tmp_path: Path) -> None:
    found = read("tags", collection(tmp_path), strict=True)
    first, second, third = found.table.rows(named=True)
    assert {name: value for name, value in first.items() if value} == {
        "path": "images/0.jpg", "tags": ["Sunset Beach", "geo:lat=1"], "split": "train", "label": "bay",
        "concepts": ["sky", "sea"], "caption": "A bay.", "width": 12, "height": 8,
    }  # fmt: skip
    assert (second["path"], second["tags"], second["split"]) == ("images/1.jpg", ["été"], "gallery")
    assert (third["path"], third["tags"], third["concepts"], third["label"]) == ("images/2.jpg", [], [], None)


@pytest.mark.parametrize("given", ["tags.csv", "tags.tsv"])
def test_a_table_says_the_same(given: str, tmp_path: Path) -> None:
    by_lines = read("tags", collection(tmp_path / "json"))
    root = collection(tmp_path / "csv")
    (root / "tags.jsonl").unlink()
    rows = [
        ("image", "tags", "split", "label", "concepts", "caption"),
        ("images/0.jpg", "Sunset Beach|geo:lat=1", "train", "bay", "sky|sea", "A bay."),
        ("1.jpg", " été |", "gallery", "", "", ""),
        (str(root / "images/2.jpg"), "", "", "", "", ""),
    ]
    delimiter = "," if given == "tags.csv" else "\t"
    (root / given).write_text("".join(delimiter.join(row) + "\n" for row in rows), "utf-8")
    assert read("tags", root).table.equals(by_lines.table)
    assert read("tags", root / given, separator="|", delimiter=delimiter).table.equals(by_lines.table)


def test_photos_in_another_folder(tmp_path: Path) -> None:
    collection(tmp_path / "photos", [])
    (tmp_path / "list.jsonl").write_text('{"image": "2.jpg", "tags": ["x"]}')
    found = read("tags", tmp_path / "list.jsonl", images=tmp_path / "photos/images")
    assert found.paths() == [tmp_path / "photos/images/2.jpg"]
    with pytest.raises(PerisphereError, match="none: no such folder of images"):
        read("tags", tmp_path / "list.jsonl", images=tmp_path / "none")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{image", "line is not JSON"),
        ("[" * 100_000, "line is not JSON"),
        ("[1]", "line is no JSON object"),
        ('{"tags": ["x"]}', "line without the text `image`"),
        ('{"image": 3}', "line without the text `image`"),
        ('{"image": "../out.jpg"}', "`image` leads out of the folder of photos"),
        ('{"image": "/etc/out.jpg"}', "`image` leads out of the folder of photos"),
        ('{"image": "0.jpg\\u0000"}', "`image` leads out of the folder of photos"),
        ('{"image": "0.jpg", "tags": "sky"}', "`tags` is no list of texts"),
        ('{"image": "0.jpg", "tags": ["sky", 3]}', "`tags` is no list of texts"),
        ('{"image": "0.jpg", "concepts": ["\\ud800"]}', "`concepts` is no list of texts"),
        ('{"image": "0.jpg", "label": 3}', "`label` is no text"),
        ('{"image": "1.jpg", "tags": ["y"]}', "names images/1.jpg again"),
    ],
)
def test_a_bad_line_is_a_counted_skip_and_shifts_nothing(line: str, reason: str, tmp_path: Path) -> None:
    good = {"image": "images/2.jpg", "tags": ["last"]}
    root = collection(tmp_path, [{"image": "1.jpg", "tags": ["first"]}, line, good])
    found = read("tags", root)
    assert found.table.select("path", "tags").rows() == [
        ("images/1.jpg", ["first"]),
        ("images/2.jpg", ["last"]),
    ]
    assert [(item.path, item.reason) for item in found.skipped] == [("tags.jsonl:2", reason)]
    with pytest.raises(PerisphereError, match=r"tags\.jsonl:2"):
        read("tags", root, strict=True)


def test_no_tag_at_all_is_another_table(tmp_path: Path) -> None:
    root = collection(tmp_path, [{"image": "0.jpg", "words": ["sky"]}])
    with pytest.raises(PerisphereError, match=r"tags.jsonl: no photo has a tag. Name .* `tags`"):
        read("tags", root)
    (root / "tags.jsonl").unlink()
    (root / "tags.csv").write_text("image,words\n0.jpg,sky\n")
    with pytest.raises(PerisphereError, match=r"tags.csv: no photo has a tag"):
        read("tags", root)


def test_which_table_must_be_clear(tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match=r"holds no tags.jsonl, tags.csv, tags.tsv"):
        read("tags", tmp_path)
    root = collection(tmp_path)
    with pytest.raises(UsageError, match=r"--separator '/': belongs to CSV"):
        read("tags", root, separator="/")
    (root / "tags.csv").write_text("image,tags\n0.jpg,x\n")
    with pytest.raises(UsageError, match=r"holds tags.jsonl and tags.csv. Name one"):
        read("tags", root)


words = st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), max_size=4)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tags=words, concepts=words)
def test_whatever_users_type_comes_through(tmp_path: Path, tags: list[str], concepts: list[str]) -> None:
    write_photo(tmp_path / "images/0.jpg", 0, 4, 4)
    line = json.dumps({"image": "0.jpg", "tags": [*tags, "one"], "concepts": concepts})
    (tmp_path / "tags.jsonl").write_text(line)
    row = read("tags", tmp_path).table.row(0, named=True)
    assert row["tags"] == [tag.strip() for tag in [*tags, "one"] if tag.strip()]
    assert row["concepts"] == [concept.strip() for concept in concepts if concept.strip()]


def test_a_line_without_end_is_not_taken_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perisphere.catalog.readers.lists.MAX_LINE", 400)
    assert len(read("tags", collection(tmp_path)).table) == 3
    with (tmp_path / "tags.jsonl").open("a") as file:
        file.write(" " * 500)
    with pytest.raises(PerisphereError, match=r"tags\.jsonl: line 4 is too long"):
        read("tags", tmp_path)

import json
from pathlib import Path

from photos import write_photo

from perisphere.catalog.export import write_pairs
from perisphere.catalog.readers import read


def test_the_published_table_of_a_folder(shared: Path, tmp_path: Path) -> None:
    (case,) = json.loads((shared / "golden/landmarks.json").read_text())["cases"]["dataset_csv"]
    root = tmp_path / case["inputs"]["root"]
    for name in case["inputs"]["files"]:
        write_photo(root / name)
    write_pairs(read("folders", root), tmp_path / "paris.csv")
    header, *rows = (tmp_path / "paris.csv").read_text().splitlines()
    assert header == case["outputs"]["header"]
    # The published program passes over every name that does not end in a small .jpg; none is lost here.
    assert sorted(row for row in rows if ".jpg," in row) == case["outputs"]["rows_sorted"]
    assert sorted(row for row in rows if ".jpg," not in row) == [
        "paris/eiffel/x.JPG,eiffel",
        "paris/louvre/a.png,louvre",
    ]
    found = read("csv", tmp_path / "paris.csv", images=tmp_path)
    assert len(found) == 6
    assert dict(found.table.select("path", "label").rows())["paris/top.jpg"] == "paris"


def test_commas_quotes_and_numbers_survive(tmp_path: Path) -> None:
    for name in ("set/a, b/1.jpg", 'set/12/x"y.jpg', "set/007/z,.jpg"):
        write_photo(tmp_path / name)
    whole = read("folders", tmp_path / "set")
    write_pairs(whole, tmp_path / "set.csv")
    found = read("csv", tmp_path / "set.csv", images=tmp_path)
    assert sorted(found.labels()) == ["007", "12", "a, b"]
    assert found.table["path"].to_list() == [f"set/{path}" for path in whole.table["path"]]

import json
from pathlib import Path

import polars as pl

from perisphere.catalog import Catalog, Skipped
from perisphere.catalog.summary import summary


def test_every_count(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "path": ["a", "b", "c", "d"],
            "label": ["x", "x", "y", None],
            "split": ["train", "test", "test", None],
            "camera": ["1", "2", "2", None],
            "tags": [["p", "q"], ["q"], [], []],
            "caption": ["hello", None, None, None],
            "categories": [["r", "x"], ["r", "x"], ["y"], []],
            "concepts": [["sky"], [], ["sky", "sea"], []],
            "box": [[0, 0, 1, 1], None, None, None],
            "width": [10, 20, 30, 40],
            "height": [5, 5, 5, 5],
        }
    )
    skipped = [
        Skipped("1", "cannot be decoded (broken data stream)", "cannot be decoded"),
        Skipped("2", "cannot be decoded (something else)", "cannot be decoded"),
        Skipped("3", "not an image file (.txt)"),
    ]
    facts = summary(Catalog(table, tmp_path, {"format": "x"}, skipped))
    json.dumps(facts)
    assert facts["images"] == 4
    assert (facts["classes"], facts["unlabelled"]) == (2, 1)
    assert facts["class_size"] == {"min": 1, "median": 1.5, "max": 2}
    assert facts["splits"] == {
        "train": {"images": 1, "classes": 1},
        "test": {"images": 2, "classes": 2},
        "": {"images": 1, "classes": 0},
    }
    assert (facts["cameras"], facts["domains"], facts["tags"], facts["categories"]) == (2, 0, 2, 3)
    assert facts["concepts"] == 2
    assert (facts["tagged"], facts["captioned"], facts["boxed"]) == (2, 1, 1)
    assert facts["width"] == {"min": 10, "median": 25.0, "max": 40}
    assert facts["skipped"] == {"cannot be decoded": 2, "not an image file (.txt)": 1}


def test_an_empty_catalog(tmp_path: Path) -> None:
    facts = summary(Catalog(pl.DataFrame({"path": []}, schema={"path": pl.String}), tmp_path))
    assert facts["images"] == facts["classes"] == 0
    assert facts["width"] is facts["class_size"] is None

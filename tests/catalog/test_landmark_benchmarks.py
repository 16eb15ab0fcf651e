import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import ORIENTATION, write_photo
from PIL import Image

from perisphere.catalog import Catalog, Skipped, decode
from perisphere.catalog.readers import read
from perisphere.errors import PerisphereError, UsageError

SOULS, RADCLIFFE, OXFORD = "all_souls_000001", "radcliffe_camera_000002", "oxford_000003"


def write_texts(folder: Path, base: str, query: str, good: str = "", ok: str = "", junk: str = "") -> None:
    folder.mkdir(exist_ok=True)
    for part, text in {"query": query, "good": good, "ok": ok, "junk": junk}.items():
        (folder / f"{base}_{part}.txt").write_text(text + "\n")


@pytest.fixture
def oxford(tmp_path: Path) -> Path:
    root = tmp_path / "oxford"
    for seed, name in enumerate((SOULS, RADCLIFFE, OXFORD)):
        write_photo(root / f"jpg/{name}.jpg", seed, 48, 32)
    write_texts(root / "gt", "all_souls_1", f"oxc1_{SOULS} 1.4 2.6 40.5 30.2", good=SOULS, junk=OXFORD)
    write_texts(root / "gt", "radcliffe_camera_1", f"oxc1_{RADCLIFFE} 0 0 60 20", good=RADCLIFFE)
    return root


def rows(found: Catalog) -> list[tuple[Any, ...]]:
    return found.table.select("path", "split", "label", "box").rows()


def test_oxford_has_all_photos_in_the_index_and_queries_with_boxes(oxford: Path) -> None:
    found = read("oxford5k", oxford)
    assert rows(found) == [
        (f"jpg/{SOULS}.jpg", "index", "all_souls", None),
        (f"jpg/{OXFORD}.jpg", "index", "oxford", None),
        (f"jpg/{RADCLIFFE}.jpg", "index", "radcliffe_camera", None),
        (f"jpg/{SOULS}.jpg", "query", "all_souls", [1, 3, 40, 30]),
        (f"jpg/{RADCLIFFE}.jpg", "query", "radcliffe_camera", [0, 0, 48, 20]),  # clipped to the photo
    ]
    assert found.table["id"].to_list() == [0, 1, 2, 3, 4]


def test_paris_lies_in_folders_with_its_ground_truth_elsewhere(tmp_path: Path) -> None:
    write_photo(tmp_path / "paris/eiffel/paris_eiffel_000012.jpg")
    write_photo(tmp_path / "paris/louvre/paris_louvre_000005.jpg")
    write_texts(tmp_path / "truth", "eiffel_1", "paris_eiffel_000012 2 3 20 30", good="paris_eiffel_000012")
    with pytest.raises(PerisphereError, match=r"holds no QUERY_query\.txt files .* --truth"):
        read("paris6k", tmp_path / "paris")
    found = read("paris6k", tmp_path / "paris", truth=tmp_path / "truth")
    assert rows(found) == [
        ("eiffel/paris_eiffel_000012.jpg", "index", "paris_eiffel", None),
        ("louvre/paris_louvre_000005.jpg", "index", "paris_louvre", None),
        ("eiffel/paris_eiffel_000012.jpg", "query", "paris_eiffel", [2, 3, 20, 30]),
    ]


def test_photos_that_only_the_ground_truth_knows_are_counted(oxford: Path) -> None:
    write_texts(oxford / "gt", "gone_1", "oxc1_gone_000001 0 0 9 9", good="gone_000002", junk=SOULS)
    found = read("oxford5k", oxford)
    lost = "named by the ground truth, but there is no such photo"
    assert [item for item in found.skipped if not item.path.endswith(".txt")] == [
        Skipped("gone_000001", lost),
        Skipped("gone_000002", lost),
    ]
    assert len(found) == 5
    with pytest.raises(PerisphereError, match="gone_000001: named by the ground truth"):
        read("oxford5k", oxford, strict=True)


def test_two_photos_of_one_name_are_an_error(oxford: Path) -> None:
    write_photo(oxford / f"more/{SOULS}.png")
    with pytest.raises(PerisphereError, match=f"jpg/{SOULS}.jpg and more/{SOULS}.png have the same name"):
        read("oxford5k", oxford)


REVISITED = {
    "imlist": [RADCLIFFE, SOULS],
    "qimlist": [OXFORD],
    "gnd": [{"bbx": [4.4, 4.6, 20, 21], "easy": [0], "hard": [], "junk": [1]}],
}


@pytest.fixture
def revisited(oxford: Path) -> Path:
    (oxford / "gnd_roxford5k.json").write_text(json.dumps(REVISITED))
    write_photo(oxford / "jpg/unused_000001.jpg")
    return oxford


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_query_box_is_turned_upright_with_its_photo(
    revisited: Path, tmp_path: Path, orientation: int
) -> None:
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[5:21, 4:20] = 255  # the box of the ground truth, rounded
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(stored).save(revisited / f"jpg/{OXFORD}.jpg", quality=95, exif=exif)
    found = read("revisited", revisited).select(split="query")
    x0, y0, x1, y1 = found.table["box"][0].to_list()
    bright = decode(found.paths()[0])[..., 0] > 128
    assert bright[y0:y1, x0:x1].mean() > 0.95
    assert bright.sum() == pytest.approx((y1 - y0) * (x1 - x0), rel=0.05)


def test_revisited_keeps_the_order_of_its_lists_and_takes_queries_out(revisited: Path) -> None:
    found = read("revisited", revisited)
    assert rows(found) == [
        (f"jpg/{RADCLIFFE}.jpg", "index", "radcliffe_camera", None),
        (f"jpg/{SOULS}.jpg", "index", "all_souls", None),
        (f"jpg/{OXFORD}.jpg", "query", "oxford", [4, 5, 20, 21]),
    ]
    assert Skipped("jpg/unused_000001.jpg", "not named by the ground truth") in found.skipped


def test_two_ground_truths_need_a_word(revisited: Path) -> None:
    (revisited / "gnd_rparis6k.json").write_text(json.dumps(REVISITED))
    with pytest.raises(PerisphereError, match=r"holds several gnd_\*\.pkl or \.json"):
        read("revisited", revisited)
    assert len(read("revisited", revisited, truth=revisited / "gnd_roxford5k.json")) == 3


def test_the_wrong_kind_of_ground_truth_names_the_right_reader(revisited: Path) -> None:
    with pytest.raises(UsageError, match=r"of the classic kind\. Read it as oxford5k or paris6k"):
        read("revisited", revisited, truth=revisited / "gt")
    with pytest.raises(UsageError, match=r"of the revisited kind\. Read it as revisited"):
        read("oxford5k", revisited, truth=revisited / "gnd_roxford5k.json")


def test_a_query_box_outside_its_photo_is_a_counted_skip(revisited: Path) -> None:
    entry = REVISITED["gnd"][0] | {"bbx": [50, 0, 60, 10]}  # type: ignore[index]
    (revisited / "gnd_roxford5k.json").write_text(json.dumps(REVISITED | {"gnd": [entry]}))
    found = read("revisited", revisited)
    assert found.splits() == ["index"]
    assert any("lies outside the image of 48 x 32" in item.reason for item in found.skipped)

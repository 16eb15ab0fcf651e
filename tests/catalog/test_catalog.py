import json
from pathlib import Path

import polars as pl
import pytest

from perisphere.catalog import Catalog, Skipped
from perisphere.catalog.catalog import SCHEMA, concepts_of
from perisphere.errors import PerisphereError


def catalog(tmp_path: Path) -> Catalog:
    table = pl.DataFrame(
        {
            "id": [3, 1, 2],
            "path": ["a.jpg", "b/c.jpg", "b/d.jpg"],
            "split": ["train", "val", None],
            "label": ["new\nline", 'comma, "quote"', None],
            "tags": [["x", "y"], [], None],
            "box": [[0, 1, 5, 6], None, None],
            "width": [10, 20, 30],
            "height": [10, 20, 30],
        }
    )
    keypoints = pl.DataFrame({"image": [3, 1], "point": [7, 7], "x": [1.5, 2.5], "y": [0.5, 4.0]})
    masks = pl.DataFrame({"image": [2], "part": ["dome"], "path": ["m.png"]})
    regions = pl.DataFrame(
        {"image": [1], "concept": ["tower"], "score": [0.5], "share": [0.25], "x0": [0], "y0": [1]}
    ).with_columns(x1=10, y1=30)
    source = {"format": "folders", "options": {}}
    skipped = [Skipped("bad.jpg", "truncated")]
    return Catalog(table, tmp_path, source, skipped, keypoints, masks, regions=regions)


def test_every_column_is_there_in_order_with_its_type(tmp_path: Path) -> None:
    made = Catalog(pl.DataFrame({"path": ["a", "b"]}), tmp_path)
    assert made.table.schema == pl.Schema(SCHEMA)
    assert made.table["id"].to_list() == [0, 1]
    assert made.table["tags"].to_list() == [[], []]


def test_save_and_load_give_the_same(tmp_path: Path) -> None:
    before = catalog(tmp_path)
    before.save(tmp_path / "saved")
    after = Catalog.load(tmp_path / "saved")
    assert after.table.equals(before.table)
    assert before.keypoints is not None
    assert before.masks is not None
    assert before.keypoints.equals(after.keypoints)
    assert before.regions is not None
    assert before.masks.equals(after.masks)
    assert before.regions.equals(after.regions)
    assert (after.root, after.source, after.skipped) == (before.root, before.source, before.skipped)
    assert repr(after) == repr(before)


def test_a_catalog_without_regions_has_none(tmp_path: Path) -> None:
    Catalog(pl.DataFrame({"path": ["a"]}), tmp_path).save(tmp_path / "saved")
    after = Catalog.load(tmp_path / "saved")
    assert after.regions is None
    assert after.mask_paths("dome") == {}


def test_masks_in_the_catalogs_folder_move_with_it_and_survive_its_replacement(tmp_path: Path) -> None:
    folder = tmp_path / "segmented"
    (folder / "masks").mkdir(parents=True)
    (folder / "masks" / "0.png").write_bytes(b"mask")
    own = {"image": 0, "part": "concepts", "path": str(folder / "masks" / "0.png")}
    other = {"image": 0, "part": "dome", "path": "dome.png"}
    made = Catalog(pl.DataFrame({"path": ["a"]}), tmp_path / "photos", masks=pl.DataFrame([own, other]))
    made.write(folder)
    folder.rename(tmp_path / "moved")
    moved = Catalog.load(tmp_path / "moved")
    assert moved.mask_paths("concepts") == {0: tmp_path / "moved" / "masks" / "0.png"}
    assert moved.mask_paths("dome") == {0: tmp_path / "photos" / "dome.png"}
    moved.save(tmp_path / "moved", overwrite=True)
    again = Catalog.load(tmp_path / "moved")
    assert again.mask_paths("concepts")[0].read_bytes() == b"mask"
    moved.save(tmp_path / "copy")
    assert Catalog.load(tmp_path / "copy").mask_paths("concepts") == again.mask_paths("concepts")


def test_select_keeps_order_and_side_tables(tmp_path: Path) -> None:
    whole = catalog(tmp_path)
    assert whole.select() is whole
    one = whole.select(split="val")
    assert one.labels() == ['comma, "quote"']
    assert one.keypoints is not None
    assert one.keypoints["image"].to_list() == [1]
    assert one.masks is not None
    assert one.masks.is_empty()
    assert one.regions is not None
    assert one.regions.row(0)[:4] == (1, "tower", 0.5, 0.25)
    assert whole.select(split="train").regions.is_empty()  # type: ignore[union-attr]
    assert whole.select(split=["val", "train"]).table["id"].to_list() == [3, 1]
    assert whole.paths()[1] == tmp_path / "b/c.jpg"
    with pytest.raises(PerisphereError, match=r"split 'vla' \(its splits are train, val\)"):
        whole.select(split="vla")


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"path": ["a"], "colour": ["red"]}, "unknown column 'colour'"),
        ({"path": [None, "a"]}, "1 rows have no path"),
        ({"path": ["a", "b"], "id": [4, 4]}, "id 4 occurs more than once"),
        ({"path": ["a"], "id": ["x"]}, "conversion"),
        ({"path": ["a"], "box": [[0, 0, 2]]}, "a: box"),
        ({"path": ["a"], "box": [[2, 0, 2, 9]]}, "a: box"),
        ({"path": ["a"], "box": [[0, 0, None, 9]]}, "a: box"),
    ],
)
def test_wrong_tables_are_refused(columns: dict, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match=complaint):
        Catalog(pl.DataFrame(columns), tmp_path)


def test_side_tables_must_name_images_that_are_there(tmp_path: Path) -> None:
    keypoints = pl.DataFrame({"image": [9], "point": [0], "x": [0.0], "y": [0.0]})
    with pytest.raises(PerisphereError, match="keypoints: image 9"):
        Catalog(pl.DataFrame({"path": ["a"]}), tmp_path, keypoints=keypoints)


def test_saving_twice_needs_overwrite_and_never_eats_another_folder(tmp_path: Path) -> None:
    made = catalog(tmp_path)
    made.save(tmp_path / "saved")
    with pytest.raises(PerisphereError, match="exists already"):
        made.save(tmp_path / "saved")
    made.select(split="val").save(tmp_path / "saved", overwrite=True)
    assert len(Catalog.load(tmp_path / "saved")) == 1
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"precious")
    with pytest.raises(PerisphereError, match="did not write"):
        made.save(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos/a.jpg").read_bytes() == b"precious"


def test_a_full_disk_leaves_the_old_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = catalog(tmp_path)
    made.save(tmp_path / "saved")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    for target, overwrite in (("saved", True), ("other", False)):
        with pytest.raises(PerisphereError, match="No space left"):
            made.select(split="val").save(tmp_path / target, overwrite=overwrite)
    assert len(Catalog.load(tmp_path / "saved")) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved"]


def damage(folder: Path, how: str) -> None:
    head = json.loads((folder / "catalog.json").read_text())
    if how == "no head":
        (folder / "catalog.json").unlink()
    elif how == "no table":
        (folder / "images.parquet").unlink()
    elif how == "half a head":
        (folder / "catalog.json").write_text((folder / "catalog.json").read_text()[:40])
    elif how == "half a table":
        file = folder / "images.parquet"
        file.write_bytes(file.read_bytes()[:200])
    elif how == "newer":
        (folder / "catalog.json").write_text(json.dumps({**head, "version": 99}))
    elif how == "another kind":
        (folder / "catalog.json").write_text(json.dumps([1, 2]))
    elif how == "column of another type":
        pl.DataFrame({name: [1] for name in SCHEMA}).write_parquet(folder / "images.parquet")
    elif how == "rows lost":
        pl.read_parquet(folder / "images.parquet").head(1).write_parquet(folder / "images.parquet")


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("no head", "catalog.json is missing"),
        ("no table", "images.parquet: missing"),
        ("half a head", "not a catalog's head"),
        ("half a table", "images.parquet: broken"),
        ("newer", "catalog format 99 is newer"),
        ("another kind", "not a catalog's head"),
        ("column of another type", "column 'path' is Int64 where String belongs"),
        ("rows lost", "1 rows where catalog.json counts 3"),
    ],
)
def test_damaged_catalogs_say_what_is_wrong(how: str, complaint: str, tmp_path: Path) -> None:
    catalog(tmp_path).save(tmp_path / "saved")
    damage(tmp_path / "saved", how)
    with pytest.raises(PerisphereError, match=complaint):
        Catalog.load(tmp_path / "saved")


def test_a_catalog_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match="no such catalog"):
        Catalog.load(tmp_path / "none")


def test_a_catalog_of_a_version_without_concepts_has_none(tmp_path: Path) -> None:
    catalog(tmp_path).save(tmp_path / "saved")
    file = tmp_path / "saved/images.parquet"
    pl.read_parquet(file).drop("concepts").write_parquet(file)
    assert Catalog.load(tmp_path / "saved").table["concepts"].to_list() == [[], [], []]


def test_concepts_of_another_type_are_refused(tmp_path: Path) -> None:
    catalog(tmp_path).save(tmp_path / "saved")
    file = tmp_path / "saved/images.parquet"
    pl.read_parquet(file).with_columns(concepts=pl.lit("sky")).write_parquet(file)
    with pytest.raises(PerisphereError, match="column 'concepts' is String"):
        Catalog.load(tmp_path / "saved")


def test_a_label_counts_as_the_concept_of_a_photo_without_concepts(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "path": ["a", "b", "c", "d"],
            "label": ["dome", "dome", None, None],
            "concepts": [["sky", "sea"], [], ["sky"], None],
        }
    )
    assert concepts_of(Catalog(table, tmp_path).table) == [["sky", "sea"], ["dome"], ["sky"], []]

from pathlib import Path

import polars as pl
import pytest

from perisphere.catalog import Catalog
from perisphere.catalog.catalog import KEYPOINTS
from perisphere.catalog.stored_table import StoredTable
from perisphere.errors import PerisphereError


@pytest.fixture
def points() -> pl.DataFrame:
    return pl.DataFrame({"image": [0, 0, 1], "point": [5, 6, 5], "x": [1.0, 2, 3], "y": [4.0, 5, 6]}).cast(
        {"x": pl.Float32, "y": pl.Float32}
    )


@pytest.fixture
def folder(points: pl.DataFrame, tmp_path: Path) -> Path:
    table = pl.DataFrame({"path": ["a.jpg", "b.jpg"], "split": ["train", "test"]})
    Catalog(table, tmp_path, keypoints=points).save(tmp_path / "catalog")
    return tmp_path / "catalog"


def test_rows_are_read_when_they_are_asked_for(folder: Path, points: pl.DataFrame) -> None:
    table = StoredTable(folder / "keypoints.parquet", KEYPOINTS)
    assert table.count() == 3
    assert table.read().equals(points)
    kept = table.filter(pl.col("image") == 0)
    assert (kept.count(), table.count()) == (2, 3)
    assert kept.read().equals(points.head(2))


def test_a_catalog_reads_them_late_and_the_same(folder: Path, points: pl.DataFrame, tmp_path: Path) -> None:
    opened = Catalog.load(folder)
    assert opened.keypoint_count() == 3
    part = opened.select(split="test")
    part.save(tmp_path / "part")
    assert opened.keypoints is not None
    assert opened.keypoints.equals(points)
    assert part.keypoints is not None
    assert part.keypoints.rows() == [(1, 5, 3.0, 6.0)]
    again = Catalog.load(tmp_path / "part").keypoints
    assert again is not None
    assert again.equals(part.keypoints)


def test_a_catalog_replaces_itself(folder: Path, points: pl.DataFrame) -> None:
    Catalog.load(folder).select(split="train").save(folder, overwrite=True)
    found = Catalog.load(folder).keypoints
    assert found is not None
    assert found.equals(points.head(2))
    opened = Catalog.load(folder)
    opened.write(folder)
    assert Catalog.load(folder).keypoint_count() == 2


def test_a_file_that_was_replaced_is_not_taken_for_the_old_one(folder: Path) -> None:
    opened = Catalog.load(folder)
    Catalog.load(folder).select(split="train").save(folder, overwrite=True)
    with pytest.raises(
        PerisphereError, match=r"keypoints.parquet: was replaced since the catalog was opened"
    ):
        _ = opened.keypoints


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"\0" * 4096])
def test_broken_files_are_refused_at_once(folder: Path, content: bytes) -> None:
    (folder / "keypoints.parquet").write_bytes(content)
    with pytest.raises(PerisphereError, match=r"keypoints.parquet: broken"):
        Catalog.load(folder)


def test_a_file_that_ends_early_is_refused(folder: Path) -> None:
    file = folder / "keypoints.parquet"
    file.write_bytes(b"PAR1" + b"\0" * 60 + file.read_bytes()[64:])  # the head is whole, the rows are not
    opened = Catalog.load(folder)
    with pytest.raises(PerisphereError, match=r"keypoints.parquet: broken"):
        _ = opened.keypoints


def test_columns_of_another_type_and_strange_images(folder: Path, points: pl.DataFrame) -> None:
    points.with_columns(image=pl.lit(7, pl.Int64)).write_parquet(folder / "keypoints.parquet")
    opened = Catalog.load(folder)
    with pytest.raises(PerisphereError, match="keypoints: image 7 is not in the table"):
        _ = opened.keypoints
    points.cast({"x": pl.Float64}).write_parquet(folder / "keypoints.parquet")
    with pytest.raises(PerisphereError, match="column 'x' is Float64 where Float32 belongs"):
        Catalog.load(folder)
    (folder / "keypoints.parquet").unlink()
    with pytest.raises(PerisphereError, match="missing"):
        StoredTable(folder / "keypoints.parquet", KEYPOINTS)

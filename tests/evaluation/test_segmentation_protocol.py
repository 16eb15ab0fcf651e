"""Masks and scores against the truth."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from perisphere.catalog import Catalog
from perisphere.catalog.label_images import write_labels
from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.segment import Segmenter
from perisphere.encoder.segment_catalog import segment_catalog
from perisphere.errors import PerisphereError
from perisphere.evaluation.class_table import class_table
from perisphere.evaluation.label_predictions import FromEncoder, FromFolder, Oracle, Predicted
from perisphere.evaluation.report import Report
from perisphere.evaluation.segmentation import UNSEEN, judge_segmentation
from perisphere.nets.segmentation import SegmentationSpec, build_segmentation

NAMES = ["tower", "portal", "organ"]


class Given:
    """Predictions by the name of the file."""

    def __init__(self, classes: list[str], by_name: dict[str, Predicted]) -> None:
        self.classes, self.by_name = classes, by_name

    def __call__(self, path: Path) -> Predicted | None:
        return self.by_name.get(path.name)

    def described(self) -> dict[str, Any]:
        return {"given": True}


def true_labels() -> list[np.ndarray]:
    made = [np.zeros((8, 10), np.uint8) for _ in range(4)]
    made[0][:, :5], made[0][0] = 1, 255
    made[1][2:, 2:6] = 2
    made[2][4:] = 1
    made[3][:4] = 2
    return made


@pytest.fixture
def truth(tmp_path: Path) -> Catalog:
    folder = tmp_path / "photos"
    (folder / "masks").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows, masks = [], []
    for place, labels in enumerate(true_labels()):
        Image.fromarray(rng.integers(0, 255, (*labels.shape, 3), np.uint8)).save(folder / f"{place}.png")
        write_labels(folder / "masks" / f"{place}.png", labels, 3)
        concepts = [NAMES[value - 1] for value in np.unique(labels) if value in (1, 2, 3)]
        split, label = ("train", "A") if place == 0 else ("test", "B" if place == 1 else "A")
        rows.append({"path": f"{place}.png", "concepts": concepts, "split": split, "label": label})
        masks.append({"image": place, "part": "concepts", "path": f"masks/{place}.png"})
    source = {"format": "drawn", "concepts": NAMES}
    return Catalog(pl.DataFrame(rows), folder, source, masks=pl.DataFrame(masks))


def perfect(order: list[str]) -> Given:
    """True labels under class numbers of another order."""
    table = np.array([0, *(order.index(name) + 1 if name in order else 0 for name in NAMES)], np.uint8)
    found = {}
    for place, labels in enumerate(true_labels()):
        shown = np.where(labels == 255, 0, labels)
        scores = np.array(
            [1.0 if name in [NAMES[v - 1] for v in np.unique(shown) if v] else 0 for name in order]
        )
        found[f"{place}.png"] = Predicted(table[shown], scores)
    return Given(order, found)


def test_true_masks_under_other_numbers_are_perfect(truth: Catalog) -> None:
    report = judge_segmentation(perfect(["organ", "tower", "portal"]), truth).report
    assert report.values["mean IoU of occurring"] == 1
    assert report.values["mean IoU"] == pytest.approx(2 / 3)
    assert report.values["mean IoU with background"] == pytest.approx(3 / 4)
    assert report.values["mAP"] == report.values["top-1"] == report.values["mean class accuracy"] == 1
    assert report.classes["tower"]["iou"] == 1
    assert "AP" not in report.classes["organ"]
    assert not any(name.endswith(UNSEEN) for name in report.values)


def test_a_class_that_is_never_predicted_is_missed(truth: Catalog) -> None:
    report = judge_segmentation(perfect(["tower"]), truth).report
    assert report.classes["portal"]["recall"] == 0
    assert report.classes["tower"]["iou"] == 1
    assert report.classes["background"]["iou"] < 1


def test_photos_without_a_prediction_and_of_another_size_count_against_the_result(truth: Catalog) -> None:
    given = perfect(NAMES)
    del given.by_name["2.png"]
    given.by_name["3.png"] = given.by_name["3.png"]._replace(labels=np.zeros((3, 3), np.uint8))
    report = judge_segmentation(given, truth).report
    pixels = (35, 40)
    assert report.classes["tower"]["recall"] == pytest.approx(pixels[0] / sum(pixels))
    assert report.classes["tower"]["precision"] == 1
    assert report.classes["portal"]["recall"] == pytest.approx(24 / 64)
    assert report.values["top-1"] == 0.75
    assert report.counts["photos_without_a_prediction"] == 1
    assert report.data["missing"] == ["2.png"]
    assert report.data["misshapen"] == ["3.png"]


def test_landmarks_of_the_training_are_left_out_the_second_time(truth: Catalog) -> None:
    given = perfect(NAMES)
    del given.by_name["3.png"]  # of landmark A, which is in training
    report = judge_segmentation(given, truth, split="test").report
    assert report.values["top-1"] == pytest.approx(2 / 3)
    assert report.values[f"top-1{UNSEEN}"] == 1
    assert report.values[f"mean IoU of occurring{UNSEEN}"] == 1
    assert report.counts["photos_of_landmarks_not_in_training"] == 1


def test_what_each_photo_has_to_do_with_it(truth: Catalog) -> None:
    photos = judge_segmentation(perfect(NAMES), truth).photos
    towers = photos.filter(pl.col("class") == "tower")
    assert towers["path"].to_list() == ["2.png", "0.png"]
    assert towers["score"].to_list() == [40, 35]
    assert photos["class"].unique(maintain_order=True).to_list() == ["background", "tower", "portal"]


def test_the_oracle_is_right_where_masks_are_coarse(truth: Catalog) -> None:
    fine = judge_segmentation(Oracle(truth, (8, 10)), truth).report
    coarse = judge_segmentation(Oracle(truth, (2, 2)), truth).report
    assert fine.values["mean IoU of occurring"] == 1
    assert 0 < coarse.values["mean IoU of occurring"] < 1
    assert "mAP" not in fine.values


def test_nothing_to_judge_is_said(truth: Catalog, tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match=r"no photo of .* has a prediction"):
        judge_segmentation(Given(NAMES, {}), truth)
    bare = Catalog(truth.table.with_columns(concepts=pl.lit([], pl.List(pl.String))), truth.root)
    with pytest.raises(PerisphereError, match="no photo has a mask of concepts"):
        judge_segmentation(perfect(NAMES), bare)


def test_a_folder_and_an_encoder_give_the_same_report(truth: Catalog, tmp_path: Path) -> None:
    spec = SegmentationSpec(backbone="squeezenet1_0", width=8, classes=tuple(NAMES))
    encoder = Encoder(build_segmentation(spec, seed=1).eval(), Preprocessing(size=(40, 40)), name="small")
    segmenter = Segmenter(encoder, flip=False, precision="float32")
    segment_catalog(truth, segmenter, tmp_path / "out")
    kept = judge_segmentation(FromFolder(tmp_path / "out"), truth).report
    at_once = judge_segmentation(FromEncoder(segmenter), truth).report
    assert kept.values == at_once.values
    assert kept.classes == at_once.classes
    assert Report.load(kept.save(tmp_path / "report.json")).values == pytest.approx(kept.values, nan_ok=True)
    assert class_table(kept).row_count == 4
    with pytest.raises(PerisphereError, match="given labels"):
        FromEncoder(Segmenter(encoder, keep="labels"))


def test_a_folder_that_lost_masks_is_refused(truth: Catalog, tmp_path: Path) -> None:
    spec = SegmentationSpec(backbone="squeezenet1_0", width=8, classes=tuple(NAMES))
    encoder = Encoder(build_segmentation(spec, seed=1).eval(), Preprocessing(size=(40, 40)), name="small")
    segment_catalog(truth, Segmenter(encoder, flip=False, precision="float32"), tmp_path / "out")
    table = pl.read_parquet(tmp_path / "out" / "masks.parquet")
    table[1:].write_parquet(tmp_path / "out" / "masks.parquet")
    with pytest.raises(PerisphereError, match="lacks masks of some photos"):
        FromFolder(tmp_path / "out")

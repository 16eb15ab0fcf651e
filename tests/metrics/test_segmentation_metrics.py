"""Agreement of label images and of class scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perisphere.metrics.class_scores import (
    average_precision,
    class_accuracies,
    mean_average_precision,
    top_one,
)
from perisphere.metrics.correspondence import mean_by_group, within
from perisphere.metrics.segmentation import agreement, confusion, photo_scores

LABELS = arrays(np.uint8, (4, 5), elements=st.sampled_from([0, 1, 2, 3, 255]))


def golden(shared: Path, group: str, case: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "golden/wikiscenes.json").read_text())[group][case]
    return found


def test_golden_segmentation(shared: Path) -> None:
    case = golden(shared, "segmentation_evaluation", 0)
    pairs = zip(case["inputs"]["ground_truth"], case["inputs"]["prediction"], strict=True)
    # the published program passes over photos without a prediction
    matrices = [
        confusion(np.array(truth, np.uint8), np.array(found, np.uint8), 10)
        for truth, found in pairs
        if found is not None
    ]
    expected, counts = case["outputs"], sum(matrices)[:, :11]
    np.testing.assert_array_equal(counts, expected["confusion_rows_gt_cols_pred_first_11"])
    found = agreement(counts)
    for place, figures in enumerate(expected["per_class"].values()):
        assert found.pixels[place] == figures["pixels"]
        for name in ("iou", "precision", "recall"):
            assert 100 * getattr(found, name)[place] == pytest.approx(figures[name])
    means = found.means("iou")
    assert 100 * means["published"] == pytest.approx(expected["miou_foreground"])
    assert 100 * means["published with background"] == pytest.approx(expected["miou_with_background"])
    assert 100 * means["occurring"] == pytest.approx(np.mean([93.75, 93.75, 75, 69.565217391, 87.5]))


def test_golden_photo_scores(shared: Path) -> None:
    case = golden(shared, "segmentation_evaluation", 0)
    truth = [np.array(labels, np.uint8) for labels in case["inputs"]["ground_truth"]]
    predicted = case["inputs"]["prediction"]
    scores = [photo_scores(confusion(truth[at], np.array(predicted[at], np.uint8), 10)) for at in range(3)]
    logged: dict[int, list[tuple[int, int]]] = {}
    for line in case["outputs"]["per_image_score_log"].splitlines():
        if "|" in line:
            score, photo = (int(word) for word in line.split("|"))
            logged[len(logged) - 1].append((score, photo))
        else:
            logged[len(logged)] = []
    for place, lines in logged.items():
        found = [(int(scores[at][place]), at) for at in range(3) if np.isin(place, truth[at]).any()]
        assert sorted(found, reverse=True) == lines


@pytest.mark.parametrize("case", [0, 1])
def test_golden_classification(shared: Path, case: int) -> None:
    found = golden(shared, "classification_metrics", case)
    scores = np.array(found["inputs"]["class_scores"])
    primary = np.array(found["inputs"]["primary_one_hot"], bool)
    related = np.array(found["inputs"]["related_multi_hot"], bool)
    relevant = related if found["inputs"]["multi_label"] else primary
    expected = found["outputs"]
    for name, value in expected.items():
        if name.endswith("/AP"):
            one = int(name[:2]) - 1
            assert average_precision(scores[:, one], relevant[:, one]) == pytest.approx(value), name
        elif name[0].isdigit():
            assert class_accuracies(scores, primary.argmax(1))[int(name[:2]) - 1] == pytest.approx(value)
    assert mean_average_precision(scores, relevant) == pytest.approx(expected["all_wo_BG/mAP"])
    assert top_one(scores, related) == pytest.approx(expected["all_wo_BG/easy_acc"])
    if case == 0:
        assert top_one(scores, primary) == pytest.approx(expected["all_wo_BG/acc"])
        accuracies = class_accuracies(scores, primary.argmax(1))
        assert np.nanmean(accuracies) == pytest.approx(expected["all_wo_BG/acc(averaged by classes)"])


@settings(deadline=None)
@given(LABELS, LABELS)
def test_every_pixel_that_is_not_ambiguous_counts_once(truth: np.ndarray, found: np.ndarray) -> None:
    assert confusion(truth, found, 3).sum() == (truth != 255).sum()
    figures = agreement(confusion(truth, found, 3))
    assert (figures.iou <= np.minimum(figures.precision, figures.recall) + 1e-12).all()
    perfect = agreement(confusion(truth, truth, 3))
    assert (perfect.iou[perfect.pixels > 0] == 1).all()


def test_a_photo_without_a_prediction_counts_against_the_result() -> None:
    truth = np.array([[0, 1], [1, 255]], np.uint8)
    none = confusion(truth, None, 2)
    assert none[:, -1].tolist() == [1, 2, 0]
    both = agreement(none + confusion(truth, truth, 2))
    assert both.recall[:2].tolist() == [0.5, 0.5]
    assert both.precision[:2].tolist() == [1, 1]
    unknown = confusion(truth, np.full((2, 2), 77, np.uint8), 2)
    np.testing.assert_array_equal(unknown, none)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="predicted"):
        confusion(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), 1)


@settings(deadline=None)
@given(arrays(np.float64, 12, elements=st.integers(0, 4).map(float)), arrays(np.bool_, 12))
def test_average_precision_knows_no_order_of_equal_scores(scores: np.ndarray, relevant: np.ndarray) -> None:
    value = average_precision(scores, relevant)
    assert average_precision(scores[::-1], relevant[::-1]) == pytest.approx(value, nan_ok=True)
    assert average_precision(scores - 100, relevant) == pytest.approx(value, nan_ok=True)
    if relevant.any():
        assert relevant.mean() * 0.999 <= average_precision(np.zeros(12), relevant) <= 1


def test_undefined_figures_are_not_numbers() -> None:
    assert np.isnan(average_precision(np.ones(3), np.zeros(3)))
    assert np.isnan(mean_average_precision(np.ones((3, 2)), np.zeros((3, 2), bool)))
    assert np.isnan(class_accuracies(np.ones((1, 2)), np.array([0]))[1])


def test_points_within_a_share_of_the_larger_side() -> None:
    true = np.zeros((3, 2))
    found = np.array([[5.0, 0], [3, 4], [4, 4]])
    assert within(found, true, np.full((3, 2), [50, 100]), 0.05).tolist() == [True, True, False]
    assert mean_by_group(np.array([1, 0, 1]), np.array([7, 7, 9])) == 0.75

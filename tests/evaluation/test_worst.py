import numpy as np
import pytest

from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation import judge_retrieval, worst


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Return the answers that a sheet is made of, instead of the sheet."""

    def draw(judged, **options):
        kept = []
        monkeypatch.setattr(worst, "write_sheet", lambda path, answers, **_: kept.extend(answers))
        worst.draw_worst(judged, tmp_path / "worst.png", **options)
        return kept

    return draw


ANGLES = {"a": (0, 4), "b": (90, 93), "c": (180, 45)}
"""Degrees of two images of each class: those of c lie apart, and one of them beside the others."""


@pytest.fixture
def judged(points):
    angles = np.radians([angle for pair in ANGLES.values() for angle in pair])
    labels = [label for label in ANGLES for _ in range(2)]
    return judge_retrieval(points(labels, np.stack([np.cos(angles), np.sin(angles)], axis=1)))


def test_the_worst_stand_first_and_perfect_ones_are_left_out(judged, drawn):
    answers = drawn(judged)
    imperfect = np.sort(judged.average_precision[judged.average_precision < 1])
    assert 0 < len(imperfect) < len(judged.average_precision)
    assert [f"AP {value:.3f}, 1 right" for value in imperfect] == [answer.note for answer in answers]
    assert {answer.label for answer in answers} == {"c"}


def test_right_results_are_told_from_wrong_ones(judged, drawn):
    answer = drawn(judged, queries=1, results=5)[0]
    assert [(result.label == "c", result.mark) for result in answer.results] == [
        (result.label == "c", "right" if result.label == "c" else "wrong") for result in answer.results
    ]
    assert {result.mark for result in answer.results} == {"right", "wrong"}


def test_one_row_where_all_are_perfect(points, drawn):
    perfect = judge_retrieval(points(["a", "a", "b", "b"], [[1, 0], [1, 0.1], [0, 1], [0.1, 1]]))
    assert len(drawn(perfect)) == 1


def test_nothing_to_draw(judged, tmp_path):
    with pytest.raises(UsageError, match="0 queries"):
        worst.draw_worst(judged, tmp_path / "w.png", queries=0)
    with pytest.raises(PerisphereError, match="a sheet is a"):
        worst.draw_worst(judged, tmp_path / "w.gif")

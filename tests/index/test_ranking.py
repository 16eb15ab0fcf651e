import numpy as np
import pytest

from perisphere.errors import PerisphereError
from perisphere.index import Ranking


def ranking() -> Ranking:
    ids = np.array([[5, 9, 2], [7, -1, -1], [-1, -1, -1]])
    scores = np.array([[0.9, 0.5, 0.25], [0.125, -np.inf, -np.inf], [-np.inf] * 3], dtype=np.float32)
    return Ranking(ids, scores, "exact", "cosine")


@pytest.mark.parametrize("name", ["ranking.json", "ranking.parquet"])
def test_a_saved_ranking_loads_to_the_same(tmp_path, name):
    ranking().save(tmp_path / name)
    assert Ranking.load(tmp_path / name) == ranking()


def test_results_leave_out_the_empty_places():
    assert ranking().results(1) == [(7, 0.125)]
    assert ranking().results(2) == []
    assert ranking().frame().height == 4


def test_a_least_score_empties_what_is_below():
    cut = ranking().at_least(0.5)
    assert cut.results(0) == [(5, pytest.approx(0.9)), (9, 0.5)]
    assert cut.results(1) == []


@pytest.mark.parametrize("name", ["missing.json", "broken.json", "broken.parquet"])
def test_what_is_no_ranking_is_named(tmp_path, name):
    if "broken" in name:
        (tmp_path / name).write_text("{}")
    with pytest.raises(PerisphereError, match=name):
        Ranking.load(tmp_path / name)


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(PerisphereError, match=r"\.parquet or \.json"):
        ranking().save(tmp_path / "ranking.csv")


def test_ids_and_scores_must_have_one_shape():
    with pytest.raises(PerisphereError, match="one shape"):
        Ranking(np.zeros((2, 3), dtype=np.int64), np.zeros((2, 2), dtype=np.float32), "exact", "l2")

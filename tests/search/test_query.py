"""Search by image: the right neighbours, the right words, and nothing that the query should not see."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from asking import ask
from coloured import COLOURS, EACH, paint, pixels, rows

from perisphere.catalog.images import ImageError
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index, Ranking


def test_a_new_photo_finds_its_kind(index: Index, photos: Path) -> None:
    queries = [photos / "new" / f"{label}.png" for label in COLOURS]
    found = ask(index, queries, 4)
    assert (found.road, found.metric, found.min_score) == ("exact", "cosine", None)
    for answer, label in zip(found.answers, COLOURS, strict=True):
        assert [result.label for result in answer.results] == [label] * 4
        assert [result.rank for result in answer.results] == [1, 2, 3, 4]
        scores = [result.score for result in answer.results]
        assert scores == sorted(scores, reverse=True)
        assert answer.label is None, "a photo from elsewhere has no label"
        assert answer.right(answer.results[0]) is None


def test_scores_are_those_of_the_vectors(index: Index, photos: Path) -> None:
    query = photos / "new" / "sky.png"
    answer = ask(index, [query], EACH * 3).answers[0]
    ids, vectors = index.vectors()
    expected = dict(zip(ids.tolist(), (vectors @ pixels().encode([query])[0]).tolist(), strict=True))
    assert len(answer.results) == len(expected)
    for result in answer.results:
        assert result.score == pytest.approx(expected[result.id], abs=1e-5)
        assert result.file == photos / str(result.path)
        assert result.file.exists()


def test_a_photo_of_the_index_knows_itself(
    index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos / "sky")
    for query in (Path("2.png"), photos / "grass" / ".." / "sky" / "2.png", str(photos / "sky" / "2.png")):
        own = ask(index, [query]).answers[0]
        assert own.label == "sky"
        assert own.results[0].path == "sky/2.png"
        assert own.results[0].score == pytest.approx(1, abs=1e-5)
        assert own.right(own.results[0]) is True
        others = ask(index, [query], exclude_self=True).answers[0]
        assert [result.path for result in others.results[:4]] == [result.path for result in own.results[1:]]
        assert len(others.results) == 5
        assert others.results[0].rank == 1


def test_another_file_of_the_same_name_is_not_itself(index: Index, photos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "sky" / "2.png"
    copy.parent.mkdir()
    shutil.copy(photos / "sky" / "2.png", copy)
    answer = ask(index, [copy], exclude_self=True).answers[0]
    assert answer.label is None
    assert answer.results[0].path == "sky/2.png"


def test_pictures_and_arrays_are_queries_too(index: Index, photos: Path) -> None:
    file = photos / "new" / "brick.png"
    picture = PIL.Image.open(file)
    answers = ask(index, [file, picture, np.asarray(picture)], 5).answers
    found = [
        [(result.id, pytest.approx(result.score, abs=1e-5)) for result in answer.results]
        for answer in answers
    ]
    assert found[0] == found[1] == found[2]


def test_filters_and_cut_offs(index: Index, photos: Path) -> None:
    query = [photos / "new" / "sky.png"]
    everything = ask(index, query, 100).answers[0].results
    odd = ask(index, query, 100, where="camera == 1 and label != 'brick'")
    assert odd.road == "gather + exact"
    assert {result.id for result in odd.answers[0].results} == {
        result.id for result in everything if result.label != "brick" and str(result.path)[-5] in "13"
    }
    cut = everything[3].score
    kept = ask(index, query, 100, min_score=cut).answers[0].results
    assert [result.id for result in kept] == [result.id for result in everything[:4]]


def test_precision_is_shown_and_cuts(index: Index, photos: Path) -> None:
    query = [photos / "new" / "sky.png"]
    everything = ask(index, query, 100).answers[0].results
    precisions = [result.precision for result in everything]
    assert all(precision is not None for precision in precisions)
    assert precisions == sorted(precisions, reverse=True)  # type: ignore[type-var]
    cut = ask(index, query, 100, min_precision=0.95)
    assert cut.min_score is not None
    assert {result.label for result in cut.answers[0].results} == {"sky"}
    assert ask(index, query, 100, min_precision=0.95, min_score=2).answers[0].results == ()
    with pytest.raises(PerisphereError, match="not calibrated for this metric"):
        ask(index, query, metric="l2", min_precision=0.9)
    assert ask(index, query, metric="l2").answers[0].results[0].precision is None


def test_labels_given_go_before_those_of_the_index(index: Index, photos: Path) -> None:
    query = photos / "sky" / "0.png"
    answers = ask(index, [query, query], labels=["brick", None]).answers
    assert [answer.label for answer in answers] == ["brick", "sky"]
    assert answers[0].right(answers[0].results[0]) is False


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.jpg", None),
        ("empty.jpg", b""),
        ("text.jpg", b"hello"),
        ("cut.png", b"\x89PNG\r\n\x1a\n\0\0"),
    ],
)
def test_a_bad_query_is_named(
    index: Index, photos: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    bad = tmp_path / name
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        ask(index, [photos / "sky" / "0.png", bad])
    assert str(caught.value).startswith(str(bad))
    assert "leave it out" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_no_text(index: Index, photos: Path, tmp_path: Path) -> None:
    query = paint(tmp_path / "sky.png", COLOURS["sky"], 1).rename(tmp_path / "caf\udce9.png")
    answer = ask(index, [query]).answers[0]
    assert answer.results[0].label == "sky"
    assert answer.name.endswith("caf\\xe9.png")


def test_the_encoder_has_to_be_the_one_of_the_index(index: Index, photos: Path, tmp_path: Path) -> None:
    query = [photos / "new" / "sky.png"]
    given = ask(index, query, encoder=pixels())
    assert given == ask(index, query)
    with pytest.raises(PerisphereError, match="did not make"):
        ask(index, query, encoder=pixels(4))
    table = rows(photos)
    with Index.create(tmp_path / "bare", pixels().dim) as bare:
        bare.add(pixels().encode([photos / path for path in table["path"]]), table, root=photos)
        with pytest.raises(PerisphereError, match="Pass --encoder"):
            ask(bare, query)
        with pytest.raises(PerisphereError, match="holds 192"):
            ask(bare, query, encoder=pixels(4))
        with pytest.raises(PerisphereError, match="index calibrate"):
            ask(bare, query, encoder=pixels(), min_precision=0.5)
        found = ask(bare, query, encoder=pixels()).answers[0].results
        assert [result.id for result in found] == [result.id for result in given.answers[0].results]


def test_what_is_removed_meanwhile_is_left_out(
    photos: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made, tmp_path / "index")
    query = photos / "new" / "sky.png"
    with Index.open(tmp_path / "index") as index:
        before = ask(index, [query]).answers[0].results
        search = index.search

        def overtaken(*words: Any, **options: Any) -> Ranking:
            found = search(*words, **options)
            index.remove(before[1].id)
            return found

        monkeypatch.setattr(index, "search", overtaken)
        after = ask(index, [query]).answers[0].results
    kept = [result for result in before if result is not before[1]]
    assert [(result.id, result.score, result.path) for result in after] == [
        (result.id, result.score, result.path) for result in kept
    ]
    assert [result.rank for result in after] == [1, 2, 3, 4]


def test_nothing_to_ask_or_to_find(index: Index, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no query"):
        ask(index, [])
    with Index.create(tmp_path / "empty", encoder=pixels()) as empty:
        assert ask(empty, [photos / "new" / "sky.png"]).answers[0].results == ()

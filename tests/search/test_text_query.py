"""Texts as queries: tags found in them, words that are none, and what is refused."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl
import pytest
from asking import ask
from coloured import COLOURS, EACH, paint, pixels, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.codes.codebooks import Codebooks
from perisphere.encoder import Encoder, Preprocessing
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.search import Answer, ClassQuery, TextQuery, tag_images, write_sheet
from perisphere.tags import Tags


@pytest.fixture(scope="module")
def tags(photos: Path) -> Tags:
    """Tags where a new photo of each colour lies, but longer, as training would have drawn photos to them."""
    vectors = pixels().encode([photos / "new" / f"{label}.png" for label in COLOURS])
    lengths = np.array([[2], [0.5], [7]], np.float32)
    merges = {"brick wall": "brick", "briques": "brick", "grass": "grass", "Sky": "sky", "2019": None}
    return Tags(tuple(COLOURS), vectors * lengths, np.array([5, 5, 5]), merges)


def labels(answer: Answer) -> list[str | None]:
    return [result.label for result in answer.results]


def test_a_text_finds_what_lies_in_the_direction_of_its_tags(index, tags):
    found = ask(index, [TextQuery("Sky"), TextQuery("the sky, over grass")], 2 * EACH, tags=tags)
    sky, both = found.answers
    assert labels(sky)[:EACH] == ["sky"] * EACH
    assert set(labels(both)[: 2 * EACH - 1]) == {"sky", "grass"}
    assert (sky.name, sky.note, sky.label) == ("Sky", "tags: sky", None)
    assert both.note == "tags: sky, grass"
    assert all(sky.right(result) is None for result in sky.results), "nobody told the truth"
    middle = tags.unit[1] + tags.unit[2]
    vectors = dict(zip(*(part.tolist() for part in index.vectors()), strict=True))
    for result in both.results:
        expected = np.dot(vectors[result.id], middle / np.linalg.norm(middle))
        assert result.score == pytest.approx(expected, abs=1e-5)


def test_unknown_words_are_named_with_the_nearest_and_change_nothing(index, tags):
    found = ask(index, [TextQuery("sky gras"), TextQuery("sky")], 3, tags=tags)
    odd, plain = found.answers
    assert odd.results == plain.results
    told = json.loads(json.dumps(found.to_dict()))["queries"][0]
    assert (told["text"], told["tags"], told["class"]) == ("sky gras", ["sky"], None)
    assert told["unknown"]["gras"][0] == "grass"
    with pytest.raises(PerisphereError, match=r"no tag is called 'gras' \(nearest: grass"):
        ask(index, [TextQuery("gras")], tags=tags)


def test_photos_classes_and_texts_in_one_list_are_queries_of_their_own(index, tags, photos):
    photo = photos / "new" / "brick.png"
    mixed = ask(index, [TextQuery("sky"), photo, TextQuery("grass")], 3, tags=tags)
    assert mixed.answers[1] == ask(index, [photo], 3).answers[0]
    assert [answer.results[0].label for answer in mixed.answers] == ["sky", "brick", "grass"]


def test_filters_cut_offs_metrics_centroids_and_re_rankers_count(index, tags, photos, tmp_path):
    query = [TextQuery("sky")]
    filtered = ask(index, query, 3, tags=tags, where="label == 'brick'").answers[0]
    assert labels(filtered) == ["brick"] * 3
    assert not ask(index, query, tags=tags, min_score=2).answers[0].results
    for metric in ("l1", "l2"):
        assert labels(ask(index, query, 3, tags=tags, metric=metric).answers[0]) == ["sky"] * 3
    again = ask(index, query, 3, tags=tags, rerank="aqe(n=2)").answers[0]
    assert labels(again) == ["sky"] * 3
    table = rows(photos)
    with Index.create(tmp_path / "index", pixels().dim, centroids="only") as made:
        made.add(pixels().encode([photos / path for path in table["path"]]), table, root=photos)
        found = ask(made, query, 1, tags=tags)
        assert (found.among, labels(found.answers[0])) == ("centroids", ["sky"])


def test_the_encoder_of_the_index_brings_its_tags(tags, photos, tmp_path):
    plain, table = pixels(), rows(photos)
    encoder = Encoder(plain.net, plain.preprocessing, name="taught", tags=tags)
    with Index.create(tmp_path / "index", encoder=encoder) as made:
        made.add(encoder.encode([photos / path for path in table["path"]]), table, root=photos)
    with Index.open(tmp_path / "index") as opened:
        assert labels(ask(opened, [TextQuery("Briques")], 3).answers[0]) == ["brick"] * 3


def test_tags_of_an_encoder_that_did_not_make_the_index_are_refused(tags, photos, tmp_path):
    plain, table = pixels(), rows(photos)
    maker = Encoder(plain.net, plain.preprocessing, name="maker", tags=tags)
    with Index.create(tmp_path / "index", encoder=maker) as made:
        made.add(maker.encode([photos / path for path in table["path"]]), table, root=photos)
        assert labels(ask(made, [TextQuery("sky")], 1, encoder=maker).answers[0]) == ["sky"]
        turned = Preprocessing(size=plain.preprocessing.size, mean=(0.1, 0.2, 0.3), std=(1, 1, 1))
        other = Encoder(plain.net, turned, name="other", tags=tags)
        with pytest.raises(PerisphereError, match="did not make"):
            ask(made, [TextQuery("sky")], encoder=other)


@pytest.mark.parametrize("mode", ["beside", "only"])
def test_a_text_searches_codes(tags, photos, tmp_path, mode):
    vectors = pixels().encode([photos / path for path in rows(photos)["path"]])
    words = np.stack([vectors[::EACH], np.zeros_like(vectors[::EACH])])
    books = Codebooks(words, "residual")
    with Index.create(tmp_path / "index", pixels().dim, codebooks=books, codes=mode) as made:
        made.add(vectors, rows(photos), root=photos)
        for options in ({}, {"symmetric": True}, {"shortlist": 0}):
            found = ask(made, [TextQuery("sky")], EACH, tags=tags, **options)
            assert labels(found.answers[0]) == ["sky"] * EACH, options


def test_what_makes_no_sense_for_a_text(index, tags, photos):
    with pytest.raises(PerisphereError, match=r"knows no tags.*--tags FOLDER"):
        ask(index, [TextQuery("sky")])
    with pytest.raises(UsageError, match="Give labels to photos only"):
        ask(index, [TextQuery("sky")], tags=tags, labels=["sky"])
    with pytest.raises(UsageError, match="Cut by a score"):
        ask(index, [TextQuery("sky")], tags=tags, min_precision=0.5)
    with pytest.raises(PerisphereError, match="Leave `geometric` out"):
        ask(index, [TextQuery("sky")], tags=tags, rerank="geometric")
    with pytest.raises(PerisphereError, match=r"text '  '"):
        ask(index, [TextQuery("  ")], tags=tags)
    flat = Tags(("sky",), np.ones((1, 3), np.float32), np.array([1]), {})
    with pytest.raises(PerisphereError, match=r"vectors of 3 numbers, and .* holds 192"):
        ask(index, [TextQuery("sky")], tags=flat)
    with pytest.raises(PerisphereError, match="knows no classes"):
        ask(index, [TextQuery("sky"), ClassQuery("sky")], tags=tags)


def test_the_sheet_shows_the_words_in_place_of_a_photo(index, tags, tmp_path):
    answers = ask(index, [TextQuery("sky over grass")], 5, tags=tags).answers
    with PIL.Image.open(write_sheet(tmp_path / "sheet.png", answers)) as sheet:
        tile = np.asarray(sheet.convert("L"))[92 + 12 : 92 + 224, 44 + 12 : 44 + 224]
    assert (tile < 100).mean() > 0.01, "ink"
    assert (tile > 230).mean() > 0.5, "on an empty mat"


def test_the_nearest_tags_of_photos(tags, photos):
    files = [photos / label / "0.png" for label in COLOURS]
    found = tag_images(pixels(), files, tags=tags)
    assert [tagging.tags[0][0] for tagging in found] == list(COLOURS)
    assert all(len(tagging.tags) == 3 for tagging in found), "there are no more"
    cosines = pixels().encode(files) @ tags.unit.T
    for row, tagging in zip(cosines, found, strict=True):
        assert [score for _, score in tagging.tags] == pytest.approx(sorted(row, reverse=True), abs=1e-5)
    best = tag_images(pixels(), files, 1, tags=tags, min_score=0.999999)
    assert [tagging.tags for tagging in best] == [()] * 3
    assert found[0].to_dict()["tags"][0] == {"tag": "brick", "score": found[0].tags[0][1]}


def test_pictures_in_blocks_are_tagged_as_one(tags, photos, monkeypatch):
    files = [photos / label / f"{number}.png" for number in range(2) for label in COLOURS]
    whole = tag_images(pixels(), files, 2, tags=tags)
    monkeypatch.setattr("perisphere.search.tagging.BLOCK", 4)
    for one, other in zip(whole, tag_images(pixels(), files, 2, tags=tags), strict=True):
        assert [name for name, _ in one.tags] == [name for name, _ in other.tags]
    assert tag_images(pixels(), [], tags=tags) == []


def test_what_cannot_be_tagged(tags, photos, tmp_path):
    with pytest.raises(PerisphereError, match=r"knows no tags.*--tags FOLDER"):
        tag_images(pixels(), [photos / "new" / "sky.png"])
    with pytest.raises(PerisphereError, match="gives 48"):
        tag_images(pixels(4), [photos / "new" / "sky.png"], tags=tags)
    with pytest.raises(UsageError, match="k is 0"):
        tag_images(pixels(), [], 0, tags=tags)
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    with pytest.raises(PerisphereError, match=r"no\.jpg"):
        tag_images(pixels(), [tmp_path / "no.jpg"], tags=tags)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_rotation_of_the_sphere_changes_no_ranking(seed):
    random = np.random.default_rng(seed)
    photos = random.standard_normal((20, 6)).astype(np.float32)
    vectors = random.standard_normal((3, 6)).astype(np.float32)
    turn = np.linalg.qr(random.standard_normal((6, 6)))[0].astype(np.float32)
    rankings = []
    for rotation in (np.eye(6, dtype=np.float32), turn):
        known = Tags(("one", "two", "three"), vectors @ rotation, np.ones(3, np.int64), {})
        scores = photos @ rotation @ known.point("one three").vector
        rankings.append(scores)
    np.testing.assert_allclose(rankings[0], rankings[1], atol=1e-4)


def test_an_empty_index_answers_with_nothing(tags, tmp_path):
    with Index.create(tmp_path / "empty", pixels().dim) as made:
        assert ask(made, [TextQuery("sky")], tags=tags).answers[0].results == ()


def test_a_tag_s_own_photo_is_first_whatever_its_length(tags, tmp_path):
    paint(tmp_path / "own.png", (200, 200, 30), 3)
    own = pixels().encode([tmp_path / "own.png"])
    known = Tags((*tags.names, "sun"), np.vstack([tags.vectors, own * 1e-3]), np.ones(4, np.int64), {})
    with Index.create(tmp_path / "index", pixels().dim) as made:
        made.add(np.vstack([own, tags.unit]), pl.DataFrame({"path": ["own.png", "a", "b", "c"]}))
        (first, *_) = ask(made, [TextQuery("sun")], tags=known).answers[0].results
    assert first.path == "own.png"
    assert first.score == pytest.approx(1, abs=1e-5)

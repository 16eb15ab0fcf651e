"""Search among centroids and with several photos: the right points, and nothing that must not be seen."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from asking import ask
from coloured import COLOURS, EACH, pixels, rows

from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Centroids, Index
from perisphere.search import Photos, among, classify_images, draw_sheet, write_sheet
from perisphere.search.matches import write_matches


@pytest.fixture(scope="session", params=["beside", "only"])
def kept(request: pytest.FixtureRequest, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("kept") / "index", photos, request.param)


@pytest.fixture(scope="session")
def beside(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("beside") / "index", photos, "beside")


def make(folder: Path, photos: Path, mode: str, metric: str = "cosine") -> Path:
    encoder, table = pixels(), rows(photos)
    vectors = encoder.encode([photos / path for path in table["path"]])
    with Index.create(folder, encoder=encoder, centroids=mode, metric=metric) as index:
        index.add(vectors, table, root=photos, encoder_identity=encoder.identity)
        if mode == "beside":
            index.calibrate()
    return folder


@pytest.fixture
def index(beside: Path) -> Iterator[Index]:
    with Index.open(beside) as opened:
        yield opened


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def stored(photos: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The vectors, labels and cameras of the photos of the index."""
    table = rows(photos)
    vectors = unit(pixels().encode([photos / path for path in table["path"]]))
    return vectors, table["label"].to_numpy(), table["camera"].to_numpy()


def test_one_result_a_label_with_its_count_and_photos(kept: Path, photos: Path) -> None:
    vectors, labels, _ = stored(photos)
    with Index.open(kept) as index:
        found = ask(index, [photos / "new" / f"{label}.png" for label in COLOURS], among="centroids")
    assert (found.among, found.road) == ("centroids", "exact")
    for answer, own in zip(found.answers, COLOURS, strict=True):
        assert sorted(str(result.label) for result in answer.results) == sorted(COLOURS)
        assert answer.results[0].label == own
        query = pixels().encode([answer.image])[0]
        for rank, result in enumerate(answer.results, start=1):
            mean = unit(vectors[labels == result.label].mean(0))
            assert result.score == pytest.approx(float(unit(query) @ mean), abs=1e-5)
            assert (result.rank, result.count, result.precision) == (rank, EACH, None)
            assert result.path == f"{result.label}/0.png"
            assert result.examples == tuple(photos / f"{result.label}/{number}.png" for number in range(4))


def test_an_index_of_centroids_only_is_searched_among_them_by_itself(kept: Path, photos: Path) -> None:
    with Index.open(kept) as index:
        found = ask(index, [photos / "new" / "sky.png"])
        assert found.among == ("centroids" if index.centroids_kept == "only" else "photos")


def test_a_filter_chooses_the_photos_behind_the_centroids(index: Index, photos: Path) -> None:
    vectors, labels, cameras = stored(photos)
    query = photos / "new" / "grass.png"
    found = ask(index, [query], among="centroids", where="camera == 1 and label != 'brick'")
    assert {result.label for result in found.answers[0].results} == {"grass", "sky"}
    for result in found.answers[0].results:
        mean = unit(vectors[(labels == result.label) & (cameras == "1")].mean(0))
        assert result.score == pytest.approx(float(unit(pixels().encode([query])[0]) @ mean), abs=1e-5)
        assert (result.count, result.path) == (2, f"{result.label}/1.png")
    nothing = ask(index, [query], among="centroids", where="camera == 7")
    assert nothing.answers[0].results == ()


@pytest.mark.parametrize("rerank", [None, "aqe(n=1)"])
def test_a_photo_is_taken_out_of_its_own_centroid(index: Index, photos: Path, rerank: str | None) -> None:
    vectors, labels, cameras = stored(photos)
    own, other = photos / "sky" / "0.png", photos / "new" / "sky.png"
    found = ask(index, [other, own], among="centroids", exclude_self=True, rerank=rerank)
    alone = ask(index, [other], among="centroids", rerank=rerank)
    assert found.answers[0] == alone.answers[0], "another query of the same command sees all photos"
    paths = rows(photos)["path"].to_numpy()
    query = vectors[paths == "sky/0.png"][0]
    for result in found.answers[1].results:
        rest = (labels == result.label) & (paths != "sky/0.png")
        assert result.score == pytest.approx(float(query @ unit(vectors[rest].mean(0))), abs=1e-5)
        assert result.count == rest.sum()
        assert own not in result.examples
    where = "camera == 0"
    filtered = ask(index, [own], among="centroids", exclude_self=True, where=where).answers[0]
    sky = next(result for result in filtered.results if result.label == "sky")
    rest = (labels == "sky") & (cameras == "0") & (paths != "sky/0.png")
    assert sky.score == pytest.approx(float(query @ unit(vectors[rest].mean(0))), abs=1e-5)
    gone = ask(index, [own], among="centroids", exclude_self=True, where="path == 'sky/0.png'")
    assert gone.answers[0].results == (), "of a photo that is alone nothing is left"


def test_centroids_without_a_query_are_held_one_query_at_a_time(
    index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, searched = [], []
    without, context = Centroids.without, among.Context
    monkeypatch.setattr(Centroids, "without", lambda *words: made.append(1) or without(*words))
    monkeypatch.setattr(among, "Context", lambda *words: searched.append(len(made)) or context(*words))
    own = [photos / "sky" / f"{number}.png" for number in range(3)]
    ask(index, own, among="centroids", exclude_self=True)
    assert searched == [1, 2, 3]


def test_the_photos_of_the_nearest_centroids(index: Index, photos: Path) -> None:
    queries = [photos / "new" / f"{label}.png" for label in COLOURS]
    found = ask(index, queries, 100, among="centroids-then-photos", identities=1)
    everything = ask(index, queries, 100)
    assert found.road == "exact for centroids, then gather + exact"
    for answer, whole, label in zip(found.answers, everything.answers, COLOURS, strict=True):
        expected = [(result.id, result.precision) for result in whole.results if result.label == label]
        assert [(result.id, result.precision) for result in answer.results] == expected
        assert answer.results[0].count is None
    two = ask(index, queries[:1], 100, among="centroids-then-photos", identities=2).answers[0]
    assert len({result.label for result in two.results}) == 2
    assert len(two.results) == 2 * EACH
    every = ask(index, queries, 100, among="centroids-then-photos")
    assert [[result.id for result in answer.results] for answer in every.answers] == [
        [result.id for result in answer.results] for answer in everything.answers
    ]
    own = photos / "sky" / "0.png"
    left = ask(
        index, [own], 100, among="centroids-then-photos", identities=1, exclude_self=True, where="camera == 0"
    )
    assert [result.path for result in left.answers[0].results] in (
        ["sky/2.png", "sky/4.png"],
        ["sky/4.png", "sky/2.png"],
    )
    assert left.answers[0].label == "sky"


@pytest.mark.parametrize("chain", ["aqe(n=2)", "dba(n=2)+kreciprocal(k1=3,k2=2)", "diffusion(k=2,kq=2)"])
def test_re_rankers_work_among_centroids_and_their_photos(index: Index, photos: Path, chain: str) -> None:
    query = [photos / "new" / "sky.png", Photos((photos / "new" / "grass.png", photos / "grass" / "1.png"))]
    found = ask(index, query, among="centroids", rerank=chain)
    assert [answer.results[0].label for answer in found.answers] == ["sky", "grass"]
    assert all(result.rerank is not None for result in found.answers[0].results)
    then = ask(index, query, 3, among="centroids-then-photos", identities=1, rerank=chain)
    assert [{result.label for result in answer.results} for answer in then.answers] == [{"sky"}, {"grass"}]


def test_several_photos_are_one_query_at_their_centroid(index: Index, photos: Path) -> None:
    files = [photos / "new" / "sky.png", photos / "new" / "grass.png", photos / "new" / "brick.png"]
    picture = PIL.Image.open(files[1])
    found = ask(index, [Photos((files[0], picture, np.asarray(PIL.Image.open(files[2])))), files[0]], 15)
    point = unit(unit(pixels().encode(files)).mean(0))
    vectors, _, _ = stored(photos)
    scores = dict(zip(rows(photos)["path"], (vectors @ point).tolist(), strict=True))
    several, single = found.answers
    assert len(several.results) == len(scores)
    for result in several.results:
        assert result.score == pytest.approx(scores[str(result.path)], abs=1e-5)
    alone = ask(index, [files[0]], 15).answers[0]
    assert [(r.id, pytest.approx(r.score, abs=1e-6)) for r in single.results] == [
        (r.id, r.score) for r in alone.results
    ]
    assert all(result.precision is None for result in several.results)
    assert single.results[0].precision is not None
    assert several.name.startswith(f"{files[0]} + ")
    assert several.to_dict()["photos"][0] == str(files[0])


def test_a_query_of_one_photo_and_of_copies_of_it_is_that_photo(index: Index, photos: Path) -> None:
    file = photos / "new" / "sky.png"
    found = ask(index, [file, Photos((file,)), Photos((file, file, file))], 15)
    lists = [[(r.id, pytest.approx(r.score, abs=1e-5)) for r in answer.results] for answer in found.answers]
    assert lists[0] == lists[1] == lists[2]


def test_what_the_index_knows_of_several_photos(index: Index, photos: Path) -> None:
    sky = Photos((photos / "sky" / "0.png", photos / "sky" / "1.png"))
    mixed = Photos((photos / "sky" / "0.png", photos / "grass" / "1.png"))
    new = Photos((photos / "sky" / "0.png", photos / "new" / "sky.png"))
    found = ask(index, [sky, mixed, new], 100, exclude_self=True)
    assert [answer.label for answer in found.answers] == ["sky", None, None]
    assert [len(answer.results) for answer in found.answers] == [13, 13, 14]
    assert not {"sky/0.png", "sky/1.png"} & {result.path for result in found.answers[0].results}
    counts = ask(index, [mixed], among="centroids", exclude_self=True).answers[0].results
    assert {result.label: result.count for result in counts} == {"sky": 4, "grass": 4, "brick": 5}
    labelled = ask(index, [mixed], labels=["brick"]).answers[0]
    assert labelled.label == "brick"


def test_under_l2_a_centroid_is_the_mean_itself(photos: Path, tmp_path: Path) -> None:
    with Index.open(make(tmp_path / "l2", photos, "beside", "l2")) as index:
        files = (photos / "new" / "sky.png", photos / "new" / "brick.png")
        found = ask(index, [Photos(files)], among="centroids").answers[0]
        encoder, table = pixels(), rows(photos)
        query = encoder.encode(files).mean(0)
        vectors = encoder.encode([photos / path for path in table["path"]])
        for result in found.results:
            mean = vectors[table["label"].to_numpy() == result.label].mean(0)
            assert result.score == pytest.approx(-float(np.linalg.norm(query - mean)), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"among": "centroid"}, UsageError, r"Did you mean 'centroids'\?"),
        ({"among": "centroids-then-photos", "identities": 0}, UsageError, "0 identities"),
        ({"among": "centroids", "identities": 3}, UsageError, "not for centroids. Leave -n out"),
        ({"among": "centroids", "min_precision": 0.5}, UsageError, "not of centroids. Cut by a score"),
        (
            {"among": "centroids", "rerank": "aqe+geometric"},
            UsageError,
            "not centroids. Leave `geometric` out",
        ),
        ({"among": "centroids", "rerank": "softlabel"}, UsageError, "each centroid has its own"),
        ({"among": "centroids", "metric": "cosin"}, UsageError, "cosine"),
        ({"among": "centroids", "where": "lable == 'x'"}, UsageError, r"Did you mean 'label'\?"),
        (
            {"several": True, "min_precision": 0.5},
            UsageError,
            "not of several photos together. Cut by a score",
        ),
        ({"several": True, "rerank": "geometric"}, UsageError, "not several photos together"),
    ],
)
def test_what_cannot_be_asked(index: Index, photos: Path, options: dict, kind: type, message: str) -> None:
    photo = photos / "new" / "sky.png"
    query = Photos((photo, photo)) if options.pop("several", False) else photo
    with pytest.raises(kind, match=message) as caught:
        ask(index, [query], **options)
    assert "\n" not in str(caught.value)


def test_where_centroids_or_photos_are_missing(made: Path, photos: Path, tmp_path: Path) -> None:
    query = [photos / "sky" / "0.png"]
    with Index.open(made) as plain:
        for among in ("centroids", "centroids-then-photos"):
            with pytest.raises(PerisphereError, match="keeps no centroids"):
                ask(plain, query, among=among)
    with Index.open(make(tmp_path / "only", photos, "only")) as only:
        for among in ("photos", "centroids-then-photos"):
            with pytest.raises(PerisphereError, match="keeps centroids only"):
                ask(only, query, among=among)
        with pytest.raises(PerisphereError, match="Leave --exclude-self out"):
            ask(only, query, exclude_self=True)
        with pytest.raises(UsageError, match="Leave camera out"):
            ask(only, query, where="camera == 1")
        assert ask(only, query, where="label == 'sky'").answers[0].results[0].label == "sky"
    with pytest.raises(UsageError, match="has none"):
        Photos(())


def test_nearest_centroids_classify_where_nothing_else_is_kept(photos: Path, tmp_path: Path) -> None:
    with Index.open(make(tmp_path / "only", photos, "only")) as only:
        verdicts = classify_images(only, [photos / "new" / f"{label}.png" for label in COLOURS], 2)
    assert [verdict.label for verdict in verdicts] == list(COLOURS)
    assert [len(verdict.votes) for verdict in verdicts] == [2, 2, 2]


def test_photos_that_cancel_each_other_are_no_query(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    class Opposites:
        name, identity, dim, classes = "opposites", pixels().identity, index.dim, None

        def encode(self, images: list) -> np.ndarray:
            return np.outer([1, -1], np.eye(1, index.dim)[0]).astype(np.float32)

    photo = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(PerisphereError, match="cancel each other"):
        ask(index, [Photos((photo, photo))], encoder=Opposites())  # type: ignore[arg-type]


def test_the_sheet_shows_the_photos_of_a_query_and_of_a_centroid(
    index: Index, photos: Path, tmp_path: Path
) -> None:
    files = [photos / "new" / f"{label}.png" for label in COLOURS]
    single = ask(index, [files[2]], 3, among="centroids", labels=["sky"])
    several = ask(index, [Photos(tuple(files))], 3, among="centroids", labels=["sky"])
    one, three = (np.asarray(draw_sheet(found.answers)).astype(int) for found in (single, several))
    tile = np.s_[92 + 6 : 92 + 230, 44 + 6 : 44 + 230]

    def colours(sheet: np.ndarray) -> set[str]:
        """Which of the painted colours are in the query's tile."""
        flat = sheet[tile].reshape(-1, 1, 3)
        near = np.abs(flat - np.array(list(COLOURS.values()))).max(2) < 40
        return {label for label, share in zip(COLOURS, near.mean(0), strict=True) if share > 0.05}

    assert colours(one) == {"sky"}
    assert colours(three) == set(COLOURS)
    many = ask(index, [Photos(tuple(files * 4))], 1).answers
    assert many[0].name.endswith(" + 9 more")
    assert write_sheet(tmp_path / "many.png", many).is_file()
    with pytest.raises(UsageError, match="no pair of photos"):
        write_matches(tmp_path / "lines.png", single.answers)
    with pytest.raises(UsageError, match="no pair of photos"):
        write_matches(tmp_path / "lines.png", many)

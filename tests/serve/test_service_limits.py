"""What one request may cost the others: re-rankers, photos and their memory, rows, identifiers."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from served import client_of, encoded, make_index, painted
from test_routes import base64_of

from perisphere.index import Index
from perisphere.search.rerank import RERANKERS, parse_chain
from perisphere.serve.refused import RefusedError
from perisphere.serve.rerankers import check_rerankers
from perisphere.serve.settings import Settings

SKY = painted("sky", 5)
REGION = [0, 0, 1, 0.5]


@pytest.mark.parametrize("word", [word for word in RERANKERS if word != "dba"])
def test_re_rankers_as_they_are_by_default_are_taken(word: str) -> None:
    check_rerankers(parse_chain(word))


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ("dba", "dba moves all images"),
        ("aqe+dba(n=1)", "dba moves all images"),
        ("aqe+aqe+aqe+aqe+aqe", "5 steps; at most 4"),
        ("kreciprocal(depth=10000000)", "at most 1,000"),
        ("kreciprocal(k1=1000)", "k1=1000 of kreciprocal; at most 100"),
        ("diffusion(depth=10000)", "at most 1,000"),
        ("geometric(n=10000)", "n=10000 of geometric; at most 100"),
        ("aqe+geometric(features=100000)", "at most 2,000"),
        ("geometric(side=10000)", "at most 1,024"),
        ("label(vote=10000)", "at most 1,000"),
    ],
)
def test_costly_re_rankers_are_refused_before_any_search(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, chain: str, reason: str
) -> None:
    monkeypatch.setattr(Index, "search", lambda *_, **__: pytest.fail("it was searched"))
    answer = client.post("/search", json={"like": [{"id": 1}], "rerank": chain})
    assert answer.status_code == 422, answer.text
    assert reason in answer.json()["detail"]
    with pytest.raises(RefusedError):
        check_rerankers(parse_chain(chain))


def test_a_re_ranker_does_its_work(client: TestClient) -> None:
    answer = client.post("/search", json={"like": [{"id": 1}], "k": 3, "rerank": "geometric(n=4)"})
    assert answer.status_code == 200, answer.text
    assert all(result["rerank"] is not None for result in answer.json()["results"])


def test_a_photo_that_a_re_ranker_misses_is_told_without_its_place(tmp_path: Path) -> None:
    folder = make_index(tmp_path)
    (tmp_path / "photos" / "brick" / "0.png").unlink()
    with client_of(folder) as client:
        answer = client.post("/search", json={"like": [{"id": 1}], "rerank": "geometric"})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("a photo of the index:")
    assert "brick" not in answer.text


@pytest.mark.parametrize("example", [{"id": 1, "region": REGION}, {"image": ""}, {"upload": "x"}])
def test_few_photos_are_decoded_for_one_search(client: TestClient, example: dict[str, Any]) -> None:
    asked = {"like": [example] * 10, "unlike": [example] * 7}
    answer = client.post("/search", json=asked)
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "17 photos to be decoded; at most 16 go into one search.",
    )
    assert client.post("/search", json={"like": [{"id": 1}] * 64}).status_code == 200


@pytest.mark.parametrize("path", ["/images", "/facets"])
def test_a_filter_of_many_tests_is_refused_everywhere(client: TestClient, path: str) -> None:
    many, few = (" or ".join(["tags has 'odd'"] * count) for count in (33, 32))
    for answer in (
        client.get(path, params={"where": many}),
        client.post("/search", json={"words": "sky", "where": many}),
    ):
        assert answer.status_code == 422
        assert "a filter of 33 tests; at most 32" in answer.json()["detail"]
    assert client.get(path, params={"where": few}).status_code == 200
    assert client.post("/search", json={"words": "sky", "where": few}).status_code == 200
    assert client.get(path, params={"where": ""}).status_code == 200


def test_decoded_photos_have_room_together_and_give_it_back(served: Path) -> None:
    one = 3 * Settings().side ** 2
    photo = {"image": base64_of(SKY)}
    with client_of(served, pictures_bytes=2 * one) as client:
        for _ in range(3):
            assert client.post("/search", json={"like": [photo] * 3}).status_code == 503
            assert client.post("/search", json={"like": [photo] * 2}).status_code == 200
            assert client.post("/search", json={"like": [photo, {"image": "AAAA"}]}).status_code == 422
            assert client.post("/match", json={"query": {"id": 1}, "id": 2}).status_code == 200
    with client_of(served, pictures_bytes=one) as client:
        assert client.post("/match", json={"query": {"id": 1}, "id": 2}).status_code == 503
        assert client.post("/search", json={"like": [{"id": 1}, {"id": 2}]}).status_code == 200


@pytest.mark.parametrize(
    "row", [{"categories": ["a"] * 101}, {"tags": ["a" * 1001]}, {"caption": "a" * 100_001}]
)
def test_rows_that_are_added_have_limits(changing: Path, row: dict[str, Any]) -> None:
    with client_of(changing) as client:
        answer = client.post("/items", json={"vectors": [[1.0] * 192], "rows": [row]})
        assert (answer.status_code, client.get("/health").json()["images"]) == (422, 12)


def test_many_identifiers_of_which_one_is_unknown_are_told_at_once(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", 4) as index:
        index.add(np.random.default_rng(0).standard_normal((20_000, 4)))
    with client_of(tmp_path / "index") as client:
        started = time.monotonic()
        answer = client.post("/items/remove", json={"ids": list(range(1, 20_002))})
        assert (answer.status_code, time.monotonic() - started < 5) == (404, True)
        assert "id 20001" in answer.json()["detail"]


def test_what_was_removed_by_others_is_not_shown_from_memory(changing: Path) -> None:
    with client_of(changing) as client:
        assert client.get("/images/3/thumbnail").status_code == 200
        with Index.open(changing) as other:
            other.remove([3])
        assert client.get("/images/3/thumbnail").status_code == 404


def test_the_name_of_a_folder_is_no_word_of_an_answer(
    changing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(changing.parent)
    with client_of(Path("index"), name="Birds") as client:
        assert client.get("/images/99").json() == {"detail": "the index holds no image with id 99."}
        assert (
            client.post("/uploads", content=encoded(SKY), headers={"content-type": "text/plain"}).status_code
            == 415
        )


def test_reading_takes_no_body(client: TestClient) -> None:
    assert client.request("GET", "/health", content=b"x").status_code == 400
    assert client.request("GET", "/health", content=iter([b"x"])).status_code == 400
    assert client.request("GET", "/health", headers={"content-length": "0"}).status_code == 200

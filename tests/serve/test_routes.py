"""What the service answers, route by route."""

import base64
import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient
from served import COLOURS, EACH, TOKEN, client_of, encoded, painted

from perisphere.index import Index
from perisphere.search import Example, Part, Point, Query, Row
from perisphere.search import search as search_index

SKY = painted("sky", 99)
ALL = len(COLOURS) * EACH


@pytest.fixture(scope="module")
def index(served: Path) -> Iterator[Index]:
    with Index.open(served) as opened:
        yield opened


def found(client: TestClient, **asked: Any) -> list[tuple[int, float]]:
    answer = client.post("/search", json=asked)
    assert answer.status_code == 200, answer.text
    return [(result["id"], pytest.approx(result["score"], abs=1e-5)) for result in answer.json()["results"]]


def as_python(index: Index, query: Query) -> list[tuple[int, float]]:
    return [(result.id, result.score) for result in search_index(index, [query]).answers[0].results]


def base64_of(picture: np.ndarray) -> str:
    return base64.b64encode(encoded(picture)).decode()


def upload(client: TestClient, picture: np.ndarray = SKY) -> str:
    answer = client.post("/uploads", files={"file": ("photo.png", encoded(picture), "image/png")})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"upload": answer.json()["upload"], "width": 40, "height": 30}
    return str(answer.json()["upload"])


def test_every_kind_of_example_is_the_query_of_python(client: TestClient, index: Index) -> None:
    vector = np.linspace(-1, 1, index.dim, dtype=np.float32)
    region = (0.0, 0.0, 0.5, 1.0)
    sent: list[tuple[dict[str, Any], Any]] = [
        ({"id": 3}, Row(3)),
        ({"vector": vector.tolist()}, Point(vector)),
        ({"image": base64_of(SKY)}, SKY),
        ({"image": "data:image/png;base64," + base64_of(SKY), "region": region}, Part(SKY, region)),
        ({"upload": upload(client)}, SKY),
        ({"upload": upload(client), "region": region}, Part(SKY, region)),
    ]
    for example, what in sent:
        assert found(client, like=[example], k=4) == as_python(index, Query.of(what, k=4)), example


def test_examples_counter_examples_words_and_filters_go_together(client: TestClient, index: Index) -> None:
    query = Query(
        (Example(Row(1), 2.0), Example(SKY)),
        (Example(Row(5)),),
        "wall of sky",
        words_weight=0.3,
        where="tags has 'odd'",
        k=6,
    )
    like = [{"id": 1, "weight": 2}, {"upload": upload(client)}]
    asked = {"like": like, "unlike": [{"id": 5}], "words": "wall of sky", "words_weight": 0.3, "k": 6}
    assert found(client, **asked, where="tags has 'odd'") == as_python(index, query)


def test_a_label_is_its_centroid_and_centroids_are_found(client: TestClient) -> None:
    answer = client.post("/search", json={"like": [{"label": "sky"}], "among": "centroids"}).json()
    first = answer["results"][0]
    assert (first["label"], first["count"], answer["among"]) == ("sky", EACH, "centroids")
    assert client.get(first["thumbnail"]).status_code == 200
    assert client.get(f"/images/{first['photo']}").json()["label"] == "sky"


def test_words_answer_with_what_was_understood(client: TestClient) -> None:
    answer = client.post("/search", json={"words": "window brick xylophone"}).json()
    assert answer["metric"] == "words"
    assert "xylophone" in answer["query"]["unknown"]
    assert answer["query"]["words"] == "window brick xylophone"
    assert answer["results"][0]["label"] == "brick"


def test_a_result_tells_what_the_index_knows(client: TestClient) -> None:
    answer = client.post("/search", json={"like": [{"upload": upload(client)}], "k": 3}).json()
    result = answer["results"][0]
    assert result["label"] == "sky"
    assert result["caption"].startswith("a wall of sky")
    assert result["categories"] == ["things", "sky"]
    assert (result["width"], result["height"]) == (40, 30)
    assert result["path"] == f"sky/{result['id'] - 9}.png"
    assert result["thumbnail"] == f"/images/{result['id']}/thumbnail"
    assert 0 <= result["precision"] <= 1
    assert (answer["images"], answer["metric"], answer["among"]) == (ALL, "cosine", "photos")


def test_relevance_ends_where_half_of_the_results_are_wrong(client: TestClient, index: Index) -> None:
    calibration = index.calibration
    assert calibration is not None
    answer = client.post("/search", json={"like": [{"id": 1}], "k": ALL}).json()
    scores = [result["score"] for result in answer["results"]]
    relevance = answer["relevance"]
    assert relevance["score"] == pytest.approx(calibration.threshold(0.5))
    assert relevance["rank"] == sum(score >= relevance["score"] for score in scores)
    assert 0 < relevance["rank"] < len(scores)
    assert client.post("/search", json={"words": "sky"}).json()["relevance"] is None


def told(answer: Any) -> tuple[list[int], list[float]]:
    """Return ids and scores; other queries beside one change the last digits of its scores."""
    results = answer.json().get("results", [])
    return [result["id"] for result in results], [result["score"] for result in results]


def test_queries_at_once_are_answered_as_alone(client: TestClient) -> None:
    asked = [{"like": [{"id": 1 + number % ALL}], "k": 2 + number % 3} for number in range(40)]
    asked[7] = {"like": [{"id": 10_000}]}
    asked[9] = {"like": [{"class": "no such class"}]}
    alone = [client.post("/search", json=each) for each in asked]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda each: client.post("/search", json=each), asked))
    for one, other in zip(alone, together, strict=True):
        assert one.status_code == other.status_code
        assert told(one)[0] == told(other)[0]
        assert told(one)[1] == pytest.approx(told(other)[1], abs=1e-5)
    assert [other.status_code for other in together].count(200) == 38


WRONG = [
    ({}, 400, "no query"),
    ({"like": [{}]}, 422, "exactly one of"),
    ({"like": [{"id": 1, "text": "sky"}]}, 422, "exactly one of"),
    ({"like": [{"id": 1}], "k": 0}, 422, "k:"),
    ({"like": [{"id": 1}], "k": 1001}, 422, "k:"),
    ({"like": [{"id": 1}], "colour": 1}, 422, "colour"),
    ({"like": [{"id": 1, "weight": 0}]}, 422, "weight"),
    ({"like": [{"id": 1, "weight": "NaN"}]}, 422, "weight"),
    ({"like": [{"id": 1, "region": [0.5, 0, 0.5, 1]}]}, 422, "empty"),
    ({"like": [{"id": 1, "region": [0, 0, 2, 1]}]}, 422, "region"),
    ({"like": [{"id": 1, "region": [0, 0, 1]}]}, 422, "x0, y0, x1, y1"),
    ({"like": [{"text": "sky", "region": [0, 0, 1, 1]}]}, 422, "part of a photo"),
    ({"like": [{"id": 99}]}, 404, "no image with id 99"),
    ({"like": [{"upload": "x"}]}, 404, "Send it again"),
    ({"like": [{"vector": [1.0]}]}, 422, "has 1 numbers"),
    ({"like": [{"image": "%%%"}]}, 422, "base64"),
    ({"like": [{"image": "AAAA"}]}, 422, "cannot be used"),
    ({"like": [{"url": "https://photos.example/a.jpg"}]}, 403, "no URL"),
    ({"like": [{"class": "dome"}]}, 400, "no classes"),
    ({"like": [{"label": "dome"}]}, 400, "no centroid"),
    ({"like": [{"id": 1}], "where": "label ="}, 400, "filter"),
    ({"like": [{"id": 1}], "where": "lable == 'sky'"}, 400, "label"),
    ({"like": [{"id": 1}], "rerank": "magic"}, 400, "magic"),
    ({"like": [{"id": 1}], "among": "people"}, 422, "among"),
    ({"unlike": [{"id": 1}]}, 400, "Counter-examples"),
    ({"words": "the of and"}, 400, "no word"),
    ({"like": [{"id": True}]}, 422, "id"),
]


@pytest.mark.parametrize(("asked", "status", "reason"), WRONG, ids=[str(n) for n in range(len(WRONG))])
def test_a_wrong_query_is_told_in_one_line(
    client: TestClient, index: Index, asked: dict[str, Any], status: int, reason: str
) -> None:
    answer = client.post("/search", json=asked)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["detail"]
    assert reason in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]
    assert str(index.folder) not in answer.text


SURROGATE = rb'{"\ud800": "\ud800"}'


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"like": 3}', b"\xff\xfe", b"[" * 100_000, SURROGATE]
)
def test_a_body_that_is_no_query_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/search", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert list(answer.json()) == ["detail"]


def test_about_tells_what_the_page_needs(client: TestClient) -> None:
    about = client.get("/about").json()
    assert (about["name"], about["images"]) == ("index", ALL)
    assert (about["metric"], about["centroids"]) == ("cosine", "beside")
    assert about["can"] == {
        "photos": True,
        "words": True,
        "text": None,
        "classes": False,
        "regions": True,
        "match": True,
        "masks": True,
        "add": True,
        "urls": False,
    }
    assert {"name": "label", "kind": "text"} in about["columns"]
    assert {"name": "tags", "kind": "list"} in about["columns"]
    assert "camera" not in [column["name"] for column in about["columns"]]
    assert about["calibration"]["precisions"] is True


def test_facets_count_what_passes(client: TestClient) -> None:
    asked = {"columns": "label,tags,regions,camera", "where": "tags has 'even' and label != 'sky'"}
    facets = client.get("/facets", params=asked).json()
    assert facets["images"] == EACH
    assert facets["columns"]["label"] == [{"value": "brick", "count": 2}, {"value": "grass", "count": 2}]
    assert facets["columns"]["tags"][0] == {"value": "even", "count": 4}
    assert facets["columns"]["regions"] == [{"value": "window", "count": 1}]
    assert facets["columns"]["camera"] == []
    assert client.get("/facets", params={"columns": "box"}).status_code == 400
    assert client.get("/facets", params={"where": "label = "}).status_code == 400


def test_categories_are_a_tree_whose_filters_choose_their_images(client: TestClient) -> None:
    (root,) = client.get("/classes").json()["nodes"]
    assert (root["name"], root["count"]) == ("things", ALL)
    assert [child["name"] for child in root["children"]] == sorted(COLOURS)
    for node in (root, *root["children"]):
        passing = client.get("/facets", params={"where": node["where"]}).json()
        assert passing["images"] == node["count"]


def test_images_are_listed_as_results_without_a_score(client: TestClient) -> None:
    answer = client.get("/images", params={"where": "label == 'sky'", "k": 3}).json()
    assert (answer["images"], answer["total"], answer["relevance"]) == (ALL, EACH, None)
    assert [result["rank"] for result in answer["results"]] == [1, 2, 3]
    assert {(result["label"], result["score"]) for result in answer["results"]} == {("sky", None)}
    searched = client.post("/search", json={"like": [{"id": 1}], "k": 1}).json()["results"][0]
    assert set(answer["results"][0]) == set(searched)
    assert len(client.get("/images").json()["results"]) == ALL
    assert client.get("/images", params={"where": "id > 99"}).json()["results"] == []


@pytest.mark.parametrize(
    "asked",
    [{"k": 0}, {"k": 1001}, {"k": "x"}, {"where": "x" * 10_001}, {"where": "label ="}, {"where": "1; drop"}],
)
def test_a_wrong_listing_is_told_in_one_line(client: TestClient, asked: dict[str, Any]) -> None:
    answer = client.get("/images", params=asked)
    assert (answer.status_code in (400, 422), list(answer.json())) == (True, ["detail"])


def test_an_image_is_told_without_where_it_lies(client: TestClient, index: Index) -> None:
    row = client.get("/images/5").json()
    assert (row["id"], row["path"], row["label"]) == (5, "grass/0.png", "grass")
    assert "root" not in row
    assert str(index.folder.parent) not in json.dumps(row)
    assert client.get("/images/99").status_code == 404
    assert client.get("/images/0").status_code == 422
    assert client.get("/images/%2e%2e%2fsecret").status_code in (404, 422)


@pytest.mark.parametrize("size", [160, 320, 640])
def test_thumbnails_are_jpegs_that_are_never_enlarged(client: TestClient, size: int) -> None:
    for _ in range(2):
        answer = client.get("/images/1/thumbnail", params={"size": size})
        assert answer.headers["content-type"] == "image/jpeg"
        assert PIL.Image.open(io.BytesIO(answer.content)).size == (40, 30)
    assert client.get("/images/1/thumbnail", params={"size": 100}).status_code == 422


def test_an_original_is_the_file_itself(client: TestClient, served: Path) -> None:
    answer = client.get("/images/1/original")
    assert answer.content == (served.parent / "photos" / "brick" / "0.png").read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == 'inline; filename="1.png"'


def test_a_mask_shows_the_regions_and_nothing_else(client: TestClient) -> None:
    mask = np.asarray(PIL.Image.open(io.BytesIO(client.get("/images/1/mask").content)))
    assert mask.shape == (30, 40, 4)
    assert (mask[4:10, 4:15, 3] > 0).all()
    assert (mask[18:, :, 3] == 0).all()
    assert (mask[:, 23:, 3] == 0).all()
    assert client.get("/images/2/mask").status_code == 404
    (region,) = client.get("/images/1/regions").json()
    assert (region["concept"], region["box"], len(region["outline"])) == ("window", [0, 0, 20, 15], 1)
    assert client.get("/images/2/regions").json() == []
    assert client.get("/images/99/regions").status_code == 404


def test_an_upload_is_shown_and_others_are_not(client: TestClient) -> None:
    name = upload(client)
    shown = client.get(f"/uploads/{name}/thumbnail")
    assert PIL.Image.open(io.BytesIO(shown.content)).size == (40, 30)
    assert client.get("/uploads/nothing/thumbnail").status_code == 404


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (encoded(SKY), "image/png", 200),
        (b"no photo", "image/png", 422),
        (b"", "image/png", 422),
        (encoded(SKY), "application/json", 415),
        (b"x", "multipart/form-data", 422),
        (b"--b\r\n\r\n--b--", "multipart/form-data; boundary=b", 422),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            422,
        ),
    ],
)
def test_uploads_of_other_kinds_are_refused(client: TestClient, body: bytes, kind: str, status: int) -> None:
    answer = client.post("/uploads", content=body, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert status == 200 or list(answer.json()) == ["detail"]


def test_no_upload_touches_the_disk(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a file was made")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    large = encoded(np.random.default_rng(0).integers(0, 256, (900, 900, 3)).astype(np.uint8))
    assert len(large) > 2**20
    assert client.post("/uploads", files={"file": ("a.png", large, "image/png")}).status_code == 200


def test_a_photo_matches_itself(client: TestClient) -> None:
    answer = client.post("/match", json={"query": {"id": 1}, "id": 1}).json()
    assert answer["of"] >= len(answer["points"])
    for x0, y0, x1, y1, _ in answer["points"]:
        assert 0 <= min(x0, y0, x1, y1) <= max(x0, y0, x1, y1) <= 1
        assert (x0, y0) == pytest.approx((x1, y1), abs=0.05)
    assert client.post("/match", json={"query": {"id": 99}, "id": 1}).status_code == 404
    assert client.post("/match", json={"query": {"upload": "x"}, "id": 1}).status_code == 404
    assert client.post("/match", json={"query": {}, "id": 1}).status_code == 422


@pytest.mark.parametrize(
    "path", ["/about", "/images/99", "/nowhere", "/search", "/", "/static/../app.py", "/health"]
)
def test_every_answer_is_locked_down(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    csp = headers["content-security-policy"]
    assert "default-src 'none'" in csp
    assert "unsafe" not in csp
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/static/app.py", "/static/..%2fapp.py", "/static/__init__.py"]
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_no_other_site_is_let_in(client: TestClient) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = client.options("/search", headers=headers)
    assert answer.status_code in (403, 405)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_figures_for_prometheus_tell_requests_batches_and_images(client: TestClient) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    client.post("/search", json={"like": [{"id": 1}]})
    client.get("/images/99")
    text = client.get("/metrics").text
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["perisphere_images",] == ALL
    assert samples["perisphere_batch_queries_count",] >= 1
    searched = ("method", "POST"), ("route", "/search"), ("status", "200")
    assert samples["perisphere_requests_total", *searched] >= 1
    missing = ("method", "GET"), ("route", "/images/{id}"), ("status", "404")
    assert samples["perisphere_requests_total", *missing] >= 1
    assert samples["perisphere_request_seconds_count", ("route", "/search")] >= 1
    assert samples["perisphere_waiting_queries",] == 0
    assert samples["perisphere_body_bytes",] == 0


def test_openapi_describes_every_route(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in (
        "/search",
        "/uploads",
        "/images/{id}",
        "/classes",
        "/facets",
        "/items",
        "/match",
        "/metrics",
    ):
        assert path in paths
    assert "SearchRequest" in json.dumps(paths["/search"])


def test_the_log_is_structured_and_holds_no_secret(served: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "perisphere.access"), client_of(served, token=TOKEN) as client:
        client.get("/", params={"token": TOKEN})
        name = upload(client)
        client.get(f"/uploads/{name}/thumbnail")
        client.get("/images/3", headers={"authorization": f"Bearer {TOKEN}"})
        client.get("/images/3%0D%0Aforged", params={"where": "secret"})
    lines = [json.loads(record.message) for record in caplog.records if record.name == "perisphere.access"]
    routes = ["/", "/uploads", "/uploads/{upload}/thumbnail", "/images/{id}"]
    assert [line["route"] for line in lines[:4]] == routes
    assert len(lines) == 5
    assert lines[3]["status"] == 200
    assert lines[3]["ms"] > 0
    for secret in (TOKEN, name, "secret", "forged"):
        assert secret not in caplog.text


def test_a_defect_is_one_line_and_the_service_goes_on(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("inside")

    with monkeypatch.context() as patch:
        patch.setattr(Index, "calibration", property(broken))
        answer = client.get("/about")
    assert answer.status_code == 500
    assert "inside" not in answer.text
    assert "inside" in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/about").status_code == 200

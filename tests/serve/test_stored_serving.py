"""The service of an index whose vectors and rows lie in Milvus."""

import io
from pathlib import Path

import pytest
from served import COLOURS, client_of, encoded, painted, pixels

from perisphere.index import Index

pytest.importorskip("milvus_lite")


@pytest.fixture
def stored(served: Path, tmp_path: Path) -> Path:
    """The served index again, over Milvus Lite."""
    store = str(tmp_path / "vectors.db")
    with (
        Index.open(served) as index,
        Index.create(tmp_path / "index", encoder=pixels(), store=store, centroids="beside") as made,
    ):
        rows = index.rows()
        made.add(index.vectors()[1], rows.drop("id", "root"), root=rows["root"][0])
        made.calibrate()
    return tmp_path / "index"


def test_a_service_answers_and_changes_an_index_in_milvus(stored: Path, served: Path) -> None:
    with client_of(stored) as client, client_of(served) as embedded:
        about = client.get("/about").json()
        assert (about["images"], about["centroids"], about["can"]["regions"]) == (12, "beside", False)
        for query in (
            {"like": [{"id": 1}], "k": 3},
            {"like": [{"id": 1}], "unlike": [{"id": 5}], "where": "tags has 'even'", "k": 3},
            {"words": "brick wall", "k": 4},
            {"like": [{"id": 6}], "among": "centroids"},
        ):
            ours, theirs = (each.post("/search", json=query).json() for each in (embedded, client))
            assert [found["id"] for found in theirs["results"]] == [found["id"] for found in ours["results"]]
            assert [found["score"] for found in theirs["results"]] == pytest.approx(
                [found["score"] for found in ours["results"]], abs=1e-5
            )
        for path in ("/facets?columns=label,tags", "/classes", "/images/3"):
            assert client.get(path).status_code == 200
        assert client.get("/facets?columns=label").json() == embedded.get("/facets?columns=label").json()
        assert client.get("/images/3/thumbnail").headers["content-type"] == "image/jpeg"
        photo = io.BytesIO(encoded(painted(next(iter(COLOURS)), 99)))
        added = client.post("/items", files={"file": ("new.png", photo, "image/png")}, data={"label": "new"})
        assert added.status_code < 300, added.text
        assert client.get("/health").json()["images"] == 13
        assert client.post("/items/remove", json={"ids": [13]}).status_code < 300
        assert client.get("/health").json()["images"] == 12
    with Index.open(stored) as index:
        assert index.verify() == []

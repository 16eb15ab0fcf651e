"""Adding and removing while others search."""

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from served import COLOURS, EACH, client_of, encoded, painted, pixels

from perisphere.index import Index

ALL = len(COLOURS) * EACH
NEW = encoded(painted("sky", 77))


def add(client: Any, data: bytes = NEW, **fields: Any) -> Any:
    return client.post("/items", files={"file": ("../../evil.sh", data, "image/png")}, data=fields)


def test_a_photo_that_is_added_is_found_shown_and_removed_again(changing: Path) -> None:
    with client_of(changing) as client:
        answer = add(client, label="sky", caption="a new sky", tags=["new", "sky"])
        assert answer.status_code == 201, answer.text
        (id_,) = answer.json()["ids"]
        row = client.get(f"/images/{id_}").json()
        assert (row["label"], row["caption"], row["tags"]) == ("sky", "a new sky", ["new", "sky"])
        assert (row["width"], row["height"]) == (40, 30)
        assert row["path"] == f"{hashlib.sha256(NEW).hexdigest()}.png"
        assert client.get(f"/images/{id_}/original").content == NEW
        found = client.post("/search", json={"words": "new sky", "k": 1}).json()["results"]
        assert found[0]["id"] == id_
        assert client.delete(f"/items/{id_}").json() == {"removed": 1}
        assert client.get(f"/images/{id_}").status_code == 404
        assert client.get(f"/images/{id_}/thumbnail").status_code == 404
    assert list((changing / "photos").iterdir()) == []


def test_a_photo_that_was_added_twice_stays_for_the_other(changing: Path) -> None:
    with client_of(changing) as client:
        first, second = (add(client, label="sky").json()["ids"][0] for _ in range(2))
        client.delete(f"/items/{first}")
        assert client.get(f"/images/{second}/original").content == NEW
        assert client.post("/items/remove", json={"ids": [second, second]}).json() == {"removed": 1}
    assert list((changing / "photos").iterdir()) == []


def test_photos_of_the_owner_are_never_deleted(changing: Path, served: Path) -> None:
    before = sorted((served.parent / "photos").rglob("*.png"))
    with client_of(changing) as client:
        assert client.post("/items/remove", json={"ids": list(range(1, ALL + 1))}).json() == {"removed": ALL}
        assert client.get("/health").json()["images"] == 0
        assert client.post("/search", json={"like": [{"vector": [1.0] * 192}]}).json()["results"] == []
    assert sorted((served.parent / "photos").rglob("*.png")) == before


def test_vectors_are_added_all_or_none(changing: Path) -> None:
    with client_of(changing) as client:
        vectors = np.random.default_rng(0).standard_normal((2, 192)).tolist()
        rows = [{"label": "one"}, {"label": "two", "tags": ["a"]}]
        ids = client.post("/items", json={"vectors": vectors, "rows": rows}).json()["ids"]
        assert [client.get(f"/images/{id_}").json()["label"] for id_ in ids] == ["one", "two"]
        for wrong in (
            {"vectors": [vectors[0], [1.0]]},
            {"vectors": [vectors[0], [0.0] * 192]},
            {"vectors": vectors, "rows": rows[:1]},
            {"vectors": vectors, "rows": [{"path": "/etc/passwd"}, {}]},
            {"vectors": vectors, "rows": [{"root": "/"}, {}]},
            {"vectors": []},
            {"ids": [1]},
        ):
            answer = client.post("/items", json=wrong)
            assert answer.status_code in (400, 422), answer.text
            assert list(answer.json()) == ["detail"]
        assert client.get("/health").json()["images"] == ALL + 2


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"no photo", {}),
        (NEW, {"path": "/etc/passwd"}),
        (NEW, {"colour": "red"}),
        (NEW, {"label": ["one", "two"]}),
    ],
)
def test_an_addition_that_is_refused_leaves_nothing(
    changing: Path, data: bytes, fields: dict[str, Any]
) -> None:
    with client_of(changing) as client:
        answer = add(client, data, **fields)
        assert answer.status_code == 422, answer.text
        assert client.get("/health").json()["images"] == ALL
    assert not (changing / "photos").exists()


def test_an_addition_that_the_index_refuses_leaves_no_file(
    changing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Index, "add", full)
    with client_of(changing) as client:
        assert add(client).status_code == 500
    assert list((changing / "photos").iterdir()) == []


def test_removing_what_is_not_there_removes_nothing(changing: Path) -> None:
    with client_of(changing) as client:
        assert client.post("/items/remove", json={"ids": [1, 99]}).status_code == 404
        assert client.delete("/items/99").status_code == 404
        assert client.get("/health").json()["images"] == ALL


def test_a_read_only_service_changes_nothing(changing: Path) -> None:
    with client_of(changing, read_only=True) as client:
        assert client.get("/about").json()["can"]["add"] is False
        assert add(client).status_code == 403
        assert client.post("/items", json={"vectors": [[1.0] * 192]}).status_code == 403
        assert client.delete("/items/1").status_code == 403
        assert client.post("/items/remove", json={"ids": [1]}).status_code == 403
        assert client.get("/health").json()["images"] == ALL


def test_readers_go_on_while_images_are_added_and_removed(changing: Path) -> None:
    wrong: list[str] = []
    done = threading.Event()

    def read(client: Any) -> None:
        while not done.is_set():
            answer = client.post("/search", json={"like": [{"id": 1}], "k": 3})
            if answer.status_code != 200 or len(answer.json()["results"]) != 3:
                wrong.append(answer.text)

    with client_of(changing) as client:
        readers = [threading.Thread(target=read, args=(client,)) for _ in range(4)]
        for reader in readers:
            reader.start()
        for _ in range(5):
            ids = client.post("/items", json={"vectors": [[1.0] * 192] * 3}).json()["ids"]
            assert client.post("/items/remove", json={"ids": ids}).json() == {"removed": 3}
        done.set()
        for reader in readers:
            reader.join(10)
    assert wrong == []


@pytest.mark.slow
def test_an_index_over_milvus_is_served_like_any_other(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite")
    encoder, labels = pixels(), [*COLOURS, *COLOURS]
    vectors = encoder.encode([painted(label, place) for place, label in enumerate(labels)])
    with Index.create(tmp_path / "index", encoder=encoder, store=str(tmp_path / "vectors.db")) as index:
        index.add(vectors, pl.DataFrame({"label": labels}), encoder_identity=encoder.identity)
    with client_of(tmp_path / "index") as client:
        assert [node["count"] for node in client.get("/classes").json()["nodes"]] == [2, 2, 2]
        facets = client.get("/facets", params={"columns": "label", "where": "label != 'sky'"}).json()
        assert facets["columns"]["label"] == [{"value": name, "count": 2} for name in ("brick", "grass")]
        (id_,) = add(client, label="sky").json()["ids"]
        found = client.post("/search", json={"like": [{"id": id_}], "k": 2}).json()["results"]
        assert [result["label"] for result in found] == ["sky", "sky"]
        assert client.get(f"/images/{id_}/original").content == NEW
        assert client.delete(f"/items/{id_}").json() == {"removed": 1}
        assert client.get("/health").json()["images"] == len(labels)

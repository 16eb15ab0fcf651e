"""What is particular to an index whose vectors and rows lie in Milvus."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from test_filters import expressions

from perisphere.codes import Codebooks
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index, stored
from perisphere.index.filters import Comparison, Expression, In, Like, Not, columns, parse
from perisphere.index.stores import Address
from perisphere.index.stores.milvus import MilvusStore
from perisphere.index.stores.milvus_filters import compile_filter

pytest.importorskip("milvus_lite")

DIM = 8


def points(n: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stored.StoredIndex]:
    """An index that stays open, so that the server of its file is started once."""
    folder = tmp_path_factory.mktemp("lite")
    with Index.create(folder / "index", 2, store=str(folder / "vectors.db")) as made:
        assert isinstance(made, stored.StoredIndex)
        yield made


@pytest.fixture
def lite(first: stored.StoredIndex) -> str:
    return str(first.folder.parent / "vectors.db")


@pytest.fixture
def collections(first: stored.StoredIndex) -> Callable[[], set[str]]:
    assert isinstance(first._engine, MilvusStore)
    client = first._engine._client
    return lambda: set(client.list_collections())


@pytest.fixture
def index(tmp_path: Path, lite: str) -> Iterator[Index]:
    with Index.create(tmp_path / "index", DIM, store=lite, centroids="beside") as made:
        yield made


@given(expressions)
@settings(max_examples=100, deadline=None)
def test_a_filter_is_made_of_names_and_placeholders_alone(expression: Expression) -> None:
    compiled = compile_filter(expression, lambda column: ["é", "o'brien", 'say "x"', "a", "2"])
    words = compiled.text.translate(str.maketrans("()", "  ")).split()
    allowed = {"and", "or", "not", "is", "null", "in", "==", "!=", "<", "<=", ">", ">=", "0", "id"}
    for word in words:
        named = word.rstrip(",").removeprefix("array_contains").removeprefix("array_length")
        assert named in allowed | set(columns(expression)) | {f"{{{name}}}" for name in compiled.values} | {
            ""
        }
    assert compiled.text.count("{") == len(compiled.values)


def test_values_keep_their_place_in_an_expression_with_literals() -> None:
    where = parse("label == '{v1}' and camera in ('a\\'b\"c\\\\', '\\n') and width < 2.5")
    compiled = compile_filter(where, lambda column: [])
    assert compiled.text == (
        "((label is not null and label == {v0}) and (camera is not null and camera in {v1})"
        " and (width is not null and width < {v2}))"
    )
    assert compiled.values == {"v0": "{v1}", "v1": ["a'b\"c\\", "\n"], "v2": 3}
    assert compiled.literal() == (
        '((label is not null and label == "{v1}") and (camera is not null and camera in '
        '["a\'b\\"c\\\\", "\\n"]) and (width is not null and width < 3))'
    )


def test_a_filter_that_too_many_values_pass_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perisphere.index.stores.milvus_filters.MAX_VALUES", 3)
    with pytest.raises(UsageError, match="more than 3 values of caption pass"):
        compile_filter(Like("caption", "%"), lambda column: "abcd")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("milvus://host", "milvus://host:19530"),
        ("milvus://10.0.0.1:1234/photos", "milvus://10.0.0.1:1234/photos"),
        ("milvus+tls://[::1]:443", "milvus+tls://[::1]:443"),
        ("/data/vectors.db", "/data/vectors.db"),
    ],
)
def test_an_address_is_read_as_it_is_written(text: str, address: str) -> None:
    assert str(Address.parse(text)) == address
    assert Address.parse(address) == Address.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vectors",
        "http://host",
        "milvus://",
        "milvus://h:x",
        "milvus://h:99999",
        "milvus://h/a b",
        "milvus://h/a/b",
        "milvus://h\x1b[2J",
        "\x1b[2J.db",
    ],
)
def test_what_is_no_address_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"file PATH\.db for Milvus Lite"):
        Index.create(tmp_path / "index", 4, store=text)
    assert list(tmp_path.iterdir()) == []


def test_credentials_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="MILVUS_TOKEN") as caught:
        Index.create(tmp_path / "index", 4, store="milvus://root:secret@host:19530")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "l1"}, "the metric l1"),
        ({"recall": 0.9}, "recall"),
        ({"centroids": "only"}, "centroids_only"),
        ({"codebooks": Codebooks(np.ones((1, 2, DIM), np.float32), "residual")}, "codes"),
        ({"dim": 1}, "dimension 1 is out of range for Milvus"),
    ],
)
def test_what_milvus_cannot_is_refused_before_anything_happens(
    tmp_path: Path, lite: str, collections: Callable, options: dict, words: str
) -> None:
    before = collections()
    with pytest.raises(UsageError, match=words):
        Index.create(tmp_path / "index", **{"dim": DIM, "store": lite, **options})
    assert (collections(), list(tmp_path.iterdir())) == (before, [])


def test_what_an_index_in_milvus_does_not_do_is_named(index: Index) -> None:
    index.add(points(3), pl.DataFrame({"path": ["a.jpg", "b.jpg", "c.jpg"]}))
    for work, words in (
        (lambda: list(index.files.read()), "not compared with a folder"),
        (lambda: index.regions.put([], [], {}, 0), "keeps no regions"),
        (lambda: index.search(points(1), shortlist=5), "keeps no codes"),
        (lambda: index.build(recall=0.9), "no recall"),
    ):
        with pytest.raises(PerisphereError, match=words):
            work()
    assert len(index) == 3
    assert index.regions.about() is None
    assert index.ids("regions has 'dome' or regions is not null").tolist() == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"caption": ["a", "é" * 40_000]}, "The caption of row 1 is too long for Milvus"),
        ({"tags": [["a"], ["b"] * 5000]}, "The tags of row 1 is too long"),
        ({"tags": [None, ["é" * 40_000]]}, "The tags of row 1 is too long"),
    ],
)
def test_rows_that_milvus_cannot_hold_change_nothing(index: Index, rows: dict, words: str) -> None:
    with pytest.raises(PerisphereError, match=words):
        index.add(points(2), pl.DataFrame(rows))
    assert (len(index), index.verify()) == (0, [])


def test_of_equal_scores_the_lower_id_comes_first(index: Index) -> None:
    index.add(np.repeat(points(3), 6, axis=0), ids=[*range(18, 0, -1)])
    found = index.search(points(1), 4)
    assert found.ids[0].tolist() == [13, 14, 15, 16]


def test_more_results_than_milvus_gives_are_found_here(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = index.add(points(60))
    wanted = index.search(points(3, seed=1), 40)
    monkeypatch.setattr(MilvusStore, "window", 20)
    found = index.search(points(3, seed=1), 40)
    assert (wanted.road, found.road) == ("milvus, FLAT", "read + exact")
    np.testing.assert_array_equal(found.ids, wanted.ids)
    assert index.remove(ids) == 60


def test_rows_and_vectors_come_in_pages(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perisphere.index.stores.milvus.PAGE_BYTES", 4 * DIM * 7)
    monkeypatch.setattr("perisphere.index.stores.milvus.BATCH_BYTES", 4 * DIM * 30)
    monkeypatch.setattr("perisphere.index.stores.milvus.WINDOW", 50)
    vectors = points(120)
    ids = index.add(vectors, pl.DataFrame({"label": [str(i % 9) for i in range(120)]}))
    index.remove(ids[::5])
    kept = np.setdiff1d(np.arange(120), np.arange(0, 120, 5))
    np.testing.assert_array_equal(index.ids(), kept + 1)
    found, rows = index.vectors(ids[kept[::-1]])
    np.testing.assert_array_equal(found, kept[::-1] + 1)
    given = vectors[kept[::-1]]
    np.testing.assert_allclose(rows, given / np.linalg.norm(given, axis=1, keepdims=True), atol=1e-6)
    assert index.rows()["id"].to_list() == (kept + 1).tolist()
    assert index.verify() == []


STEPS: dict[str, Callable[[Index], object]] = {
    "add": lambda index: index.add(points(30, seed=1), pl.DataFrame({"label": ["b"] * 30})),
    "remove": lambda index: index.remove(range(1, 11)),
}


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_change_that_was_killed_is_undone_or_finished(
    index: Index, monkeypatch: pytest.MonkeyPatch, step: str, where: str
) -> None:
    """Before or after the engine's work the process ends: nothing after it runs."""
    index.add(points(20), pl.DataFrame({"label": ["a"] * 20}))
    own = getattr(MilvusStore, step)

    def die(self: MilvusStore, *arguments: object) -> None:
        monkeypatch.setattr(stored.StoredIndex, "_settle", lambda self: None)  # what a dead process would do
        if where == "after":
            own(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(MilvusStore, step, die)
    with pytest.raises(KeyboardInterrupt):
        STEPS[step](index)
    monkeypatch.undo()
    assert index.ids().max() == 20, "an addition that is not finished is not seen"
    with Index.open(index.folder) as again:
        assert again.ids().tolist() == [*range(1 if step == "add" else 11, 21)]
        assert len(again) == len(again.ids()) == again.centroids().counts.sum()
        assert again.verify() == []
        assert again.add(points(1)).tolist() == [21]


def test_a_copy_of_the_folder_takes_nothing_back(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that was made while photos came in says that they are to be taken back, and it is not so."""
    index.add(points(10))
    own = stored.StoredIndex._commit_added

    def copy(self: stored.StoredIndex, *arguments: object) -> None:
        shutil.copytree(self.folder, tmp_path / "copy")
        own(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(stored.StoredIndex, "_commit_added", copy)
    index.add(points(10, seed=1))
    monkeypatch.undo()
    with Index.open(tmp_path / "copy") as other:
        assert other.ids().tolist() == [*range(1, 11)]
        assert "the store holds the id 20, and 10 is the largest that was given" in other.verify()
    assert (len(index.ids()), index.verify()) == (20, [])


def test_a_copy_of_the_folder_gives_no_id_twice(index: Index, tmp_path: Path) -> None:
    index.add(points(10))
    shutil.copytree(index.folder, tmp_path / "copy")
    index.add(points(10, seed=1))
    with (
        Index.open(tmp_path / "copy") as other,
        pytest.raises(PerisphereError, match="ids above 10, the last that this folder gave"),
    ):
        other.add(points(1))
    assert index.verify() == []


KILLED = """
import sys, numpy as np, polars as pl
from perisphere.index import Index
with Index.open(sys.argv[1]) as index:
    for number in range(int(sys.argv[2]), 10_000):
        print("begin", number, flush=True)
        index.add(np.full((200, 8), number, np.float32), pl.DataFrame({"label": [str(number)] * 200}))
        print("done", number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_writer_loses_nothing_that_it_had_finished(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    Index.create(folder, DIM, metric="l2", centroids="beside", store=str(tmp_path / "vectors.db")).close()
    done: set[int] = set()
    begun = 0
    for lines in (2, 6):
        work = [sys.executable, "-c", KILLED, str(folder), str(begun + 1)]
        with subprocess.Popen(work, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            said = [child.stdout.readline() for _ in range(lines)]
            os.kill(child.pid, signal.SIGKILL)
            for line in [*said, *child.stdout]:
                word, number = line.split()
                begun = int(number)
                done |= {begun} if word == "done" else set()
        with Index.open(folder) as index:
            labels = {int(label): count for label, count in index.counts("label")}
            assert set(labels.values()) == {200}
            assert done <= set(labels) <= done | {begun}
            assert index.verify() == []
            done = set(labels)
    assert len(done) >= 2


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"milvus://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(PerisphereError, match=f"{address}: no Milvus answers there"):
            Index.create(tmp_path / "index", DIM, store=address)
    assert list(tmp_path.iterdir()) == []


def bound(request: Any) -> str:
    """The expression of a request with its bound values in it, as a server sees them."""

    def written(value: Any) -> str:
        kind = value.WhichOneof("val" if hasattr(value, "array_val") else "data")
        found = getattr(value, kind)
        if kind == "array_val":
            return written(found)
        return json.dumps(list(found.data) if kind.endswith("_data") else found, ensure_ascii=False)

    text = request.dsl if hasattr(request, "dsl") else request.expr
    assert text.count("{") == len(request.expr_template_values)
    values = {name: written(value) for name, value in request.expr_template_values.items()}
    return re.sub(r"\{(v[0-9]+)\}", lambda found: values[found[1]], text)


@pytest.fixture
def binding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers of Milvus Lite bind the values of filters, as those of Milvus do."""
    from milvus_lite.adapter.grpc.servicer import MilvusServicer

    def bind(own: Callable, field: str) -> Callable:
        def answer(self: MilvusServicer, request: Any, context: Any) -> Any:
            setattr(request, field, bound(request))
            return own(self, request, context)

        return answer

    for verb, field in (("Query", "expr"), ("Search", "dsl")):
        monkeypatch.setattr(MilvusServicer, verb, bind(getattr(MilvusServicer, verb), field))


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that servers started from now on are sent."""
    from milvus_lite.adapter.grpc.servicer import MilvusServicer

    tokens = []
    own = MilvusServicer.CreateCollection

    def listen(self: MilvusServicer, request: Any, context: Any) -> Any:
        told = dict(context.invocation_metadata())
        tokens.append(b64decode(told.get("authorization", "")).decode())
        return own(self, request, context)

    monkeypatch.setattr(MilvusServicer, "CreateCollection", listen)
    return tokens


@pytest.fixture
def server(tmp_path: Path, binding: None) -> Iterator[str]:
    """Milvus Lite behind a port."""
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    started, database, port = start_server_in_thread(str(tmp_path / "data"), host="127.0.0.1", port=0)
    yield f"milvus://127.0.0.1:{port}"
    started.stop(grace=0).wait()
    database.close()


def test_values_of_filters_are_bound_by_a_server(tmp_path: Path, server: str) -> None:
    labels = ["a", "{v0}", 'b" or id > 0 or label == "', None]
    with Index.create(tmp_path / "index", DIM, store=server) as index:
        index.add(points(20), pl.DataFrame({"label": labels * 5, "width": list(range(20))}))
        for where, kept in (
            (Comparison("label", "==", labels[2]), {2}),
            (In("label", ("a", "{v0}")), {0, 1}),
            (Not(Comparison("label", "==", "{v0}")), {0, 2, 3}),
            (Like("label", "{V_}"), {1}),
        ):
            passing = [id_ for id_ in range(1, 21) if (id_ - 1) % 4 in kept]
            assert index.ids(where).tolist() == passing
            assert sorted(id_ for id_, _ in index.search(points(1), 20, where=where).results()) == passing
        assert index.ids("width in (3, 4) or width >= 17.5").tolist() == [4, 5, 19, 20]


def test_a_server_is_spoken_to_as_a_file_is(
    tmp_path: Path, binding: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    monkeypatch.setenv("MILVUS_TOKEN", "root:secret")
    server, database, port = start_server_in_thread(str(tmp_path / "data"), host="127.0.0.1", port=0)
    try:
        address = f"milvus://127.0.0.1:{port}"
        monkeypatch.setenv("MILVUS_TOKEN_FOR", address)
        with Index.create(tmp_path / "index", DIM, store=address) as index:
            index.add(points(30), pl.DataFrame({"label": ["a", "b"] * 15}))
            assert index.search(points(1), 1).ids.tolist() == [[1]]
            assert index.remove([1]) == 1
        with Index.open(tmp_path / "index") as index:
            assert (index.info()["store"]["address"], index.verify()) == (address, [])
    finally:
        server.stop(grace=0).wait()
        database.close()
    with pytest.raises(PerisphereError, match=r"no Milvus answers there"):
        Index.open(tmp_path / "index")
    secrets = [b"secret" in file.read_bytes() for file in (tmp_path / "index").iterdir()]
    assert secrets
    assert not any(secrets)


@pytest.mark.parametrize(
    ("receiver", "sent"),
    [
        ("milvus://127.0.0.1:{port}", True),
        ("milvus://127.0.0.1:{port}/photos", True),
        ("milvus+tls://127.0.0.1:{port}", False),
        ("milvus://127.0.0.1", False),
        ("milvus://elsewhere:{port}", False),
        ("", False),
    ],
)
def test_a_token_goes_to_the_server_that_it_is_for_alone(
    tmp_path: Path, heard: list, server: str, monkeypatch: pytest.MonkeyPatch, receiver: str, sent: bool
) -> None:
    """An index that comes from outside may name a server of a stranger."""
    monkeypatch.setenv("MILVUS_TOKEN", "root:secret")
    monkeypatch.setenv("MILVUS_TOKEN_FOR", receiver.format(port=server.rsplit(":")[-1]))
    Index.create(tmp_path / "index", DIM, store=server).close()
    assert heard == ["root:secret" if sent else ""]


def test_a_file_has_one_name_however_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with Index.create(tmp_path / "first", DIM, store=str(tmp_path / "vectors.db")) as first:
        for way in ("a/../vectors.db", "link/vectors.db"):
            Index.create(tmp_path / "second", DIM, store=str(tmp_path / way), overwrite=True).close()
            assert first.add(points(1)).shape == (1,), "the other has not closed it for this one"
        assert first.info()["store"]["address"] == "vectors.db"


def test_a_file_that_another_program_has_open_is_named(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", DIM, store=str(tmp_path / "vectors.db")):
        code = f"from perisphere.index import Index; Index.open({str(tmp_path / 'index')!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert "another program has it open" in other.stderr
    Index.open(tmp_path / "index").close()


def edit(folder: Path, value: str) -> None:
    with sqlite3.connect(folder / "index.sqlite") as connection:
        connection.execute("UPDATE facts SET value = ? WHERE name = 'store'", (value,))
    connection.close()


@pytest.mark.parametrize(
    "value",
    [
        "{}",
        "3",
        '"milvus"',
        '{"address": "/tmp/x.db", "collection": "users"}',
        '{"address": "file:///etc/passwd", "collection": "perisphere_a"}',
        '{"address": 7, "collection": "perisphere_a"}',
        '{"address": "milvus://h\\u001b[2J", "collection": "perisphere_a"}',
        '{"address": "milvus://h", "collection": ["perisphere_a"]}',
    ],
)
def test_a_folder_that_was_tampered_with_is_refused(tmp_path: Path, lite: str, value: str) -> None:
    Index.create(tmp_path / "index", DIM, store=lite).close()
    edit(tmp_path / "index", value)
    with pytest.raises(PerisphereError, match="does not say where its vectors are"):
        Index.open(tmp_path / "index")


def test_a_collection_that_is_gone_or_another_is_named(tmp_path: Path, lite: str) -> None:
    Index.create(tmp_path / "index", DIM, store=lite).close()
    with Index.create(tmp_path / "other", DIM + 1, store=lite) as other:
        collection = other.info()["store"]["collection"]
    edit(tmp_path / "index", f'{{"address": "{lite}", "collection": "{collection}"}}')
    with pytest.raises(PerisphereError, match="vectors of 9 values, and the index is of dimension 8"):
        Index.open(tmp_path / "index")
    edit(tmp_path / "index", f'{{"address": "{lite}", "collection": "perisphere_gone"}}')
    with pytest.raises(PerisphereError, match="holds no collection perisphere_gone"):
        Index.open(tmp_path / "index")
    edit(tmp_path / "index", f'{{"address": "{tmp_path}/gone.db", "collection": "perisphere_gone"}}')
    with pytest.raises(PerisphereError, match="is missing"):
        Index.open(tmp_path / "index")
    assert not (tmp_path / "gone.db").exists()


def test_a_collection_goes_with_what_replaces_its_index(
    tmp_path: Path, lite: str, collections: Callable
) -> None:
    before = collections()
    Index.create(tmp_path / "index", DIM, store=lite).close()
    (old,) = collections() - before

    def fail(index: Index) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Index.create(tmp_path / "index", DIM, store=lite, overwrite=True, fill=fail)
    assert collections() - before == {old}
    Index.create(tmp_path / "index", DIM, overwrite=True).close()
    assert collections() == before


def test_what_is_lost_or_changed_in_milvus_is_found(index: Index) -> None:
    ids = index.add(points(30), pl.DataFrame({"label": ["a", "b"] * 15, "caption": ["x"] * 30}))
    assert isinstance(index, stored.StoredIndex)
    index._engine.remove(ids[:2])
    problems = index.verify()
    assert problems == [
        "the store holds 28 images, and 30 were added and not removed",
        "2 photos have words and no row, the first with id 1",
    ]
    rows = index.rows([5]).drop("id")
    index._engine.add(np.array([77]), 3 * points(1), rows)
    assert "1 vectors are not of length 1, the first with id 77" in index.verify()
    assert "the store holds the id 77, and 30 is the largest that was given" in index.verify()


def test_sums_that_are_not_those_of_the_photos_are_found(index: Index) -> None:
    index.add(points(30), pl.DataFrame({"label": ["a", "b", "c"] * 10}))
    with sqlite3.connect(index.folder / "index.sqlite") as connection:
        connection.execute("UPDATE centroids SET count = 9 WHERE label = 'b'")
    connection.close()
    assert index.verify() == ["centroid of 'b': counts 9 photos, and 10 are there"]


def test_an_unfinished_addition_is_not_seen_by_readers(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.add(points(10), pl.DataFrame({"label": ["a"] * 10}))
    seen = []
    with Index.open(index.folder) as reader:
        own = stored.StoredIndex._commit_added

        def look(self: stored.StoredIndex, *arguments: object) -> None:
            found = reader.search(points(1, seed=1), 99).ids[0]
            seen.append((len(reader), reader.ids().max(), found.max(), reader.rows().height))
            own(self, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(stored.StoredIndex, "_commit_added", look)
        index.add(points(10, seed=1))
        assert seen == [(10, 10, 10, 10)]
        assert len(reader.search(points(1), 99).results()) == 20
        assert reader.ids(Comparison("id", ">", 10)).tolist() == [*range(11, 21)]

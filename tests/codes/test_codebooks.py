import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from perisphere.codes import Codebooks
from perisphere.errors import PerisphereError, UsageError


def _codebooks(seed: int = 0, books: int = 3, words: int = 7, dim: int = 5, **fields) -> Codebooks:
    rng = np.random.default_rng(seed)
    return Codebooks(rng.normal(size=(books, words, dim)).astype(np.float32), "additive", **fields)


def _npz(path: Path, **arrays: np.ndarray) -> Path:
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


def _record(**changes: object) -> np.ndarray:
    record = {"format": 1, "kind": "additive", "unit": True, "about": {}} | changes
    return np.frombuffer(json.dumps(record).encode(), np.uint8)


def test_saved_and_loaded_is_the_same(tmp_path) -> None:
    metric = np.diag(np.arange(1.0, 6.0)).astype(np.float32)
    books = _codebooks(unit=False, metric=metric, about={"tags": "Straße", "seed": 3})
    found = Codebooks.load(books.save(tmp_path / "books.npz"))
    np.testing.assert_array_equal(found.words, books.words)
    np.testing.assert_array_equal(found.metric, metric)
    assert (found.kind, found.unit, found.about) == ("additive", False, books.about)
    assert found.fingerprint == books.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["books.npz"]
    assert Codebooks.load(_codebooks().save(tmp_path / "plain.npz")).metric is None


def test_sizes() -> None:
    books = _codebooks(books=4, words=256, dim=6)
    assert (books.books, books.bytes, books.bits, books.dim) == (4, 4, 32, 6)


def test_fingerprint_follows_what_codes_depend_on() -> None:
    metric = np.eye(5, dtype=np.float32)
    prints = {
        _codebooks().fingerprint,
        _codebooks(seed=1).fingerprint,
        _codebooks(unit=False).fingerprint,
        _codebooks(metric=metric).fingerprint,
        Codebooks(_codebooks().words, "residual").fingerprint,
    }
    assert len(prints) == 5
    assert _codebooks(about={"name": "other"}).fingerprint == _codebooks().fingerprint


def test_decoding_is_the_sum_of_words_and_tables_are_its_inner_products() -> None:
    books, rng = _codebooks(), np.random.default_rng(1)
    codes = rng.integers(0, 7, (11, 3)).astype(np.uint8)
    expected = sum(books.words[book][codes[:, book]] for book in range(3))
    decoded = books.decode(codes)
    np.testing.assert_allclose(decoded, expected, rtol=1e-6)
    queries = rng.normal(size=(4, 5)).astype(np.float32)
    tables = books.tables(queries)
    scores = sum(tables[:, book][:, codes[:, book]] for book in range(3))
    np.testing.assert_allclose(scores, queries @ decoded.T, atol=1e-5)


def test_error_is_measured_in_the_metric() -> None:
    root = np.random.default_rng(2).normal(size=(5, 5)).astype(np.float32)
    books, vectors = _codebooks(metric=root), np.random.default_rng(3).normal(size=(6, 5))
    codes = books.encode(vectors)
    rest = vectors - books.decode(codes)
    np.testing.assert_allclose(books.error(vectors, codes), np.square(rest @ root).sum(axis=1), rtol=1e-5)
    plain = _codebooks()
    np.testing.assert_allclose(plain.error(vectors, codes), np.square(rest).sum(axis=1), rtol=1e-5)


def test_a_product_code_is_exact() -> None:
    rng = np.random.default_rng(5)
    words = np.zeros((2, 9, 6), np.float32)
    words[0, :, :3], words[1, :, 3:] = rng.normal(size=(2, 9, 3))
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    words = (words @ rotation).astype(np.float32)
    vectors = rng.normal(size=(40, 6)).astype(np.float32)
    sums = (words[0][:, None] + words[1][None]).reshape(-1, 6)
    best = np.square(vectors[:, None] - sums).sum(axis=2).argmin(axis=1)
    books = Codebooks(words, "product")
    expected = np.stack([best // 9, best % 9], axis=1)
    np.testing.assert_array_equal(books.encode(vectors), expected)
    np.testing.assert_array_equal(books.encode(vectors, sweeps=1, block=7), expected)


def test_vectors_are_read_in_blocks_from_the_disk(tmp_path) -> None:
    books, vectors = _codebooks(), np.random.default_rng(0).normal(size=(50, 5)).astype(np.float16)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    np.testing.assert_array_equal(books.encode(mapped, block=8), books.encode(vectors.astype(np.float32)))


def test_nothing_to_encode() -> None:
    books = _codebooks()
    assert books.encode(np.empty((0, 5), np.float32)).shape == (0, 3)
    assert books.decode(np.empty((0, 3), np.uint8)).shape == (0, 5)
    assert books.error(np.empty((0, 5)), np.empty((0, 3), np.uint8)).shape == (0,)
    assert books.tables(np.empty((0, 5))).shape == (0, 3, 7)


@pytest.mark.parametrize(
    ("words", "fields", "said"),
    [
        (np.zeros((2, 3)), {}, r"codewords \[2, 3\]"),
        (np.zeros((2, 0, 3)), {}, r"codewords \[2, 0, 3\]"),
        (np.zeros((1, 257, 3)), {}, "1 to 256 words"),
        (np.full((1, 2, 3), np.nan), {}, "no finite numbers"),
        (np.full((1, 2, 3), 1e300), {}, "no finite numbers"),
        (np.full((1, 2, 3), "x"), {}, "no finite numbers"),
        (np.zeros((1, 2, 3)), {"kind": "cartesian"}, "'cartesian'"),
        (np.zeros((1, 2, 3)), {"metric": np.eye(2)}, r"metric \[2, 2\]"),
        (np.zeros((1, 2, 3)), {"metric": np.full((3, 3), np.inf)}, "no finite numbers"),
    ],
)
def test_codebooks_that_cannot_be(words, fields, said) -> None:
    with pytest.raises(PerisphereError, match=said):
        Codebooks(words, **({"kind": "additive"} | fields))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda books: books.encode(np.zeros((2, 4))), r"\[n, 5\]"),
        (lambda books: books.encode(np.full((2, 5), np.nan)), "NaN"),
        (lambda books: books.tables(np.zeros(5)), r"\[n, 5\]"),
        (lambda books: books.decode(np.zeros((2, 2), np.uint8)), r"\[n, 3\]"),
        (lambda books: books.decode(np.full((2, 3), 7)), "a book has 7"),
        (lambda books: books.decode(np.full((2, 3), -1)), "words -1"),
        (lambda books: books.decode(np.zeros((2, 3))), "whole numbers"),
        (lambda books: books.error(np.zeros((2, 5)), np.zeros((1, 3), np.uint8)), "2 vectors and 1 codes"),
    ],
)
def test_vectors_and_codes_that_do_not_fit(call, said) -> None:
    with pytest.raises(PerisphereError, match=said):
        call(_codebooks())


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"record": _record()}, "words"),
        ({"words": np.zeros((1, 2, 3))}, "record"),
        ({"words": np.zeros((1, 2, 3)), "record": np.frombuffer(b"[1]", np.uint8)}, "format"),
        ({"words": np.zeros((1, 2, 3)), "record": np.frombuffer(b"{", np.uint8)}, "holds no codebooks"),
        ({"words": np.zeros((1, 2, 3)), "record": _record(format=9)}, "upgrade"),
        ({"words": np.zeros((1, 2, 3)), "record": _record(kind="tree")}, "'tree'"),
        ({"words": np.zeros((1, 2, 3)), "record": _record(unit="yes")}, "damaged"),
        ({"words": np.full((1, 2, 3), np.nan), "record": _record()}, "finite"),
        ({"words": np.zeros((1, 2, 3)), "metric": np.zeros(3), "record": _record()}, "metric"),
    ],
)
def test_a_file_that_holds_something_else(tmp_path, arrays, said) -> None:
    path = _npz(tmp_path / "books.npz", **arrays)
    with pytest.raises(PerisphereError, match=said) as caught:
        Codebooks.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickle_inside_runs_nothing(tmp_path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    objects = io.BytesIO()
    np.lib.format.write_array(objects, np.array([Trap()], object), allow_pickle=True)
    path = tmp_path / "books.npz"
    for content in (objects.getvalue(), pickle.dumps(Trap())):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("words.npy", content)
        with pytest.raises(PerisphereError, match="holds no codebooks"):
            Codebooks.load(path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(PerisphereError, match="holds no codebooks"):
        Codebooks.load(path)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_claims_or_unpacks_to_too_much(tmp_path) -> None:
    path = tmp_path / "books.npz"
    header = io.BytesIO()
    claim = {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 256, 1 << 20)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("words.npy", header.getvalue() + bytes(64))
    with pytest.raises(PerisphereError, match="not as large as its header says"):
        Codebooks.load(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("words.npy", bytes(64 << 20))
    with pytest.raises(PerisphereError, match="200 times its size"):
        Codebooks.load(path)


def test_a_cut_file_and_a_missing_one(tmp_path) -> None:
    path = _codebooks().save(tmp_path / "books.npz")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(PerisphereError, match="perisphere codes fit"):
        Codebooks.load(path)
    with pytest.raises(PerisphereError, match="not found"):
        Codebooks.load(tmp_path / "none.npz")
    with pytest.raises(UsageError, match=r"\.npz"):
        _codebooks().save(tmp_path / "books.npy")

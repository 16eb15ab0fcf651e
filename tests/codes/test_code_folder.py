import json
import pickle
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from perisphere.codes import Codebooks
from perisphere.codes.code_folder import CodeFolder
from perisphere.errors import PerisphereError


@pytest.fixture
def folder(tmp_path) -> CodeFolder:
    rng = np.random.default_rng(0)
    books = Codebooks(rng.normal(size=(2, 9, 4)).astype(np.float32), "additive")
    rows = pl.DataFrame({"id": range(6), "path": [f"{number}.jpg" for number in range(6)]})
    codes = rng.integers(0, 9, (6, 2)).astype(np.uint8)
    return CodeFolder(codes, rows, books, tmp_path, {"identity": "ab"}, {"lost": 0.25})


def test_saved_and_loaded_is_the_same(folder, tmp_path) -> None:
    found = CodeFolder.load(folder.save(tmp_path / "codes"))
    assert isinstance(found.codes, np.memmap)
    np.testing.assert_array_equal(found.codes, folder.codes)
    assert found.rows.equals(folder.rows)
    assert found.codebooks.fingerprint == folder.codebooks.fingerprint
    assert (found.root, found.encoder, found.run) == (tmp_path, folder.encoder, folder.run)
    assert len(found) == 6


def test_an_earlier_folder_is_replaced_on_request_alone(folder, tmp_path) -> None:
    folder.save(tmp_path / "codes")
    with pytest.raises(PerisphereError, match="--overwrite"):
        folder.save(tmp_path / "codes")
    folder.save(tmp_path / "codes", overwrite=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"x")
    with pytest.raises(PerisphereError, match="did not write"):
        folder.save(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "one.jpg").exists()


def test_codes_that_do_not_belong_to_rows_or_books(folder, tmp_path) -> None:
    for codes in (folder.codes[:5], folder.codes[:, :1], folder.codes.astype(np.int64)):
        with pytest.raises(PerisphereError, match=r"uint8 \[6, 2\]"):
            CodeFolder(codes, folder.rows, folder.codebooks, tmp_path)


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["codes.npy", "rows.parquet", "codebooks.npz", "codes.json"])
def test_a_file_that_is_missing_cut_or_a_pickle(folder, tmp_path, name) -> None:
    path = folder.save(tmp_path / "codes") / name
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", pickle.dumps(Trap(tmp_path / "ran"))):
        path.write_bytes(content)
        with pytest.raises(PerisphereError, match=name):
            CodeFolder.load(path.parent)
    path.unlink()
    with pytest.raises(PerisphereError, match=f"{name}: not found"):
        CodeFolder.load(path.parent)
    assert not (tmp_path / "ran").exists()


def test_an_array_of_objects_runs_nothing(folder, tmp_path) -> None:
    path = folder.save(tmp_path / "codes") / "codes.npy"
    np.save(path, np.array([[Trap(tmp_path / "ran")] * 2] * 6, object), allow_pickle=True)
    with pytest.raises(PerisphereError, match=r"codes\.npy"):
        CodeFolder.load(path.parent)
    assert not (tmp_path / "ran").exists()


def test_codes_of_words_that_there_are_not_are_refused(folder, tmp_path) -> None:
    path = folder.save(tmp_path / "codes") / "codes.npy"
    codes = folder.codes.copy()
    codes[3, 1] = folder.codebooks.words.shape[1]
    np.save(path, codes)
    with pytest.raises(PerisphereError, match="but a book has"):
        CodeFolder.load(path.parent)
    np.save(path, np.asfortranarray(folder.codes))
    opened = CodeFolder.load(path.parent).codes
    assert opened.flags.c_contiguous
    np.testing.assert_array_equal(opened, folder.codes)


def test_files_of_another_content(folder, tmp_path) -> None:
    kept = folder.save(tmp_path / "codes")
    changes = {
        "codes.npy": lambda path: np.savez(path.open("wb"), codes=folder.codes),
        "rows.parquet": lambda path: pl.DataFrame({"other": range(6)}).write_parquet(path),
        "codes.json": lambda path: path.write_text("[" * 100_000),
    }
    for name, change in changes.items():
        whole = (kept / name).read_bytes()
        change(kept / name)
        with pytest.raises(PerisphereError, match=name):
            CodeFolder.load(kept)
        (kept / name).write_bytes(whole)
    assert len(CodeFolder.load(kept)) == 6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "upgrade"),
        ({"format": None}, "'format'"),
        ({"rows": 5}, "do not belong together"),
        ({"codebooks": "0" * 16}, "do not belong together"),
        ({"encoder": 3}, "'encoder'"),
    ],
)
def test_a_description_of_something_else(folder, tmp_path, change, said) -> None:
    path = folder.save(tmp_path / "codes") / "codes.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(PerisphereError, match=said):
        CodeFolder.load(path.parent)


def test_codes_of_other_rows(folder, tmp_path) -> None:
    path = folder.save(tmp_path / "codes") / "codes.npy"
    np.save(path, folder.codes[:4])
    with pytest.raises(PerisphereError, match="codes"):
        CodeFolder.load(path.parent)

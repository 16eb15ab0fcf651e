import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from perisphere.errors import PerisphereError
from perisphere.foreign import matlab
from perisphere.foreign.matlab import read_mat


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    table = np.array([("a.jpg", 1, 0), ("b.jpg", 2, 1)], [("path", "O"), ("class", "O"), ("test", "O")])
    content = {
        "labels": np.arange(1, 6, dtype=np.uint8),
        "one": 7,
        "annotations": table,
        "names": ["x", "yy"],
        "text": "hello",
    }
    savemat(tmp_path / "list.mat", content, do_compression=request.param)
    return tmp_path / "list.mat"


def test_numbers_and_structures(file: Path) -> None:
    found = read_mat(file, ["labels", "annotations", "one"])
    assert found["labels"].tolist() == [1, 2, 3, 4, 5]
    assert found["one"] == 7
    assert read_mat(file, ["text"]) == {"text": "hello"}
    with pytest.raises(PerisphereError, match="text of several rows"):
        read_mat(file, ["names"])
    assert found["annotations"] == [
        {"path": "a.jpg", "class": 1, "test": 0},
        {"path": "b.jpg", "class": 2, "test": 1},
    ]


def test_a_missing_variable_is_named(file: Path) -> None:
    with pytest.raises(PerisphereError, match=r"list\.mat: holds no variable 'setid'"):
        read_mat(file, ["labels", "setid"])


def test_every_truncation_is_one_line_or_the_whole(file: Path) -> None:
    data, cut = file.read_bytes(), file.with_name("cut.mat")
    errors = 0
    for length in range(0, len(data), 7):
        cut.write_bytes(data[:length])
        with pytest.raises(PerisphereError, match=r"cut\.mat: ") as caught:
            read_mat(cut, ["labels", "annotations", "one", "text"])
        assert "\n" not in str(caught.value)
        errors += 1
    assert errors > 50


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_damage_is_a_value_or_an_error(tmp_path: Path, data: st.DataObject) -> None:
    file = tmp_path / "damaged.mat"
    labels = {
        "labels": np.arange(6, dtype=np.uint8),
        "cells": np.array([["ab"], ["c"]], object),
        "s": {"a": 1},
    }
    savemat(file, labels, do_compression=data.draw(st.booleans()))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(120, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    try:
        found = read_mat(file, ["labels", "cells", "s"])
    except PerisphereError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert set(found) == {"labels", "cells", "s"}


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_text("hello " * 100)
    (tmp_path / "new.mat").write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))
    for name, complaint in (("none", "cannot be read"), ("text", "damaged"), ("new", "save -v7")):
        with pytest.raises(PerisphereError, match=rf"{name}\.mat: .*{complaint}"):
            read_mat(tmp_path / f"{name}.mat", ["labels"])


def test_a_small_file_that_unpacks_to_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bomb.mat"
    savemat(file, {"labels": np.zeros(4 << 20, np.uint8)}, do_compression=True)
    assert file.stat().st_size < 10_000
    assert len(read_mat(file, ["labels"])["labels"]) == 4 << 20
    monkeypatch.setattr(matlab, "MAX_UNPACKED", 1 << 20)
    with pytest.raises(PerisphereError, match="unpacks to over 1 MiB"):
        read_mat(file, ["labels"])
    monkeypatch.setattr(matlab, "MAX_BYTES", 1 << 10)
    with pytest.raises(PerisphereError, match="too large"):
        read_mat(file, ["labels"])


def test_several_parts_share_one_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "parts.mat"
    savemat(file, {f"a{k}": np.zeros(3 << 18, np.uint8) for k in range(2)}, do_compression=True)
    monkeypatch.setattr(matlab, "MAX_UNPACKED", 1 << 20)
    with pytest.raises(PerisphereError, match="unpacks to over"):
        read_mat(file, ["a0"])


def test_arrays_that_claim_more_than_there_is_take_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "list.mat"
    for content in (np.array([["x"]], object), np.array([[(1,)]], [("a", "O")]), np.array([[1.0]])):
        savemat(file, {"labels": content})
        data = file.read_bytes()
        claim = data.replace(
            struct.pack("<IIII", 5, 8, 1, 1), struct.pack("<IIII", 5, 8, 1 << 30, 1 << 30), 1
        )
        assert claim != data
        file.write_bytes(claim)
        with pytest.raises(PerisphereError, match=r"truncated|not as large|unpack_from"):
            read_mat(file, ["labels"])


def test_deep_cells_objects_and_complex_numbers_are_refused(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(20):
        cell = np.empty((1, 1), object)
        cell[0, 0] = deep
        deep = cell
    file = tmp_path / "list.mat"
    for value, complaint in ((deep, "nested"), (1 + 2j, "complex"), (scipy.sparse.eye(3), "class 5")):
        savemat(file, {"labels": value, "good": 1})
        assert read_mat(file, ["good"]) == {"good": 1}
        with pytest.raises(PerisphereError, match=complaint):
            read_mat(file, ["labels"])


numbers = st.sampled_from([np.uint8, np.int16, np.uint32, np.int64, np.float32, np.float64])
plain = st.recursive(
    st.text("abc é中", max_size=5) | st.integers(-(2**31), 2**31) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, min_size=2, max_size=4) | st.fixed_dictionaries({"a": inner, "b": inner}),
    max_leaves=8,
)


def _as_matlab(value: Any) -> Any:
    if isinstance(value, list):
        cells = np.empty((len(value), 1), object)
        for at, item in enumerate(value):
            cells[at, 0] = _as_matlab(item)
        return cells
    return {name: _as_matlab(item) for name, item in value.items()} if isinstance(value, dict) else value


def _expected(value: Any) -> Any:
    """One structure is an array of one."""
    if isinstance(value, dict):
        return [{name: _expected(item) for name, item in value.items()}]
    return [_expected(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plain, st.booleans())
def test_plain_values_come_back(tmp_path: Path, value: Any, compressed: bool) -> None:
    savemat(tmp_path / "v.mat", {"value": _as_matlab(value)}, do_compression=compressed)
    assert read_mat(tmp_path / "v.mat", ["value"])["value"] == _expected(value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers, st.integers(0, 3), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_arrays_come_back_as_scipy_reads_them(
    tmp_path: Path, dtype: type, rows: int, columns: int, deep: int, compressed: bool
) -> None:
    array = np.random.default_rng(rows).integers(0, 99, (rows, columns, deep)).astype(dtype)
    savemat(tmp_path / "v.mat", {"value": array}, do_compression=compressed)
    found = np.asarray(read_mat(tmp_path / "v.mat", ["value"])["value"])
    expected = scipy.io.loadmat(tmp_path / "v.mat", squeeze_me=True)["value"]
    assert found.tolist() == np.asarray(expected).tolist()
    assert found.size == 1 or found.dtype == dtype


def test_the_other_byte_order(tmp_path: Path) -> None:
    """As a big-endian machine writes a row of two doubles."""

    def element(kind: int, content: bytes) -> bytes:
        return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)

    parts = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 1, 2))
    parts += struct.pack(">HH", 3, 1) + b"abc\0" + element(9, struct.pack(">dd", 1.5, -2.0))
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    (tmp_path / "v.mat").write_bytes(head + element(14, parts))
    assert read_mat(tmp_path / "v.mat", ["abc"])["abc"].tolist() == [1.5, -2.0]

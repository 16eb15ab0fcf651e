import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError
from perisphere.foreign.numpy_file import read_npy, texts
from perisphere.foreign.plain_pickle import interpret

names = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1)


@settings(max_examples=60, deadline=None)
@given(names, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_arrays_of_texts_and_of_objects_come_back(values: list[str], protocol: int) -> None:
    for kind in (np.str_, object):
        array = np.array(values, kind)
        found = interpret(pickle.dumps({"a": array, "b": [array]}, protocol), objects=True)
        np.testing.assert_array_equal(found["a"], array)
        assert found["a"].dtype.kind == array.dtype.kind
        assert found["b"][0] is found["a"]


def test_a_numpy_text_is_a_text() -> None:
    assert interpret(pickle.dumps([np.str_("väg")]), objects=True) == ["väg"]


def test_files_of_numbers_texts_and_objects_are_read(tmp_path) -> None:
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    for name, array in (("n", numbers), ("t", np.array(["a", "bb"])), ("o", np.array(["a", None], object))):
        np.save(tmp_path / name, array)
        np.testing.assert_array_equal(read_npy(tmp_path / f"{name}.npy"), array)
    assert isinstance(read_npy(tmp_path / "n.npy"), np.memmap)
    nested = {"q.jpg": {"indices": np.array([2, 1]), "paths": np.array(["x", "y"])}}
    np.save(tmp_path / "d", nested)
    found = read_npy(tmp_path / "d.npy").item()
    np.testing.assert_array_equal(found["q.jpg"]["paths"], ["x", "y"])
    assert texts(read_npy(tmp_path / "t.npy"), tmp_path) == ["a", "bb"]


class _Runs:
    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('ran').touch()",))


def test_an_array_that_wants_to_run_code_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "bad", np.array([_Runs()], object))
    with pytest.raises(PerisphereError, match=r"bad\.npy: asks for 'builtins\.exec'.*Nothing of it was run"):
        read_npy(tmp_path / "bad.npy")
    assert not (tmp_path / "ran").exists()


def test_what_is_no_npy_file_is_named(tmp_path) -> None:
    (tmp_path / "a.npy").write_bytes(b"no array")
    np.save(tmp_path / "cut", np.array(["x" * 50], object))
    whole = (tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-20])
    np.save(tmp_path / "shape", np.array(["x", "y"], object))
    other = (tmp_path / "shape.npy").read_bytes().replace(b"'shape': (2,)", b"'shape': (3,)")
    (tmp_path / "shape.npy").write_bytes(other)
    header = (tmp_path / "cut.npy").read_bytes().replace(b"False", b"F{lse")
    (tmp_path / "header.npy").write_bytes(header)
    np.save(tmp_path / "numbers", np.arange(3))
    for name, message in (
        ("a", "no .npy file"),
        ("cut", "damaged"),
        ("header", "damaged"),
        ("shape", "does not hold the array"),
        ("none", "No such file"),
    ):
        with pytest.raises(PerisphereError, match=rf"{name}\.npy: .*{message}"):
            read_npy(tmp_path / f"{name}.npy")
    with pytest.raises(PerisphereError, match=r"holds int64 \[3\], not one list of texts"):
        texts(read_npy(tmp_path / "numbers.npy"), tmp_path / "numbers.npy")


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_character_that_does_not_exist_is_damage(tmp_path, order) -> None:
    np.save(tmp_path / "bad", np.array(["a\U0010ffff", "b"], f"{order}U2"))
    whole = (tmp_path / "bad.npy").read_bytes()
    last = chr(0x10FFFF).encode("utf-32-le" if order == "<" else "utf-32-be")
    assert read_npy(tmp_path / "bad.npy")[0] == "a\U0010ffff"
    (tmp_path / "bad.npy").write_bytes(whole.replace(last, b"\x7f\x7f\x7f\x7f"))
    with pytest.raises(PerisphereError, match=r"bad\.npy: is damaged .*character that does not exist"):
        read_npy(tmp_path / "bad.npy")
    pickled = pickle.dumps(np.array(["a\U0010ffff"], f"{order}U2"), 4).replace(last, b"\x7f\x7f\x7f\x7f")
    with pytest.raises(ValueError, match="character that does not exist"):
        interpret(pickled, objects=True)

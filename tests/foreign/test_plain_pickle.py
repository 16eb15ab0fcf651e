import os
import pickle
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError
from perisphere.foreign.plain_pickle import _ForbiddenError, interpret, read_plain_pickle

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
keys = st.none() | st.integers() | st.text()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
    ),
    max_leaves=12,
)
protocols = st.integers(0, pickle.HIGHEST_PROTOCOL)


@settings(max_examples=150, deadline=None)
@given(values, protocols)
def test_plain_values_come_back_from_every_protocol(value: object, protocol: int) -> None:
    found = interpret(pickle.dumps(value, protocol))
    assert found == value
    assert repr(found) == repr(value)  # also tells True from 1, and list from tuple


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32", ">f8", "bool", "float16"])
def test_arrays_and_numpy_numbers_come_back(protocol: int, dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    given = {"c": array, "f": np.asfortranarray(array), "none": array[:0], "one": array[0, 1], "again": array}
    found = interpret(pickle.dumps(given, protocol))
    for name in ("c", "f", "none", "again"):
        assert found[name].dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(found[name], given[name])
    assert found["again"] is found["c"]
    assert found["one"] == array[0, 1]


def test_what_python_2_wrote() -> None:
    """``{'imlist': ['a', u'b'], 'n': 7L}`` by Python 2.7's pickle and cPickle, in protocols 0 and 2."""
    text = b"(dp0\nS'imlist'\np1\n(lp2\nS'a'\np3\naVb\np4\nasS'n'\np5\nL7L\ns."
    binary = (
        b"\x80\x02}q\x01(U\x06imlistq\x02]q\x03(U\x01aq\x04X\x01\x00\x00\x00bq\x05eU\x01nq\x06\x8a\x01\x07u."
    )
    assert interpret(text) == interpret(binary) == {"imlist": ["a", "b"], "n": 7}


class _Runs:
    def __init__(self, target: object, *arguments: object) -> None:
        self.target, self.arguments = target, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.target, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("target", [os.system, eval, exec, getattr, np.load])
def test_nothing_that_the_file_names_is_run(target: object, protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"gnd": _Runs(target, f"touch {mark}")}, protocol))
    with pytest.raises(PerisphereError, match=r"bad\.pkl: asks for '.*', which .* Nothing of it was run"):
        read_plain_pickle(tmp_path / "bad.pkl")
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"no pickle",
        b"\x80\x04]q",
        b"\x80\x04\x95",
        b"]h\x05.",
        b"(l",
        b"K\x01K\x02s.",
        b"}K\x01K\x02K\x03e.",
        b"cnumpy\nndarray\n)R.",
        b"cnumpy\ndtype\n(S'O8'\ntR.",
        b"}](K\x01K\x02es.",
    ],
)
def test_damage_is_one_line_that_names_the_file(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "half.pkl").write_bytes(data)
    with pytest.raises(PerisphereError, match=r"half\.pkl: is damaged or no pickle") as error:
        read_plain_pickle(tmp_path / "half.pkl")
    assert "\n" not in str(error.value)


def test_every_cut_of_a_good_file_is_an_error(tmp_path: Path) -> None:
    whole = pickle.dumps({"imlist": ["a", "b"], "easy": np.arange(3)}, 4)
    for length in range(len(whole)):
        (tmp_path / "cut.pkl").write_bytes(whole[:length])
        with pytest.raises(PerisphereError):
            read_plain_pickle(tmp_path / "cut.pkl")


def test_an_array_larger_than_its_bytes_is_refused() -> None:
    lying = pickle.dumps(np.zeros(3, np.uint8), 2).replace(b"K\x03\x85", b"J\x00\x00\x00\x7f\x85")
    assert lying != pickle.dumps(np.zeros(3, np.uint8), 2)
    with pytest.raises(ValueError, match="as large as its shape"):
        interpret(lying)


def test_arrays_of_objects_are_refused() -> None:
    with pytest.raises((TypeError, ValueError)):
        interpret(pickle.dumps(np.array([{}], object), 4))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match=r"none\.pkl: cannot be read"):
        read_plain_pickle(tmp_path / "none.pkl")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_ordered_and_default_dicts_are_plain_dicts(protocol: int) -> None:
    groups: defaultdict[str, list[int]] = defaultdict(list)
    groups["a"].append(1)
    found = interpret(pickle.dumps([groups, OrderedDict(b=2)], protocol))
    assert found == [{"a": [1]}, {"b": 2}]
    assert [type(item) for item in found] == [dict, dict]
    with pytest.raises(_ForbiddenError):
        interpret(pickle.dumps(defaultdict(set), protocol))

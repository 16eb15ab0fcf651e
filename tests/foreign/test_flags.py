from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perisphere.errors import PerisphereError
from perisphere.foreign import flags as flags_module
from perisphere.foreign.column_names import concept_names, read_different, read_names
from perisphere.foreign.flags import count_columns, count_rows, flag_column, flag_rows, parse_flags

matrices = st.integers(1, 9).flatmap(
    lambda columns: st.lists(st.lists(st.booleans(), min_size=columns, max_size=columns), max_size=6)
)


@given(rows=st.lists(st.booleans(), min_size=1, max_size=40), by=st.sampled_from([" ", "\t", "  ", " \t"]))
@pytest.mark.parametrize(("zero", "one"), [("0", "1"), ("0.0", "1.0"), ("0.000e+00", "1.000e+00")])
def test_every_way_to_write_numbers_says_the_same(rows: list[bool], by: str, zero: str, one: str) -> None:
    line = by.join(one if flag else zero for flag in rows) + by + "\r\n"
    found = parse_flags(line.encode())
    assert found is not None
    assert found.tolist() == rows


@pytest.mark.parametrize(
    "line", [b"0 2", b"0 11", b"00100", b"-1", b"1,0", b"x 1", b"nan", b"1 0 \xff", b"0x1", b"1_0", b"4 1"]
)
def test_other_numbers_are_none(line: bytes) -> None:
    assert parse_flags(line) is None


@given(matrix=matrices)
def test_what_numpy_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, matrix: list[list[bool]]
) -> None:
    file = tmp_path_factory.mktemp("flags") / "matrix.txt"
    np.savetxt(file, np.array(matrix, float).reshape(len(matrix), len(matrix[0]) if matrix else 1))
    assert [row.tolist() for row in flag_rows(file)] == [np.flatnonzero(row).tolist() for row in matrix]
    assert count_rows(file) == len(matrix)
    assert count_columns(file) == (len(matrix[0]) if matrix else None)


@pytest.mark.parametrize(
    ("text", "columns", "complaint"),
    [
        ("1 0\n1\n", None, "line 2 has 1 numbers where 2 belong"),
        ("1 0\n", 3, "line 1 has 2 numbers where 3 belong"),
        ("1 0\n\n1 x\n", None, "line 3 holds something else than 0 and 1"),
    ],
)
def test_rows_of_another_form_are_refused(
    text: str, columns: int | None, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "m.txt").write_text(text)
    with pytest.raises(PerisphereError, match=complaint):
        list(flag_rows(tmp_path / "m.txt", columns))


def test_a_line_without_end_is_not_taken_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flags_module, "MAX_LINE", 100)
    (tmp_path / "m.txt").write_text("1 " * 80)
    with pytest.raises(PerisphereError, match="line 1 is too long"):
        list(flag_rows(tmp_path / "m.txt"))


def test_a_column_is_a_number_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.txt"
    file.write_text("0\r\n1\r\n1\r\n")
    assert flag_column(file).tolist() == [False, True, True]
    file.write_text("0\n2\n")
    with pytest.raises(PerisphereError, match="something else than 0 and 1"):
        flag_column(file)
    monkeypatch.setattr(flags_module, "MAX_COLUMN", 3)
    with pytest.raises(PerisphereError, match="too large"):
        flag_column(file)
    with pytest.raises(PerisphereError, match="no such list"):
        flag_column(tmp_path / "none.txt")


def test_names_with_and_without_counts(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("sky 845\nnew york 12\n2008 7\n")
    assert read_names(file) == ["sky", "new york", "2008"]
    file.write_text("sky\nroute 66\n2008\n")
    assert read_names(file) == ["sky", "route 66", "2008"]
    file.write_bytes("été\n".encode() + "café\n".encode("latin-1"))
    assert read_names(file) == ["été", "café"]


def test_two_concepts_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("sky\nsea\nsky\n")
    assert read_names(file) == ["sky", "sea", "sky"]
    with pytest.raises(PerisphereError, match="the name 'sky' is there twice"):
        read_different(file)


def test_concepts_without_names_are_numbered(tmp_path: Path) -> None:
    assert concept_names(None, 2, tmp_path / "m.txt") == ["concept-01", "concept-02"]
    (tmp_path / "names.txt").write_text("sky\nsea\n")
    assert concept_names(tmp_path / "names.txt", 2, tmp_path / "m.txt") == ["sky", "sea"]
    with pytest.raises(PerisphereError, match=r"names.txt: 2 names for the 3 columns of .*m.txt"):
        concept_names(tmp_path / "names.txt", 3, tmp_path / "m.txt")

"""The filter language: what it means, that SQL agrees, and that nothing gets past the parser."""

import json
import sqlite3
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import UsageError
from perisphere.index.filters import (
    COLUMNS,
    MAX_CHARACTERS,
    And,
    Comparison,
    Contains,
    Expression,
    In,
    IsNull,
    Like,
    Not,
    Or,
    evaluate,
    parse,
    to_sql,
)

TEXT_COLUMNS = [name for name, kind in COLUMNS.items() if kind == "text"]
NUMBER_COLUMNS = [name for name, kind in COLUMNS.items() if kind == "number"]
LIST_COLUMNS = [name for name, kind in COLUMNS.items() if kind == "list"]

# A few texts that meet often, with the ones that break quoting and number rules among them.
texts = st.sampled_from(
    ["", "a", "A", "b", "2", "2.0", "-3", "10", "é", "o'brien", 'say "x"', "a\\b", "%", "a_b", "x\ny"]
)
numbers = st.integers(-5, 12) | st.sampled_from([0.5, 2.0, -3.5, 2**62, 1e-7])
patterns = st.text(alphabet="aAb2%_\\é.-", max_size=5)
leaves = st.one_of(
    st.builds(
        Comparison,
        st.sampled_from(TEXT_COLUMNS),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        texts | numbers,
    ),
    st.builds(
        Comparison,
        st.sampled_from(NUMBER_COLUMNS),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        numbers,
    ),
    st.builds(
        In, st.sampled_from(TEXT_COLUMNS), st.lists(texts | numbers, min_size=1, max_size=4).map(tuple)
    ),
    st.builds(In, st.sampled_from(NUMBER_COLUMNS), st.lists(numbers, min_size=1, max_size=4).map(tuple)),
    st.builds(Contains, st.sampled_from(LIST_COLUMNS), texts | numbers),
    st.builds(Like, st.sampled_from(TEXT_COLUMNS), patterns),
    st.builds(IsNull, st.sampled_from(list(COLUMNS))),
)
expressions: st.SearchStrategy[Expression] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "text": st.none() | texts,
    "number": st.none() | st.integers(-5, 12),
    "list": st.none() | st.lists(texts, max_size=3),
    "box": st.none() | st.just([0, 0, 4, 4]),
}
rows = st.fixed_dictionaries({name: CELLS[kind] for name, kind in COLUMNS.items()})


def selected(expression: Expression, table: list[dict[str, Any]]) -> list[int]:
    """Positions of the rows that SQLite selects."""
    kinds = {"number": "INTEGER", "text": "TEXT", "list": "TEXT", "box": "TEXT"}
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE rows ({', '.join(f'{c} {kinds[k]}' for c, k in COLUMNS.items())})")
    for row in table:
        cells = [
            json.dumps(cell) if isinstance(cell, list) else cell for cell in (row[name] for name in COLUMNS)
        ]
        connection.execute(f"INSERT INTO rows VALUES ({', '.join('?' * len(cells))})", cells)
    where, parameters = to_sql(expression)
    found = connection.execute(
        f"SELECT rowid - 1 FROM rows WHERE {where} ORDER BY rowid", parameters
    ).fetchall()
    connection.close()
    return [position for (position,) in found]


@given(expressions, st.lists(rows, min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_sql_agrees_with_the_plain_meaning(expression: Expression, table: list[dict[str, Any]]) -> None:
    assert selected(expression, table) == [i for i, row in enumerate(table) if evaluate(expression, row)]


@given(expressions)
@settings(max_examples=100, deadline=None)
def test_text_of_an_expression_parses_to_itself(expression: Expression) -> None:
    assert parse(str(expression)) == expression


@given(
    st.text(alphabet="labeltags id=!<>()[]'\"\\,andornotinhasisnull0123456789.-;%_\n", max_size=60)
    | st.text()
)
@settings(max_examples=300, deadline=None)
def test_any_text_is_an_expression_or_a_usage_error(text: str) -> None:
    with suppress(UsageError):
        expression = parse(text)
        assert parse(str(expression)) == expression


@given(expressions)
@settings(max_examples=100, deadline=None)
def test_sql_holds_names_and_placeholders_only(expression: Expression) -> None:
    where, parameters = to_sql(expression)
    assert where.count("?") - where.count("'?*-*'") == len(parameters)
    for value in ("o'brien", "é", "say"):
        assert value not in where


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("label == 'dome'", Comparison("label", "==", "dome")),
        ('label == "dome"', Comparison("label", "==", "dome")),
        ("camera != 2", Comparison("camera", "!=", 2)),
        ("width >= 1e3", Comparison("width", ">=", 1000.0)),
        ("label == 'o\\'brien'", Comparison("label", "==", "o'brien")),
        ("label IN ('a', 'b')", In("label", ("a", "b"))),
        ("label in ['a', 2]", In("label", ("a", 2))),
        ("label not in ('a')", Not(In("label", ("a",)))),
        ("tags has 'night'", Contains("tags", "night")),
        ("'night' in tags", Contains("tags", "night")),
        ("'night' not in tags", Not(Contains("tags", "night"))),
        ("caption is null", IsNull("caption")),
        ("caption is not null", Not(IsNull("caption"))),
        ("path like '%\\_1.jpg'", Like("path", "%\\_1.jpg")),
        ("path not like 'x%'", Not(Like("path", "x%"))),
        (
            "label == 'a' or label == 'b' and not id < 3",
            Or(
                (
                    Comparison("label", "==", "a"),
                    And((Comparison("label", "==", "b"), Not(Comparison("id", "<", 3)))),
                )
            ),
        ),
        (
            "(label == 'a' or label == 'b') and id < 3",
            And(
                (
                    Or((Comparison("label", "==", "a"), Comparison("label", "==", "b"))),
                    Comparison("id", "<", 3),
                )
            ),
        ),
    ],
)
def test_parses(text: str, expected: Expression) -> None:
    assert parse(text) == expected


def test_missing_values_fail_every_test_but_null_and_unequal() -> None:
    row = {"camera": None, "width": None, "tags": None}
    assert evaluate(parse("camera != 2"), row)
    assert evaluate(parse("not camera == 2"), row)
    assert evaluate(parse("camera is null and tags is null"), row)
    for text in (
        "camera == 2",
        "camera < 2",
        "camera in ('2')",
        "camera like '%'",
        "width >= 0",
        "tags has 'a'",
    ):
        assert not evaluate(parse(text), row), text


def test_numbers_beside_text_columns() -> None:
    assert evaluate(parse("camera == 2"), {"camera": "2"})
    assert not evaluate(parse("camera == 2"), {"camera": "2.0"})
    assert evaluate(parse("camera < 10"), {"camera": "9"}), "as numbers"
    assert not evaluate(parse("camera < '10'"), {"camera": "9"}), "as texts"
    assert not evaluate(parse("camera < 10"), {"camera": "front"})


@pytest.mark.parametrize(
    ("text", "place", "mend"),
    [
        ("", 1, "label == 'dome'"),
        ("   ", 4, "label == 'dome'"),
        ("lable == 'x'", 1, "Did you mean 'label'?"),
        ("label == 'x' and zzz == 1", 18, "Columns: id, path"),
        ("label == dome", 10, "'dome'"),
        ("label = 'x'", 7, "Write =="),
        ("label == 'x", 10, "Close the text"),
        ("label == 'x' && id == 1", 14, "Write and"),
        ("label == 'x'; drop table rows", 13, "not understood"),
        ("label == 'x' drop", 14, "and / or"),
        ("label == 'x' or 1==1", 18, "column first"),
        ("label == null", 10, "is null"),
        ("label in ()", 11, "'text' or a number"),
        ("(label == 'x'", 14, "Add )"),
        ("label ==", 9, "'text' or a number"),
        ("tags == 'x'", 1, "tags has"),
        ("label has 'x'", 1, "label == value"),
        ("box == 'x'", 1, "box is null"),
        ("width == '3'", 1, "without quotes"),
        ("width like '3%'", 1, "holds numbers"),
        ("path like 3", 11, "quotes"),
        ("id == 99999999999999999999", 1, "64 bits"),
        ("id < 1e999", 1, "64 bits"),
        ("camera == 007", 11, "quotes"),
        ("camera == 2nd", 11, "quotes"),
        ("label == 'a\\qb'", 12, "backslash"),
        ("label == 'a\0b'", 1, "Remove it"),
        ("not", 4, "Columns:"),
        ("and == 1", 1, "Columns:"),
        ("label.upper() == 'X'", 6, "quotes"),
        ("__import__('os') == 1", 1, "no column"),
        ("label.__class__ == 1", 6, "quotes"),
        ("label == 'x' -- comment", 14, "number"),
        ("label == 'x' union select 1", 14, "and / or"),
        ("label\" == 'x'", 6, "Close"),
    ],
)
def test_errors_name_the_place_and_the_mend(text: str, place: int, mend: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert f"character {place}:" in str(caught.value)
    assert mend in str(caught.value)
    assert "\n" not in str(caught.value)


def test_size_and_depth_are_bounded() -> None:
    with pytest.raises(UsageError, match="Shorten"):
        parse("id < 1 or " * 1000)
    for opener in ("(", "not ", "not ("):
        with pytest.raises(UsageError, match="nested"):
            parse(opener * 300 + "id < 1")
    longest = "id<1 or " * ((MAX_CHARACTERS - 4) // 8) + "id<1"
    assert selected(parse(longest), [dict.fromkeys(COLUMNS) | {"id": 0}]) == [0]


@pytest.mark.parametrize("column", ['label" OR 1=1 --', "rowid", "ID", ""])
def test_trees_built_by_hand_are_checked_too(column: str) -> None:
    for build in (lambda: Comparison(column, "==", "x"), lambda: IsNull(column), lambda: In(column, ("x",))):
        with pytest.raises(UsageError, match="no column"):
            build()
    with pytest.raises(UsageError, match="no operator"):
        Comparison("label", "; --", "x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least two"):
        And((IsNull("label"),))

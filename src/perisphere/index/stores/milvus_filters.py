"""Filters as boolean expressions of Milvus, whose values are bound to placeholders.

Milvus knows three truth values where a cell is null, and its releases do not agree on ``not``. So negations
are pushed down to the tests first, and each test says what a null means to it. Then an unknown is never
negated, and counts as false, as :func:`perisphere.index.filters.evaluate` has it.

Milvus compares text with text only, tells upper from lower case, and binds no pattern. ``like``, and the
order of a number and a text, are therefore decided here: the values of the column are read, and those that
pass are bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any

from perisphere.errors import UsageError
from perisphere.index.filters import (
    COLUMNS,
    And,
    Comparison,
    Contains,
    Expression,
    In,
    IsNull,
    Like,
    Not,
    Or,
    Value,
    evaluate,
)

MAX_VALUES = 100_000
ALL, NOTHING = "id > 0", "id < 0"
_OPPOSITE = {"==": "!=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}

Distinct = Callable[[str], Iterable[str]]
"""The values of a text column that are in the store, each once or more often."""


@dataclass
class Compiled:
    """A boolean expression of Milvus, made of known names and placeholders alone.

    Attributes:
        text: the expression.
        values: what is bound to the placeholders.
    """

    text: str
    values: dict[str, Any] = field(default_factory=dict)

    def literal(self) -> str:
        """Return the expression with its values in it, for Milvus Lite, which binds none."""
        return re.sub(r"\{(v[0-9]+)\}", lambda found: _literal(self.values[found[1]]), self.text)


def compile_filter(expression: Expression, distinct: Distinct) -> Compiled:
    """Compile a filter.

    Args:
        expression: the filter.
        distinct: reads a column's values, where Milvus cannot decide a test.

    Raises:
        UsageError: more values pass than Milvus is asked for.
    """
    compiler = _Compiler(distinct)
    return Compiled(compiler.compiled(expression, True), compiler.values)


class _Compiler:
    def __init__(self, distinct: Distinct) -> None:
        self.values: dict[str, Any] = {}
        self._distinct = distinct

    def compiled(self, expression: Expression, wanted: bool) -> str:
        """Return the text that is true where the filter is ``wanted``."""
        match expression:
            case Not(term):
                return self.compiled(term, not wanted)
            case And(terms) | Or(terms):
                word = " and " if isinstance(expression, And) is wanted else " or "
                return f"({word.join(self.compiled(term, wanted) for term in terms)})"
            case Comparison(column, "!=", value):
                return self._comparison(Comparison(column, "==", value), not wanted)
            case Comparison():
                return self._comparison(expression, wanted)
            case In(column, values):
                return self._among(column, values, wanted)
            case Contains(column, value):
                return self._contains(column, str(value), wanted)
            case Like(column):
                return self._among(column, self._passing(column, expression), wanted)
            case IsNull(column):
                return _is_null(column, wanted)

    def _comparison(self, test: Comparison, wanted: bool) -> str:
        column, op, value = test.column, test.op, test.value
        if COLUMNS[column] == "text":
            if op != "==" and not isinstance(value, str):
                return self._among(column, self._passing(column, test), wanted)
            value = str(value)
        elif not isinstance(value, str) and value != int(value):
            if op == "==":
                return ALL if not wanted else NOTHING
            value = ceil(value) if op in ("<", ">=") else floor(value)
        else:
            value = int(value)
        bound = self._bound(value)
        return _guarded(column, f"{column} {op if wanted else _OPPOSITE[op]} {bound}", wanted)

    def _among(self, column: str, values: Iterable[Value], wanted: bool) -> str:
        if COLUMNS[column] == "number":
            chosen: list[Any] = [int(value) for value in values if value == int(value)]
        else:
            chosen = [str(value) for value in values]
        if not chosen:
            return NOTHING if wanted else ALL
        test = f"{column} in {self._bound(list(dict.fromkeys(chosen)))}"
        return _guarded(column, test if wanted else f"not ({test})", wanted)

    def _contains(self, column: str, value: str, wanted: bool) -> str:
        if column == "regions":  # no photo has any
            return NOTHING if wanted else ALL
        test = f"array_contains({column}, {self._bound(value)})"
        return _guarded(column, test if wanted else f"not {test}", wanted)

    def _passing(self, column: str, test: Expression) -> list[str]:
        """Return the values of a column that pass a test."""
        found: set[str] = set()
        for value in self._distinct(column):
            if value not in found and evaluate(test, {column: value}):
                found.add(value)
                if len(found) > MAX_VALUES:
                    raise UsageError(
                        f"{test}: more than {MAX_VALUES:,} values of {column} pass, and Milvus is asked for "
                        "no more at once. Ask for fewer."
                    )
        return sorted(found)

    def _bound(self, value: Any) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"{{{name}}}"


def _guarded(column: str, test: str, wanted: bool) -> str:
    """Say what a null means to a test: it fails, so that it passes where the test must not hold."""
    if column == "id":  # is never null, and Milvus refuses the question
        return test
    return f"({column} is not null and {test})" if wanted else f"({column} is null or {test})"


def _is_null(column: str, wanted: bool) -> str:
    if column in ("id", "regions"):
        return ALL if wanted is (column == "regions") else NOTHING
    if COLUMNS[column] != "list":
        return f"{column} is {'' if wanted else 'not '}null"
    if wanted:
        return f"({column} is null or array_length({column}) == 0)"
    return f"({column} is not null and array_length({column}) > 0)"


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if not isinstance(value, str):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'

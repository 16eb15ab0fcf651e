r"""Filters on catalog columns: a small language, parsed to a typed tree, compiled to bound SQL.

Grammar (keywords in any case)::

    expression  = conjunction { "or" conjunction }
    conjunction = factor { "and" factor }
    factor      = "not" factor | "(" expression ")" | test
    test        = column ("==" | "!=" | "<" | "<=" | ">" | ">=") value
                | column ["not"] "in" "(" value { "," value } ")"
                | column ["not"] "like" text            % = any text, _ = one character, \ escapes
                | column "is" ["not"] "null"
                | column "has" value                     for the lists: tags, categories, concepts, regions
                | value ["not"] "in" column              the same, read the other way
    value       = 'text' | "text" | number

Every test is true or false, never unknown: a missing value fails every test but ``is null`` and ``!=``. So
``camera != 2`` keeps the rows without a camera, and ``not (camera == 2)`` means the same.

A number beside a text column (``camera != 2``) is compared as its text, ``'2'``; with ``<`` and its kin it is
compared as a number, and text that is no plain decimal number fails the test. ``like`` ignores the case of
ASCII letters. A list ``is null`` where it is missing or empty.

Nothing is evaluated and no text of the user's reaches the SQL: column names come from :data:`COLUMNS`, values
are bound to placeholders.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NoReturn, TypeAlias, get_args

from perisphere.errors import UsageError, nearest

Kind: TypeAlias = Literal["number", "text", "list", "box"]
Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]
Value: TypeAlias = str | int | float

COLUMNS: Mapping[str, Kind] = MappingProxyType(
    {
        "id": "number",
        "path": "text",
        "split": "text",
        "label": "text",
        "camera": "text",
        "domain": "text",
        "tags": "list",
        "caption": "text",
        "categories": "list",
        "concepts": "list",
        "regions": "list",
        "box": "box",
        "url": "text",
        "width": "number",
        "height": "number",
    }
)
"""The columns that a filter may name. Lists are stored as JSON text; a box can only be asked for ``null``."""

MAX_CHARACTERS = 4000
MAX_DEPTH = 50
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Comparison:
    """``column op value``."""

    column: str
    op: Operator
    value: Value

    def __post_init__(self) -> None:
        _check_column(self.column, "number", "text")
        if self.op not in get_args(Operator):
            raise UsageError(f"no operator {self.op!r}. Use one of {', '.join(get_args(Operator))}.")
        _check_value(self.column, self.value)

    def __str__(self) -> str:
        return f"{self.column} {self.op} {_literal(self.value)}"


@dataclass(frozen=True)
class In:
    """``column in (value, ...)``: the column equals one of the values."""

    column: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        _check_column(self.column, "number", "text")
        if not self.values:
            raise UsageError(f"{self.column} in (): the list is empty. Name at least one value.")
        for value in self.values:
            _check_value(self.column, value)

    def __str__(self) -> str:
        return f"{self.column} in ({', '.join(map(_literal, self.values))})"


@dataclass(frozen=True)
class Contains:
    """``column has value``: the list holds the value."""

    column: str
    value: Value

    def __post_init__(self) -> None:
        _check_column(self.column, "list")
        _check_value(self.column, self.value)

    def __str__(self) -> str:
        return f"{self.column} has {_literal(self.value)}"


@dataclass(frozen=True)
class Like:
    r"""``column like pattern``, with ``%`` and ``_`` as in SQL and ``\`` before either to mean itself."""

    column: str
    pattern: str

    def __post_init__(self) -> None:
        _check_column(self.column, "text")
        _check_value(self.column, self.pattern)
        if len(self.pattern) > MAX_CHARACTERS:
            raise UsageError(f"{self.column} like: a pattern has at most {MAX_CHARACTERS} characters.")

    def __str__(self) -> str:
        return f"{self.column} like {_literal(self.pattern)}"


@dataclass(frozen=True)
class IsNull:
    """``column is null``: the value is missing (or the list is empty)."""

    column: str

    def __post_init__(self) -> None:
        _check_column(self.column, "number", "text", "list", "box")

    def __str__(self) -> str:
        return f"{self.column} is null"


@dataclass(frozen=True)
class Not:
    """``not (term)``."""

    term: "Expression"

    def __str__(self) -> str:
        return f"not ({self.term})"


@dataclass(frozen=True)
class And:
    """All of the terms (at least two)."""

    terms: "tuple[Expression, ...]"

    def __post_init__(self) -> None:
        _check_terms(self.terms)

    def __str__(self) -> str:
        return " and ".join(f"({term})" if isinstance(term, And | Or) else str(term) for term in self.terms)


@dataclass(frozen=True)
class Or:
    """Any of the terms (at least two)."""

    terms: "tuple[Expression, ...]"

    def __post_init__(self) -> None:
        _check_terms(self.terms)

    def __str__(self) -> str:
        return " or ".join(f"({term})" if isinstance(term, And | Or) else str(term) for term in self.terms)


Expression: TypeAlias = Comparison | In | Contains | Like | IsNull | Not | And | Or


def parse(text: str) -> Expression:
    """Parse a filter.

    Args:
        text: e.g. ``"label == 'dome' and camera != 2"``; at most 4000 characters, nested at most 50 deep.

    Raises:
        UsageError: the text is no filter; the message names the place and the mend.

    Example:
        >>> parse("label == 'dome' and not 'night' in tags")  # doctest: +NORMALIZE_WHITESPACE
        And(terms=(Comparison(column='label', op='==', value='dome'),
                   Not(term=Contains(column='tags', value='night'))))
    """
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"filter: {len(text)} characters; at most {MAX_CHARACTERS} are read. Shorten it.")
    return _Parser(text).whole()


def to_sql(expression: Expression) -> tuple[str, list[Value]]:
    """Compile to a SQLite condition for a table with the catalog's columns.

    Returns:
        The text of a ``WHERE`` clause, made of known column names and ``?`` alone, and the values to bind.
        The condition is 0 or 1 for every row, never null.
    """
    match expression:
        case Comparison(column, op, value):
            return _comparison_sql(column, op, value)
        case In(column, values):
            marks = ", ".join("?" * len(values))
            return f"([{column}] IS NOT NULL AND [{column}] IN ({marks}))", [
                _bound(column, value) for value in values
            ]
        case Contains(column, value):
            return f"EXISTS (SELECT 1 FROM json_each([{column}]) WHERE json_each.value IS ?)", [
                _bound(column, value)
            ]
        case Like(column, pattern):
            return f"""([{column}] IS NOT NULL AND [{column}] LIKE ? ESCAPE '\\')""", [pattern]
        case IsNull(column):
            if COLUMNS[column] == "list":
                return f"(coalesce(json_array_length([{column}]), 0) = 0)", []
            return f"([{column}] IS NULL)", []
        case Not(term):
            where, parameters = to_sql(term)
            return f"(NOT {where})", parameters
        case And(terms):
            return _joined_sql(" AND ", terms)
        case Or(terms):
            return _joined_sql(" OR ", terms)


def columns(expression: Expression) -> set[str]:
    """Return the columns that a filter asks for."""
    if isinstance(expression, And | Or):
        return set().union(*map(columns, expression.terms))
    return columns(expression.term) if isinstance(expression, Not) else {expression.column}


def tests(expression: Expression) -> int:
    """Return of how many tests a filter is made; each is made of every row."""
    if isinstance(expression, And | Or):
        return sum(map(tests, expression.terms))
    return tests(expression.term) if isinstance(expression, Not) else 1


def evaluate(expression: Expression, row: Mapping[str, Any]) -> bool:
    """Decide the filter for one row, in plain Python: the meaning that :func:`to_sql` has to agree with.

    Args:
        expression: the filter.
        row: value by column name; a missing column counts as null.
    """
    match expression:
        case Comparison(column, op, value):
            return _compare(row.get(column), op, value, COLUMNS[column])
        case In(column, values):
            return row.get(column) is not None and row[column] in [_bound(column, value) for value in values]
        case Contains(column, value):
            return _bound(column, value) in (row.get(column) or [])
        case Like(column, pattern):
            return row.get(column) is not None and _like(row[column], pattern)
        case IsNull(column):
            cell = row.get(column)
            return cell is None or (COLUMNS[column] == "list" and len(cell) == 0)
        case Not(term):
            return not evaluate(term, row)
        case And(terms):
            return all(evaluate(term, row) for term in terms)
        case Or(terms):
            return any(evaluate(term, row) for term in terms)


def _check_column(column: str, *kinds: Kind) -> None:
    if column not in COLUMNS:
        hint = nearest(column, list(COLUMNS)) or f" Columns: {', '.join(COLUMNS)}."
        raise UsageError(f"no column {column!r}.{hint}")
    kind = COLUMNS[column]
    if kind in kinds:
        return
    if kind == "list":
        raise UsageError(f"{column!r} is a list. Write {column} has 'text'.")
    if kind == "box":
        raise UsageError(f"{column!r} can only be asked for null. Write {column} is null.")
    if "list" in kinds:
        raise UsageError(f"{column!r} is no list. Write {column} == value.")
    raise UsageError(f"{column!r} holds numbers. Compare it with ==, !=, <, <=, > or >=.")


def _check_value(column: str, value: Value) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{column!r} cannot be compared with {value!r}. Use a text or a number.")
    if isinstance(value, str):
        if COLUMNS[column] == "number":
            raise UsageError(f"{column!r} holds numbers. Write the number without quotes.")
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise UsageError(f"{column!r}: the text holds a character that no column can. Remove it.")
    elif not abs(value) < 2**63:
        raise UsageError(f"{column!r}: the number {value} is too large. Stay within 64 bits.")


def _check_terms(terms: tuple[Expression, ...]) -> None:
    if len(terms) < 2:
        raise UsageError(f"and/or join at least two tests, not {len(terms)}. Use the test by itself.")


def _bound(column: str, value: Value) -> Value:
    """A number beside a text column is compared as its text."""
    return value if COLUMNS[column] == "number" else str(value)


def _literal(value: Value) -> str:
    if not isinstance(value, str):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + "'"


def _joined_sql(word: str, terms: tuple[Expression, ...]) -> tuple[str, list[Value]]:
    compiled = [to_sql(term) for term in terms]
    joined = word.join(where for where, _ in compiled)
    return f"({joined})", [parameter for _, parameters in compiled for parameter in parameters]


def _comparison_sql(column: str, op: Operator, value: Value) -> tuple[str, list[Value]]:
    name = f"[{column}]"  # brackets: SQLite takes an unknown name in double quotes for a text
    if op in ("==", "!="):
        return f"({name} {'IS' if op == '==' else 'IS NOT'} ?)", [_bound(column, value)]
    if COLUMNS[column] == "text" and not isinstance(value, str):
        numeral = (
            f"{name} GLOB '*[0-9]*' AND {name} NOT GLOB '*[^0-9.-]*'"
            f" AND {name} NOT GLOB '?*-*' AND {name} NOT GLOB '*.*.*'"
        )
        return f"({name} IS NOT NULL AND {numeral} AND CAST({name} AS REAL) {op} ?)", [value]
    return f"({name} IS NOT NULL AND {name} {op} ?)", [value]


def _compare(cell: Any, op: Operator, value: Value, kind: Kind) -> bool:
    plain = value if kind == "number" else str(value)
    if op == "==":
        return bool(cell == plain)
    if op == "!=":
        return bool(cell != plain)
    if cell is None:
        return False
    if kind == "text" and not isinstance(value, str):
        if not re.fullmatch(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)", cell):
            return False
        return _ORDER[op](float(cell), value)
    return _ORDER[op](cell, value)


def _like(text: str, pattern: str) -> bool:
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            literal = next(characters, None)
            if literal is None:
                return False
            parts.append(re.escape(literal))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return re.fullmatch("".join(parts), text, re.DOTALL | re.IGNORECASE | re.ASCII) is not None


@dataclass(frozen=True)
class _Token:
    kind: Literal["text", "number", "word", "sign", "end"]
    value: Value
    position: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else repr(self.value)


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<word>[A-Za-z_]\w*)
    | (?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "%": "\\%", "_": "\\_"}
_KEYWORDS = frozenset({"and", "or", "not", "in", "has", "is", "null", "like"})
_MENDS = {
    "=": "Write == for equality.",
    "&": "Write and.",
    "|": "Write or.",
    "!": "Write not, or != for inequality.",
    "'": "Close the text with a second '.",
    '"': 'Close the text with a second ".',
}


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._tokenise()
        self.at = 0
        self.depth = 0

    def whole(self) -> Expression:
        if len(self.tokens) == 1:
            self._fail("it is empty. Write for example label == 'dome'.")
        expression = self._either()
        rest = self._next
        if rest.kind != "end":
            self._fail(f"{rest} is not expected here. Join tests with and / or.")
        return expression

    def _either(self) -> Expression:
        terms = [self._both()]
        while self._accept("or"):
            terms.append(self._both())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _both(self) -> Expression:
        terms = [self._factor()]
        while self._accept("and"):
            terms.append(self._factor())
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _factor(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail(f"nested more than {MAX_DEPTH} deep. Use fewer parentheses.")
        if self._accept("not"):
            expression: Expression = Not(self._factor())
        elif self._accept("("):
            expression = self._either()
            self._expect(")")
        else:
            expression = self._test()
        self.depth -= 1
        return expression

    def _test(self) -> Expression:
        start = self._next
        try:
            return self._value_in_column() if start.kind in ("text", "number") else self._column_test()
        except _PlacedError:
            raise
        except UsageError as error:
            self._fail(str(error), start)

    def _value_in_column(self) -> Expression:
        value = self._value()
        negated = self._accept("not")
        if not self._accept("in"):
            self._fail(f"{self._next} follows a value. Put the column first: column == value.")
        contains = Contains(self._column(), value)
        return Not(contains) if negated else contains

    def _column_test(self) -> Expression:
        column = self._column()
        if self._accept("is"):
            negated = self._accept("not")
            self._expect("null")
            return Not(IsNull(column)) if negated else IsNull(column)
        if self._accept("has"):
            return Contains(column, self._value())
        if self._next.kind == "sign" and self._next.value in get_args(Operator):
            op: Any = self._take().value
            return Comparison(column, op, self._value())
        negated = self._accept("not")
        if self._accept("in"):
            test: Expression = In(column, self._values())
        elif self._accept("like"):
            test = Like(column, self._pattern())
        else:
            self._fail(
                f"{self._next} follows the column {column!r}. Write ==, !=, <, in, has, like or is null."
            )
        return Not(test) if negated else test

    def _column(self) -> str:
        token = self._next
        if token.kind != "word" or str(token.value).lower() in _KEYWORDS:
            self._fail(f"{token} stands where a column is expected. Columns: {', '.join(COLUMNS)}.")
        try:
            _check_column(str(token.value), "number", "text", "list", "box")
        except UsageError as error:
            self._fail(str(error))
        return str(self._take().value)

    def _value(self) -> Value:
        token = self._next
        if token.kind == "word" and str(token.value).lower() == "null":
            self._fail("null is no value. Write column is null, or column is not null.")
        if token.kind == "word":
            self._fail(f"{token} is no value. Put text in quotes: '{token.value}'.")
        if token.kind not in ("text", "number"):
            self._fail(f"{token} stands where a value is expected. Write 'text' or a number.")
        return self._take().value

    def _pattern(self) -> str:
        token = self._next
        value = self._value()
        if not isinstance(value, str):
            self._fail(f"{value} is no pattern. Put it in quotes: '%{value}%'.", token)
        return value

    def _values(self) -> tuple[Value, ...]:
        close = "]" if self._next.value == "[" else ")"
        self._expect("[" if close == "]" else "(")
        values = [self._value()]
        while self._accept(","):
            values.append(self._value())
        self._expect(close)
        return tuple(values)

    @property
    def _next(self) -> _Token:
        return self.tokens[self.at]

    def _take(self) -> _Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def _accept(self, word: str) -> bool:
        token = self._next
        found = token.kind in ("word", "sign") and str(token.value).lower() == word
        self.at += found
        return found

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            self._fail(f"{self._next} stands where {word!r} is expected. Add {word}.")

    def _tokenise(self) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        while at < len(self.text):
            found = _TOKEN.match(self.text, at)
            if found is None:
                self._fail_at(at, self._unreadable(at))
            if found.lastgroup != "space":
                tokens.append(self._token(found))
            at = found.end()
        return [*tokens, _Token("end", "", len(self.text))]

    def _unreadable(self, at: int) -> str:
        character = self.text[at]
        if character.isdigit() or character in "+-.":
            return f"{self.text[at : at + 12]!r} is no number. Put text in quotes."
        return f"{character!r} is not understood. {_MENDS.get(character, 'Put text in quotes.')}"

    def _token(self, found: re.Match[str]) -> _Token:
        kind: Any = found.lastgroup
        raw = found.group()
        if kind == "text":
            return _Token("text", self._unescaped(raw[1:-1], found.start() + 1), found.start())
        if kind == "number":
            if re.match(r"[+-]?0\d", raw):
                self._fail_at(found.start(), f"{raw} starts with 0. Put it in quotes to compare its text.")
            return _Token("number", int(raw) if re.fullmatch(r"[+-]?\d+", raw) else float(raw), found.start())
        return _Token(kind, raw, found.start())

    def _unescaped(self, raw: str, start: int) -> str:
        def meaning(found: re.Match[str]) -> str:
            if found.group(1) not in _ESCAPES:
                self._fail_at(
                    start + found.start(), f"no escape {found.group()!r}. Write \\\\ for a backslash."
                )
            return _ESCAPES[found.group(1)]

        return re.sub(r"\\(.)", meaning, raw, flags=re.DOTALL)

    def _fail(self, message: str, token: _Token | None = None) -> NoReturn:
        self._fail_at((token or self._next).position, message)

    def _fail_at(self, position: int, message: str) -> NoReturn:
        shown = self.text if len(self.text) <= 80 else f"{self.text[:77]}..."
        raise _PlacedError(f"filter {shown!r}, character {position + 1}: {message}") from None


class _PlacedError(UsageError):
    """A usage error whose message names its place already."""

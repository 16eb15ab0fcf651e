"""What a pickle of plain values holds, without unpickling it: nothing that the file names is run.

Ground truth, class points, CIFAR's arrays and lists of results are published as pickles of dicts, lists,
tuples, texts, numbers and NumPy arrays of numbers (where asked for, of texts and of such values too). A
pickle is a program for a stack machine; this interpreter knows the opcodes for just those values, of every
protocol from 0 to 5 and of Python 2. Anything else ends the reading with an error that names what the file
asked for.
"""

import math
import mmap
import pickletools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from perisphere.errors import PerisphereError

MAX_BYTES = 256 << 20
MAX_DIMENSIONS = 32
DTYPES = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"))
OBJECTS = frozenset(("O", "O4", "O8"))
_TEXT = re.compile(r"U[1-9]\d{0,5}")

_DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    SyntaxError,
    TypeError,
    ValueError,
    EOFError,
)


class _ForbiddenError(Exception):
    """The pickle names something that plain values have no need of."""


def read_plain_pickle(path: Path, *, start: int = 0, limit: int = MAX_BYTES, objects: bool = False) -> Any:
    """Return the dicts, lists, tuples, texts, bytes, numbers, None and NumPy arrays that a pickle holds.

    Arrays may be read-only.

    Args:
        path: the file.
        start: where in it the pickle begins, in bytes.
        limit: size of the file in bytes above which it is not read.
        objects: whether arrays may hold texts and such values, not numbers alone.

    Raises:
        PerisphereError: the file is missing, damaged or too large, or asks for anything but such values.
    """
    path = Path(path)
    try:
        if path.stat().st_size > limit:
            raise PerisphereError(f"{path}: over {limit >> 20} MiB, too large for plain values.")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            data.seek(start)
            return interpret(cast(IO[bytes], data), objects=objects)
    except _ForbiddenError as error:
        raise PerisphereError(
            f"{path}: {error}, which plain values have no need of. Nothing of it was run. "
            "Trust another source, or save the same lists as JSON."
        ) from None
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PerisphereError(
            f"{path}: is damaged or no pickle of plain values ({reason}). Get it again."
        ) from error


def interpret(data: bytes | IO[bytes], *, objects: bool = False) -> Any:
    """Return the value of a pickle; damage raises what Python raises of it.

    Arrays hold numbers, and with ``objects`` texts and values of the other kinds too.
    """
    machine = _Machine(_CALLS | {"numpy.dtype": _any_dtype} if objects else _CALLS)
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "STOP":
            value = machine.pop()
            if isinstance(value, _Unbuilt):
                raise ValueError(f"it ends before its {value.kind} is whole")
            return value
        machine.step(opcode.name, argument)
    raise ValueError("the pickle has no end")


class _Mark:
    """Marks the stack where the items of a container begin."""


class _Global:
    """The name of something on the allow-list; never imported."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Unbuilt:
    """An array or dtype between its making and its state, and where the memo holds it."""

    def __init__(self, kind: str, dtype: str = "") -> None:
        self.kind = kind
        self.dtype = dtype
        self.keys: list[int] = []


_MARK = _Mark()


class _Machine:
    """The stack and the memo."""

    def __init__(self, calls: dict[str, Callable[..., Any]]) -> None:
        self.calls = calls
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _MAKERS:
            self.stack.append(_MAKERS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise _ForbiddenError(f"uses the opcode {name}")

    def pop(self) -> Any:
        value = self.stack.pop()
        if isinstance(value, _Mark):
            raise ValueError("the stack is empty up to its mark")
        return value

    def pop_to_mark(self) -> list[Any]:
        for position in range(len(self.stack) - 1, -1, -1):
            if self.stack[position] is _MARK:
                items = self.stack[position + 1 :]
                del self.stack[position:]
                return items
        raise ValueError("a mark is missing")

    def drop(self) -> None:
        del self.stack[-1]

    def drop_to_mark(self) -> None:
        self.pop_to_mark()

    def put(self, key: int | None) -> None:
        key = len(self.memo) if key is None else key
        self.memo[key] = self.stack[-1]
        if isinstance(self.stack[-1], _Unbuilt):
            self.stack[-1].keys.append(key)

    def get(self, key: int) -> None:
        self.stack.append(self.memo[key])

    def tuple(self, count: int | None) -> None:
        items = self.pop_to_mark() if count is None else [self.pop() for _ in range(count)][::-1]
        self.stack.append(tuple(items))

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("items are added to something that is no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict) or len(items) % 2:
            raise TypeError("keys are set in something that is no dict, or one has no value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not (key is None or isinstance(key, str | int | float | bytes)):
                raise TypeError("a key is neither text nor a number")
            self.stack[-1][key] = value

    def dict(self, _: Any) -> None:
        items = self.pop_to_mark()
        self.stack.append({})
        self.set_items(items)

    def global_(self, name: str) -> None:
        name = name.replace("numpy._core.", "numpy.core.", 1)
        if name not in self.calls and name != "numpy.ndarray":
            raise _ForbiddenError(f"asks for {name[:100]!r}")
        self.stack.append(_Global(name))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise TypeError("the name of a global is no text")
        self.global_(f"{module}.{name}")

    def call(self) -> None:
        arguments, target = self.pop(), self.pop()
        if (
            not isinstance(target, _Global)
            or target.name not in self.calls
            or not isinstance(arguments, tuple)
        ):
            raise TypeError("something that has no name is called")
        self.stack.append(self.calls[target.name](*arguments))

    def build(self) -> None:
        state, made = self.pop(), self.pop()
        if not isinstance(made, _Unbuilt) or not isinstance(state, tuple):
            raise TypeError("a state is given to something that takes none")
        value = _array_of_state(*state) if made.kind == "array" else _dtype_of_state(made, *state)
        for key in made.keys:
            self.memo[key] = value
        self.stack.append(value)


def _dtype(name: Any, *_: Any) -> _Unbuilt:
    text = name.decode("latin-1") if isinstance(name, bytes) else name
    if text not in DTYPES:
        raise TypeError(f"an array holds {str(name)[:40]!r}, not numbers")
    return _Unbuilt("dtype", text)


def _any_dtype(name: Any, *_: Any) -> _Unbuilt:
    text = name.decode("latin-1") if isinstance(name, bytes) else name
    if text in OBJECTS or (isinstance(text, str) and _TEXT.fullmatch(text)):
        return _Unbuilt("dtype", text)
    return _dtype(name)


def _dtype_of_state(made: _Unbuilt, version: Any, order: Any, *_: Any) -> np.dtype:
    text = order.decode("latin-1") if isinstance(order, bytes) else order
    if text not in ("<", ">", "|", "="):
        raise ValueError("a dtype has no byte order")
    return np.dtype(object if made.dtype in OBJECTS else text + made.dtype)


def _array_of_state(version: Any, shape: Any, dtype: Any, fortran: Any, data: Any) -> np.ndarray:
    order = "F" if fortran else "C"
    holds_objects = isinstance(dtype, np.dtype) and dtype.hasobject
    return _objects(data, shape, order) if holds_objects else _array(data, dtype, shape, order)


def _objects(items: Any, shape: Any, order: str) -> np.ndarray:
    """Return an array of the values in a list."""
    if not isinstance(items, list) or len(items) != _places(shape):
        raise ValueError("an array has not as many values as its shape says")
    array = np.empty(len(items), object)
    for place, item in enumerate(items):
        array[place] = item
    return array.reshape(shape, order=order)  # type: ignore[call-overload, no-any-return]


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """Return an array whose shape was checked against the bytes that are there."""
    data = data.encode("latin-1") if isinstance(data, str) else data
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes | bytearray) or order not in ("C", "F"):
        raise TypeError("an array has no dtype, no bytes or no order")
    if dtype.hasobject or _places(shape) * dtype.itemsize != len(data):
        raise ValueError("an array is not as large as its shape says")
    native = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False)
    check_characters(native)
    return native.reshape(shape, order=order)


def check_characters(array: np.ndarray) -> None:
    """Refuse texts with characters that Unicode does not have: Python ends in a defect on meeting them.

    Raises:
        ValueError: there is one.
    """
    if array.dtype.kind == "U" and array.size:
        numbers = np.ascontiguousarray(array).reshape(-1).view(array.dtype.byteorder + "u4")
        if numbers.max() > sys.maxunicode:
            raise ValueError("a text has a character that does not exist")


def _places(shape: Any) -> int:
    if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
        raise TypeError("an array has no shape")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise TypeError("a shape has something else than whole numbers")
    return math.prod(shape)


def _scalar(dtype: Any, data: Any) -> Any:
    return _array(data, dtype, (), "C").item()


def _reconstruct(kind: Any, *_: Any) -> _Unbuilt:
    if not isinstance(kind, _Global) or kind.name != "numpy.ndarray":
        raise TypeError("an array is of no known kind")
    return _Unbuilt("array")


def _no_bytes() -> bytes:
    return b""


def _no_list() -> list[Any]:
    return []


def _no_items(*_: Any) -> dict[Any, Any]:
    """Return an ordered or default dict, to be filled: a plain one, without what would fill its gaps."""
    return {}


def _encoded(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError("bytes are written in no known way")
    return text.encode("latin-1")


_CALLS: dict[str, Callable[..., Any]] = {
    "_codecs.encode": _encoded,  # how Python 3 writes bytes in protocols 0 to 2
    "builtins.bytes": _no_bytes,
    "builtins.list": _no_list,
    "__builtin__.list": _no_list,
    "collections.OrderedDict": _no_items,
    "collections.defaultdict": _no_items,
    "__builtin__.bytes": _no_bytes,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array,  # how NumPy writes arrays in protocol 5
}
_LITERALS = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
_MAKERS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "MARK": lambda: _MARK,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda machine, _: machine.put(None),
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "POP": lambda machine, _: machine.drop(),
    "POP_MARK": lambda machine, _: machine.drop_to_mark(),
    "TUPLE": _Machine.tuple,
    "TUPLE1": lambda machine, _: machine.tuple(1),
    "TUPLE2": lambda machine, _: machine.tuple(2),
    "TUPLE3": lambda machine, _: machine.tuple(3),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_to_mark()),
    "DICT": _Machine.dict,
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "GLOBAL": lambda machine, name: machine.global_(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.stack_global(),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}

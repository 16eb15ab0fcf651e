"""What a pickle describes, without unpickling it: nothing that the file names is imported or called.

A pickle is a program for a stack machine. This interpreter knows the opcodes that tensors, numbers, texts
and containers need, and an allow-list of the globals that checkpoints mention. A tensor becomes a
:class:`TensorReference`; objects of other listed classes become an :class:`Opaque` name. Anything else ends
the reading with an error that names what the file asked for. Nothing is ever copied by an opcode, so time and
memory are linear in the file's size.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from perisphere.errors import PerisphereError
from perisphere.nets.pickled_arrays import ArrayReference, DtypeReference, latin1

MAX_OPCODES = 5_000_000
MAX_DIMENSIONS = 64

STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}

MAPPINGS = {
    "builtins.dict",
    "collections.Counter",
    "collections.OrderedDict",
    "collections.defaultdict",
    # Settings of training programs: dicts with another way to ask for a value.
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "yacs.config.CfgNode",
}
LISTS = {"builtins.set", "builtins.frozenset", "builtins.list"}

# Classes of settings and training state that checkpoints carry beside the weights: only the name is kept.
OPAQUE = {
    "argparse.Namespace",
    "copyreg._reconstructor",
    "builtins.object",
    "builtins.int",
    "builtins.float",
    "builtins.str",
    "builtins.bool",
    "builtins.complex",
    "builtins.bytearray",
    "builtins.slice",
    "datetime.datetime",
    "datetime.timedelta",
    "decimal.Decimal",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "torch.Generator",
    "torch.Tensor",
    "torch.device",
    "torch.serialization._get_layout",
    "typing.Any",
} | {f"torch.{name}" for name in (*STORAGES.values(), "strided", "float", "half", "double", "long", "int")}


class ForbiddenGlobalError(PerisphereError):
    """The file asked for something that weights have no need of; nothing of it was run."""


@dataclass(frozen=True)
class Global:
    """The name of something the file wants from Python, on the allow-list; never imported."""

    name: str


@dataclass(frozen=True)
class Opaque:
    """An object of a listed class, of which only the class's name is kept."""

    name: str


@dataclass(frozen=True)
class Storage:
    """A block of numbers elsewhere in the file.

    Attributes:
        key: its name in the file.
        dtype: name of the torch dtype.
        length: number of elements that the pickle claims.
        start: first element within the block, where the legacy format makes a storage a view of another.
    """

    key: str
    dtype: str
    length: int
    start: int = 0


@dataclass(frozen=True)
class TensorReference:
    """A tensor as a strided slice of a :class:`Storage`: offset, shape and stride in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Source(Protocol):
    """Bytes with a position."""

    def read(self, n: int = -1, /) -> bytes:
        """Return up to ``n`` bytes."""
        ...

    def readline(self) -> bytes:
        """Return the rest of the line."""
        ...

    def tell(self) -> int:
        """Return the position."""
        ...


@dataclass(frozen=True)
class Description:
    """What a pickle describes.

    Attributes:
        value: numbers, texts, lists, tuples and dicts, with :class:`TensorReference`,
            :class:`~perisphere.nets.pickled_arrays.ArrayReference`, :class:`Opaque` and :class:`Global` in
            place of objects.
        storages: the name of the torch dtype of each storage that it mentions, by key.
    """

    value: Any
    storages: dict[str, str]


class _Mark:
    """Marks the stack where the items of a container begin."""


_MARK = _Mark()


def interpret(source: Source) -> Description:
    """Return what the pickle at the source's position describes, and leave the source behind it.

    Raises:
        ForbiddenGlobalError: the pickle names a global outside the allow-list.
        ValueError, IndexError, KeyError, TypeError: the pickle is damaged or uses an opcode outside the list.
    """
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(source)):  # type: ignore[arg-type]
        if count > MAX_OPCODES:
            raise ValueError(f"the pickle has over {MAX_OPCODES} opcodes")
        if opcode.name == "STOP":
            return Description(machine.pop(), machine.storages)
        machine.step(opcode.name, argument)
    raise ValueError("the pickle has no end")


class _Machine:
    """The stack and the memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, str] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in ("PROTO", "FRAME"):
            return
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _MAKERS:
            self.stack.append(_MAKERS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise ValueError(f"the opcode {name} has no place in a file of weights")

    def pop(self) -> Any:
        value = self.stack.pop()
        if isinstance(value, _Mark):
            raise ValueError("the stack is empty up to its mark")
        return value

    def top(self) -> Any:
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        for position in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[position], _Mark):
                items = self.stack[position + 1 :]
                del self.stack[position:]
                return items
        raise ValueError("a mark is missing")

    def put(self, key: int | None) -> None:
        self.memo[len(self.memo) if key is None else key] = self.top()

    def get(self, key: int) -> None:
        self.stack.append(self.memo[key])

    def tuple(self, count: int | None) -> None:
        items = self.pop_to_mark() if count is None else [self.pop() for _ in range(count)][::-1]
        self.stack.append(tuple(items))

    def append(self, items: list[Any]) -> None:
        if isinstance(self.top(), list):
            self.top().extend(items)
        elif not isinstance(self.top(), Opaque):
            raise TypeError("items are added to something that is no list")

    def set_items(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise ValueError("a key has no value")
        target = self.top()
        if isinstance(target, dict):
            _fill(target, list(zip(items[::2], items[1::2], strict=True)))
        elif not isinstance(target, Opaque):
            raise TypeError("keys are set in something that is no dict")

    def global_(self, name: str) -> None:
        self.stack.append(Global(_allowed(name)))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise TypeError("the name of a global is no text")
        self.global_(f"{module}.{name}")

    def call(self) -> None:
        arguments, target = self.pop(), self.pop()
        if not isinstance(target, Global) or not isinstance(arguments, tuple):
            raise TypeError("something that has no name is called")
        self.stack.append(_result(target.name, arguments))

    def state(self) -> None:
        state = self.pop()
        if isinstance(self.top(), ArrayReference | DtypeReference):
            self.top().set_state(state)

    def storage(self) -> None:
        storage = _storage(self.pop())
        if self.storages.setdefault(storage.key, storage.dtype) != storage.dtype:
            raise ValueError(f"the storage {storage.key[:100]!r} has two types")
        self.stack.append(storage)


_NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"}
_TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"}
_BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
_LITERALS = _NUMBERS | _TEXTS | _BYTES
_MAKERS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "MARK": lambda: _MARK,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda machine, _: machine.put(None),
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE": _Machine.tuple,
    "TUPLE1": lambda machine, _: machine.tuple(1),
    "TUPLE2": lambda machine, _: machine.tuple(2),
    "TUPLE3": lambda machine, _: machine.tuple(3),
    "FROZENSET": lambda machine, _: machine.stack.append(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "GLOBAL": lambda machine, name: machine.global_(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.stack_global(),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.state(),
    "BINPERSID": lambda machine, _: machine.storage(),
}


def _fill(target: dict[Any, Any], pairs: list[tuple[Any, Any]]) -> None:
    for key, value in pairs:
        # Other keys are dropped: hashing nested tuples can take exponential time.
        if not (key is None or isinstance(key, str | int | float | bytes)):
            continue
        if isinstance(value, TensorReference) and key in target:
            raise ValueError(f"the tensor {str(key)[:100]!r} is there twice")
        target[key] = value


def _allowed(name: str) -> str:
    name = name.replace("__builtin__.", "builtins.", 1) if name.startswith("__builtin__.") else name
    storage = name.startswith("torch.") and name.removeprefix("torch.") in STORAGES
    if not (storage or name in _CALLS or name in MAPPINGS or name in LISTS or name in OPAQUE):
        raise ForbiddenGlobalError(f"asks for {name[:100]!r}, which a file of weights has no need of")
    return name


def _result(name: str, arguments: tuple[Any, ...]) -> Any:
    if name in _CALLS:
        return _CALLS[name](*arguments)
    if name in MAPPINGS:
        return _mapping(arguments)
    if name in LISTS:
        return arguments[0] if arguments and isinstance(arguments[0], list) else []
    return Opaque(name)


def _mapping(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Return the dict of ``OrderedDict([[key, value], ...])``, ``Counter({...})``, ``defaultdict(type)``."""
    given = arguments[-1] if arguments else None
    if isinstance(given, dict):
        return given
    found: dict[Any, Any] = {}
    if isinstance(given, list):
        _fill(found, [(key, value) for key, value in given])
        # Moved, not copied: many copies of one list could fill the memory.
        given.clear()
    return found


def _numbers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or len(values) > MAX_DIMENSIONS:
        raise TypeError(f"a shape or stride is no tuple of at most {MAX_DIMENSIONS} numbers")
    if not all(type(value) is int for value in values):
        raise TypeError("a shape or stride has something else than whole numbers")
    return tuple(values)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorReference:
    if not isinstance(storage, Storage) or type(offset) is not int:
        raise TypeError("a tensor has no storage or no offset")
    return TensorReference(storage, offset, _numbers(shape), _numbers(stride))


def _parameter(tensor: Any, *_: Any) -> TensorReference:
    if not isinstance(tensor, TensorReference):
        raise TypeError("a parameter has no tensor")
    return tensor


def _storage(value: Any) -> Storage:
    """Return the storage that an id ``("storage", type, key, device, length[, view])`` describes."""
    if not isinstance(value, tuple) or len(value) < 5 or value[0] != "storage":
        raise ValueError("a reference out of the pickle is no storage")
    kind, key, length = value[1], value[2], value[4]
    dtype = STORAGES.get(kind.name.removeprefix("torch.")) if isinstance(kind, Global) else None
    if dtype is None or not isinstance(key, str) or type(length) is not int or length < 0:
        raise ValueError("a storage has no type, key or length")
    view = value[5] if len(value) > 5 else None
    if view is None:
        return Storage(key, dtype, length)
    _, start, length = view
    if type(start) is not int or type(length) is not int or start < 0 or length < 0:
        raise ValueError("a view of a storage has no start or length")
    return Storage(key, dtype, length, start)


_CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _numbers,
    "_codecs.encode": latin1,
    "numpy.dtype": lambda name=None, *_: DtypeReference(name),
    "numpy.core.multiarray._reconstruct": lambda *_: ArrayReference(),
    "numpy._core.multiarray._reconstruct": lambda *_: ArrayReference(),
}

"""The runtimes by name, and what each needs installed."""

from typing import Literal, TypeAlias, get_args

from perisphere.errors import UsageError, nearest

Runtime: TypeAlias = Literal["torch", "openvino", "onnx"]
Engine: TypeAlias = Literal["openvino", "onnx"]
"""A runtime that a network is exported to."""

MANIFEST = "runtime.json"
FOLDER = "runtimes"
"""Of an encoder's folder: its models lie in there, a folder each."""

RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
ENGINES: tuple[Engine, ...] = get_args(Engine)


def checked(name: str) -> Runtime:
    """Return the runtime of this name.

    Raises:
        UsageError: there is none.
    """
    for known in RUNTIMES:
        if name == known:
            return known
    raise UsageError(
        f"--runtime {name}: there is no such runtime.{nearest(name, list(RUNTIMES))} "
        f"Known are {', '.join(RUNTIMES)}."
    )


def engine(name: str) -> Engine:
    """Return the runtime of this name, which a network can be exported to.

    Raises:
        UsageError: there is none, or it is torch.
    """
    runtime = checked(name)
    if runtime == "torch":
        raise UsageError("--runtime torch: runs the network as it is; export to openvino or onnx.")
    return runtime


def model_name(runtime: Engine, int8: bool) -> str:
    """Return the name of a model's folder: ``openvino``, ``onnx-int8`` ..."""
    return f"{runtime}-int8" if int8 else runtime

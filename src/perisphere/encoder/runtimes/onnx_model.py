"""ONNX Runtime: writing, quantising and running a model."""

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from perisphere.encoder.runtimes.program import INPUT, Samples, silent
from perisphere.errors import PerisphereError

MODEL = "model.onnx"
STANDARD = ("", "ai.onnx")
"""Domains of ONNX's own operations."""


def write(program: ExportedProgram, folder: Path) -> None:
    """Write ``model.onnx``, weights included."""
    _imported("onnxscript")
    with silent():
        exported = torch.onnx.export(program, dynamo=True, optimize=True, verbose=False)
        if exported is None:
            raise PerisphereError("torch.onnx gave no model. Use --runtime openvino.")
        exported.save(folder / MODEL, external_data=False)


def quantise(program: ExportedProgram, inputs: Samples, folder: Path, attention: bool) -> None:
    """Write the model with weights and activations of 8 bits (static QDQ), fitted to ``inputs``.

    Weights have 7 bits: processors without VNNI add pairs of products in 16 bits, which saturate otherwise,
    so that the same model would give other vectors there.

    Args:
        program: in float32.
        inputs: to calibrate with.
        folder: where it is written.
        attention: whether the network is a transformer; its products of two activations stay in float32.
    """
    quantization = _imported("onnxruntime.quantization")
    write(program, folder)
    float32 = (folder / MODEL).replace(folder / "float32.onnx")
    kept = {"MatMulConstBOnly": True} if attention else {}
    with silent():
        quantization.quantize_static(
            float32,
            folder / MODEL,
            _Reader(inputs),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options=kept,
        )
    float32.unlink()


class _Reader:
    """Calibration photos, as the quantiser asks for them."""

    def __init__(self, inputs: Samples) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next one, ``None`` at the end."""
        found = next(self._inputs, None)
        return None if found is None else {INPUT: found}


class Model:
    """A session on the processor.

    Args:
        files: content of ``model.onnx``.
        bfloat16: must be false: ONNX Runtime multiplies float32 on processors.
        threads: of the processor.

    Raises:
        PerisphereError: ONNX Runtime is not installed, or the file is not a model of plain operations.
    """

    def __init__(self, files: dict[str, bytes], *, bfloat16: bool, threads: int) -> None:
        assert not bfloat16
        runtime = _onnxruntime()
        check_model(files[MODEL])
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(
                files[MODEL], options, providers=["CPUExecutionProvider"]
            )
            self._input = self._session.get_inputs()[0].name
        except Exception as error:  # its errors share no base class
            raise PerisphereError(
                f"ONNX Runtime cannot read its model ({' '.join(str(error).split())[:200]}). Export it again "
                "with `perisphere encoder export`."
            ) from error

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 ``[n, d]`` of float32 ``[n, 3, h, w]``."""
        return torch.from_numpy(self._session.run(None, {self._input: images.contiguous().numpy()})[0])


def check_model(content: bytes) -> None:
    """Refuse a model that reads other files, or has operations that are not ONNX's own.

    Raises:
        PerisphereError: such a model, or none.
    """
    onnx = _imported("onnx")
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's errors, which this must not import
        raise PerisphereError(f"{MODEL}: is no model ({type(error).__name__}). Export it again.") from error
    strange = [entry.domain for entry in model.opset_import if entry.domain not in STANDARD]
    if model.functions or strange:
        raise PerisphereError(
            f"{MODEL}: has operations of {(strange or ['its own'])[0]!r}, not of ONNX. Export it again."
        )
    for tensor in _tensors(onnx, model.graph):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise PerisphereError(f"{MODEL}: keeps weights in other files. Export it again.")


def _tensors(onnx: Any, graph: Any) -> Iterator[Any]:
    """Yield every constant of a graph and of the graphs within it."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(onnx, inner)


def software() -> dict[str, str]:
    """Return the versions that write and run models."""
    return {"onnxruntime": str(_onnxruntime().__version__), "onnx": str(_imported("onnx").__version__)}


def _onnxruntime() -> Any:
    return _imported("onnxruntime")


def _imported(name: str) -> ModuleType:
    # Read when it is imported: without it, it reports its use to its makers.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        with silent():
            return import_module(name)
    except ImportError as error:
        raise PerisphereError(
            f"--runtime onnx needs {name.split('.')[0]}, which is not installed; run "
            "`pip install 'perisphere[onnx]'`."
        ) from error
